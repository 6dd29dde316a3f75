"""Whom a sweep's scheduler condemned, and what became of those of them that were audited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from raysweep.schedulers.audit import OF, RULE
from raysweep.trials.decisions import Verdict
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Status, TrialId


class Curve(NamedTuple):
    """What a trial reported and how long that took, a value for each step from 1 on."""

    scores: Sequence[float]
    seconds: Sequence[float]

    def until(self, step: int) -> Curve:
        """Its first `step` steps."""
        return Curve(self.scores[:step], self.seconds[:step])

    @property
    def best(self) -> float:
        """The best score in it."""
        return min(self.scores, default=WORST)


class Condemned(NamedTuple):
    """A trial with a finite value that its scheduler would not have let go on.

    Attributes:
        trial: its id.
        step: the one at which it was condemned.
        rung: that step, or the rung's amount where rungs are not in steps.
        then: its curve up to there.
        whole: its curve to max_t, or to where it failed or ended by itself; None: not audited.
        drawn: whether it was to be audited; without `whole`, its audit is not over.
    """

    trial: TrialId
    step: int
    rung: int
    then: Curve
    whole: Curve | None
    drawn: bool


class Condemnation(NamedTuple):
    """All that a scheduler condemned in one sweep.

    Attributes:
        trials: the condemned.
        found: the best score that the sweep would have found without its audit.
        survivor: the best score of those that were not condemned.
        hopeless: how many were ended for a value that was missing or not finite.
        undecided: how many are paused and may be promoted yet.
    """

    trials: tuple[Condemned, ...]
    found: float
    survivor: float
    hopeless: int
    undecided: int

    @property
    def audited(self) -> list[Condemned]:
        """Those whose end is known."""
        return [one for one in self.trials if one.whole is not None]


class _Fate(NamedTuple):
    """Where a trial was condemned, or waits since; `drawn` for an audit, `sure` if for good."""

    step: int
    rung: int
    drawn: bool = False
    sure: bool = True


def condemnation(
    verdicts: Iterable[Verdict],
    curves: Mapping[TrialId, Curve],
    statuses: Mapping[TrialId, Status],
    *,
    over: bool,
) -> Condemnation:
    """Read it from the record of a sweep.

    Args:
        verdicts: every decision, in order.
        curves: of every trial that reported.
        statuses: where each trial stands now.
        over: whether all trials have run their course, so that who is paused stays so.
    """
    fates: dict[TrialId, _Fate] = {}
    hopeless = 0
    for verdict in verdicts:
        fate = _fate(verdict, fates.get(verdict.trial))
        if fate is not None:
            fates[verdict.trial] = fate
        elif verdict.verb == "resume":
            fates.pop(verdict.trial, None)  # promoted, or it goes on where a drain had paused it
        elif verdict.verb == "stop" and verdict.rung is not None:
            hopeless += 1
    waits = {t for t, f in fates.items() if not f.sure and statuses[t] is Status.PAUSED}
    sure = {t: f for t, f in fates.items() if t in curves and (f.sure or (over and t in waits))}
    trials = tuple(
        Condemned(
            t,
            f.step,
            f.rung,
            curves[t].until(f.step),
            _whole(f, curves[t], statuses[t]),
            f.drawn,
        )
        for t, f in sure.items()
    )
    survivor = min((curve.best for t, curve in curves.items() if t not in sure), default=WORST)
    found = min((one.then.best for one in trials), default=WORST)
    undecided = 0 if over else len(waits)
    return Condemnation(trials, min(found, survivor), survivor, hopeless, undecided)


def _fate(verdict: Verdict, before: _Fate | None) -> _Fate | None:
    """What a decision makes of a trial; None: nothing that condemns it."""
    if before is not None and before.drawn:
        return before
    if verdict.verb == "resume" and verdict.rule == RULE and before is not None:
        return before._replace(drawn=True, sure=True)
    if verdict.rung is None or verdict.value is None:
        return None
    if verdict.verb == "run_to" and verdict.rule.startswith(OF):
        return _Fate(verdict.step, verdict.rung, drawn=True)
    if verdict.verb in ("stop", "pause"):
        return _Fate(verdict.step, verdict.rung, sure=verdict.verb == "stop")
    return None


def _whole(fate: _Fate, curve: Curve, status: Status) -> Curve | None:
    ended = status in (Status.COMPLETED, Status.FAILED)
    return curve if fate.drawn and ended else None


def verdicts_of(rows: Iterable[Mapping[str, Any]]) -> Iterable[Verdict]:
    """The decisions table as verdicts."""
    columns = {"trial_id": "trial"}
    for row in rows:
        named = {columns.get(name, name): value for name, value in row.items()}
        yield Verdict(**{name: named[name] for name in Verdict._fields})
