"""What early stopping cost and saved, estimated from those of the condemned that were audited.

    N, n   condemned trials, and those of them whose end is known: a simple random sample
    c_i    best score of trial i when it was condemned, at step s_i
    v_i    best score of trial i at its end; known of the n
    g_js   best score of audited trial j up to step s, less v_j: what it gained from s on
    b      the best score that the sweep found by itself: audited trials count with c_i
    R      max(0, b − min v_i), the regret: what the best of all the condemned would have added

How many would have been better is a question of a proportion, which the interval of Clopper and
Pearson answers without any assumption.

R is an extreme of N values of which n are known. That of the n is a bound from below, and certain.
From above a sample of ends alone gives none, as the best end may be among those not seen. But c_i is
known of all N, and only gains are not: the bound is the R that there would be if each trial i that
was not audited gained as much as the one that gained most from s_i on among the K audited ones whose
scores at s_i were nearest to c_i. One more of K that are alike gains more than all of them with
probability 1 / (K + 1) (Wilks, Annals of Mathematical Statistics 12, 1941), so K is 19 for a
confidence of 95 %, and all of them where they are fewer. The estimate in between has each gain the
median. docs/schedulers/audit.md has how often the bounds held.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from raysweep.orchestrator.condemned import (
    Condemnation,
    Condemned,
    Curve,
    condemnation,
    verdicts_of,
)
from raysweep.results.intervals import Interval, clopper_pearson, ratio_total
from raysweep.trials.errors import SpecError, StoreError
from raysweep.trials.trial import Status


class Better(NamedTuple):
    """How many, `hits` of `audited`, ended better than something, and how probable that is."""

    hits: int
    audited: int
    probability: Interval


class AtRung(NamedTuple):
    """The condemned of one rung; `better` than the best, None where nobody was audited."""

    rung: int
    condemned: int
    better: Better | None


class Audit(NamedTuple):
    """What an audit says of a sweep. Scores are lower-is-better, `goal.value` turns them back.

    Attributes:
        confidence: of the intervals.
        condemned, audited: N and n.
        unfinished: how many more were to be audited and did not come to their end.
        hopeless: ended for values that were missing or not finite; in no other figure.
        undecided: paused, and may be promoted yet; in no other figure.
        found, survivor: b, and the best score of those that were not condemned.
        than_best, than_survivor: how many of the audited ended better than these.
        regret: R: estimate, bound from below, bound from above.
        steps_saved, seconds_saved: what those not audited would have taken to their ends; seconds
            are None where none were recorded.
        steps_spent, seconds_spent: what the audited took after they were condemned.
        rungs: the same by rung, ascending.
    """

    confidence: float
    condemned: int
    audited: int
    unfinished: int
    hopeless: int
    undecided: int
    found: float
    survivor: float
    than_best: Better
    than_survivor: Better
    regret: Interval
    steps_saved: Interval
    seconds_saved: Interval | None
    steps_spent: int
    seconds_spent: float
    rungs: tuple[AtRung, ...]


def estimate(found: Condemnation, confidence: float = 0.95) -> Audit:
    """What the audited say of all the condemned; there must be one audited at least.

    Args:
        found: who was condemned.
        confidence: of every interval.
    """
    known = found.audited
    unseen = [one for one in found.trials if one.whole is None]
    after = [_after(one) for one in known]
    longest = max(one.step + steps for one, (steps, _) in zip(known, after, strict=True))

    def saved(spent: list[float], whole: Callable[[Condemned], float]) -> Interval:
        sizes, to_come = [whole(one) for one in known], sum(whole(one) for one in unseen)
        return ratio_total(spent, sizes, to_come, len(unseen), confidence)

    timed = any(seconds for _, seconds in after)
    return Audit(
        confidence,
        len(found.trials),
        len(known),
        sum(one.drawn for one in unseen),
        found.hopeless,
        found.undecided,
        found.found,
        found.survivor,
        _better(known, found.found, confidence),
        _better(known, found.survivor, confidence),
        _regret(known, unseen, found.found, confidence),
        saved([float(steps) for steps, _ in after], lambda one: longest - one.step),
        saved([s for _, s in after], lambda one: (longest - one.step) * _pace_s(one))
        if timed
        else None,
        sum(steps for steps, _ in after),
        sum(seconds for _, seconds in after),
        tuple(_at(rung, found, confidence) for rung in sorted({one.rung for one in found.trials})),
    )


def _at(rung: int, found: Condemnation, confidence: float) -> AtRung:
    here = [one for one in found.trials if one.rung == rung]
    known = [one for one in here if one.whole is not None]
    better = _better(known, found.found, confidence) if known else None
    return AtRung(rung, len(here), better)


def _better(audited: list[Condemned], than: float, confidence: float) -> Better:
    count = sum(one.whole is not None and one.whole.best < than for one in audited)
    return Better(count, len(audited), clopper_pearson(count, len(audited), confidence))


def _after(one: Condemned) -> tuple[int, float]:
    """Steps and seconds that an audited trial took after it was condemned."""
    assert one.whole is not None
    steps = len(one.whole.scores) - one.step
    return steps, sum(one.whole.seconds[one.step :])


def _pace_s(one: Condemned) -> float:
    """Seconds that a trial took for a step until it was condemned."""
    return sum(one.then.seconds) / one.step


def _regret(
    known: list[Condemned], unseen: list[Condemned], best: float, confidence: float
) -> Interval:
    most_alike = max(1, round(confidence / (1 - confidence)))
    curves = [one.whole for one in known if one.whole]
    ends = np.array([curve.best for curve in curves])
    steps = {one.step for one in unseen}
    scores = {step: np.array([curve.until(step).best for curve in curves]) for step in steps}
    middle = top = low = float(ends.min())
    for one in unseen:
        then = scores[one.step]
        alike = np.argsort(np.abs(then - one.then.best), kind="stable")[:most_alike]
        gains = (then - ends)[alike]
        middle = min(middle, one.then.best - float(np.median(gains)))
        top = min(top, one.then.best - float(gains.max()))
    return Interval(*(max(0.0, best - end) for end in (middle, low, top)))


def audit(path: str | Path, confidence: float = 0.95) -> Audit:
    """What early stopping cost and saved in the sweep at `path`.

    Args:
        path: the sweep directory.
        confidence: of every interval, between 0 and 1.

    Raises:
        SpecError: the confidence is none, or no trial has reported.
        StoreError: there is no sweep, or none of its condemned trials was audited to its end.
    """
    from raysweep.orchestrator.recorded_sweep import recorded_sweep
    from raysweep.results.read import read

    if not 0 < confidence < 1:
        raise SpecError(f"confidence is {confidence:g}; it must be between 0 and 1, e.g. 0.95")
    sweep, results = recorded_sweep(Path(path)), read(path)
    trials = results.arrow("trials").select(["trial_id", "status"]).to_pylist()
    status = results.status()
    found = condemnation(
        verdicts_of(results.arrow("decisions").to_pylist()),
        {one.trial: Curve(one.scores, one.track.seconds) for one in sweep.trials},
        {row["trial_id"]: Status(row["status"]) for row in trials},
        over=status["state"] == "finished" and "run their course" in (status["reason"] or ""),
    )
    if not found.audited:
        scheduler = (results.manifest.get("spec") or {}).get("scheduler") or {}
        raise StoreError(f"{path}: {_nobody(found, scheduler.get('audit', 0))}")
    return estimate(found, confidence)


def _nobody(found: Condemnation, share: float) -> str:
    """Why nothing can be concluded."""
    waiting = f", {found.undecided} are paused and may be promoted yet" if found.undecided else ""
    what = f"{len(found.trials)} trials were condemned{waiting}, and none of them was audited"
    if not share:
        how = "run a sweep with scheduler: {name: ..., audit: 0.1, ...}"
    elif found.undecided or any(one.drawn for one in found.trials):
        how = (
            "audits are not over: go on with `raysweep resume`; under rules that pause they come "
            "last, so limit the sweep by budget.trials"
        )
    else:
        how = f"audit: {share:g} of so few drew nobody; give a larger share, or more trials"
    return f"{what} to its end, so nothing can be said of what they would have come to; {how}"
