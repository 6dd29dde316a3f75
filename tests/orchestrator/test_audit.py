from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import raysweep
from raysweep.orchestrator.audit import audit, estimate
from raysweep.orchestrator.cli import app
from raysweep.orchestrator.condemned import Condemnation, Condemned, Curve, condemnation
from raysweep.results.read import read
from raysweep.results.verify import verify
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import SpecError, StoreError
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Status
from tests.orchestrator.cli_sweeps import simulated_sweep


def curve(*scores: float, pace_s: float = 1.0) -> Curve:
    return Curve(scores, [pace_s] * len(scores))


def condemned(trial: str, step: int, whole: Curve, *, audited: bool) -> Condemned:
    return Condemned(trial, step, step, whole.until(step), whole if audited else None, audited)


def by_hand(best_unseen: float) -> Condemnation:
    """Rung 1 of 3: a and b were audited, c and d were not; the survivor has 4.

    a: 5 then 3, gain 2, and 2 s a step throughout.  b: 6 then 5.5, gain 0.5, first 1 s, then 3 s.
    """
    a, b = curve(5.0, 4.0, 3.0, pace_s=2.0), Curve([6.0, 5.5, 7.0], [1.0, 3.0, 3.0])
    trials = (
        condemned("a", 1, a, audited=True),
        condemned("b", 1, b, audited=True),
        condemned("c", 1, curve(best_unseen), audited=False),
        condemned("d", 1, curve(6.4, pace_s=5.0), audited=False),
    )
    return Condemnation(trials, 4.0, 4.0, hopeless=1, undecided=0)


def test_an_estimate_by_hand() -> None:
    """One of two audited is better than 4: Clopper–Pearson of 1 in 2 is 0.0126 … 0.9874.

    a alone shows a regret of 4 − 3 = 1. c, at 4.1, would come to 4.1 − 2 = 2.1 with the greater of
    the two gains, a regret of 1.9; with their median, 1.25, to 2.85, a regret of 1.15.

    Steps: a and b took 2 of 2 possible, so c and d have 4 to come. Seconds: at their pace until
    then a would have taken 4 and b 2, and they took 4 and 6, so r = 10/6; c and d would have taken
    2 + 10 = 12, times r 20. The residuals are 4 − 20/3 = −8/3 and 6 − 10/3 = 8/3, s² = 128/9; the
    error √(128/9 · (1 − 2/4) / 2) / 3 · 18 = 11.3137, times t(0.975; 1) = 12.7062 is 143.755.
    """
    found = estimate(by_hand(4.1))
    assert (found.condemned, found.audited, found.unfinished, found.hopeless) == (4, 2, 0, 1)
    assert found.than_best.hits == found.than_survivor.hits == 1
    assert found.than_best.probability == pytest.approx((0.5, 0.01258, 0.98742), abs=1e-5)
    assert found.regret == pytest.approx((1.15, 1.0, 1.9))
    assert found.steps_saved == (4, 4, 4)
    assert found.seconds_saved is not None
    assert found.seconds_saved == pytest.approx((20, 0, 163.755), abs=1e-3)
    assert (found.steps_spent, found.seconds_spent) == (4, 10)
    assert [(row.rung, row.condemned) for row in found.rungs] == [(1, 4)]


def test_only_the_likest_bound_the_regret() -> None:
    """At 75 % one is compared with 0.75 / 0.25 = 3: those at 5.0, 5.1 and 5.2 gained nothing.

    At rung 3 the nearest to 4.5 are two that had come to 4.4 and 4.6 there, of which the first still
    gained 0.2 after it, and 5.0. 4.5 − 0.2 is 4.3, no better than the 4.2 that was seen.
    """
    near = [condemned(f"n{i}", 1, curve(5.0 + i / 10, 9.0), audited=True) for i in range(3)]
    far = [condemned(f"f{i}", 1, curve(90.0, 40.0), audited=True) for i in range(2)]
    c = condemned("c", 1, curve(4.5), audited=False)
    found = Condemnation((*near, *far, c), 4.4, 4.4, hopeless=0, undecided=0)
    assert estimate(found, 0.75).regret == (0.0, 0.0, 0.0)
    assert estimate(found, 0.95).regret == pytest.approx((0.0, 0.0, 49.9)), "all, as there are 5"
    later = (curve(60.0, 60.0, 4.4, 4.2), curve(70.0, 70.0, 4.6, 4.6))
    more = [condemned(f"m{i}", 1, whole, audited=True) for i, whole in enumerate(later)]
    c = condemned("c", 3, curve(4.5, 4.5, 4.5), audited=False)
    found = Condemnation((*near, *far, *more, c), 4.4, 4.4, hopeless=0, undecided=0)
    assert estimate(found, 0.75).regret == pytest.approx((0.2, 0.2, 0.2))
    found = Condemnation((*near, *far, *more, c), 4.1, 4.1, hopeless=0, undecided=0)
    assert estimate(found, 0.75).regret == (0.0, 0.0, 0.0)


def test_who_is_audited_counts_as_found_only_up_to_where_it_was_condemned() -> None:
    verdicts = [
        verdict("a", "run_to", 1, "audit of asha"),
        verdict("b", "run_to", 1, "asha"),
        verdict("c", "stop", 1, "asha"),
    ]
    curves = {"a": curve(5.0, 1.0), "b": curve(6.0, 2.0), "c": curve(7.0)}
    done = Status.COMPLETED
    found = condemnation(verdicts, curves, {"a": done, "b": done, "c": Status.STOPPED}, over=True)
    assert (found.found, found.survivor) == (2.0, 2.0)
    assert [(one.trial, one.drawn) for one in found.trials] == [("a", True), ("c", False)]
    assert found.trials[0].then == curve(5.0)
    assert found.audited[0].whole == curve(5.0, 1.0)


def verdict(trial: str, verb: str, step: int, rule: str, **more: Any) -> Verdict:
    return Verdict(trial, 1, step, verb, rule, **{"rung": step, "value": 1.0, **more})


@pytest.mark.parametrize("over", [True, False])
def test_who_is_paused_is_condemned_once_the_sweep_is_over(over: bool) -> None:
    verdicts = [
        verdict("paused", "pause", 1, "asha"),
        verdict("promoted", "pause", 1, "asha"),
        verdict("promoted", "resume", 1, "asha promotion"),
        verdict("drained", "pause", 2, "budget: 10 steps", rung=None),
        verdict("audited", "pause", 1, "asha"),
        verdict("audited", "resume", 1, "audit"),
        verdict("under way", "pause", 1, "asha"),
        verdict("under way", "resume", 1, "audit"),
        verdict("under way", "pause", 2, "interrupted", rung=None),
        verdict("hopeless", "stop", 1, "asha", value=None),
        verdict("broken", "stop", 1, "the scheduler raised ValueError", rung=None),
    ]
    names = dict.fromkeys(one.trial for one in verdicts)
    statuses = dict.fromkeys(names, Status.PAUSED) | {"audited": Status.COMPLETED}
    curves = {name: curve(3.0, 2.0) for name in names}
    found = condemnation(verdicts, curves, statuses, over=over)
    always = {"audited": True, "under way": True}
    assert {one.trial: one.drawn for one in found.trials} == (
        {"paused": False, **always} if over else always
    )
    assert [one.trial for one in found.audited] == ["audited"]
    assert found.undecided == (0 if over else 1)
    assert found.hopeless == 1


def test_without_a_survivor_the_best_is_that_of_the_condemned() -> None:
    found = condemnation(
        [verdict("a", "stop", 1, "asha")], {"a": curve(3.0)}, {"a": Status.STOPPED}, over=True
    )
    assert (found.found, found.survivor) == (3.0, WORST)


AUDITED = {"name": "asha", "max_t": 9, "form": "stopping", "audit": 0.4}


def test_a_sweep_directory_tells_of_its_audit(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="random", scheduler=AUDITED)
    found = raysweep.audit(path)
    decisions = read(path).decisions
    audited = decisions[decisions["rule"] == "audit of asha"]
    assert found.audited == len(audited) > 0
    stopped = decisions[(decisions["verb"] == "stop") & decisions["value"].notna()]
    assert found.condemned == len(audited) + len(stopped)
    assert found.steps_spent == sum(9 - step for step in audited["step"])
    assert found.steps_saved.estimate == pytest.approx(sum(9 - s for s in stopped["step"]))
    assert sum(row.condemned for row in found.rungs) == found.condemned
    assert verify(path) == []


def test_under_rules_that_pause_as_well(tmp_path: Path) -> None:
    scheduler = {"name": "asha", "max_t": 9, "audit": 0.4}
    path = simulated_sweep(tmp_path, searcher="random", scheduler=scheduler)
    found = audit(path)
    assert found.audited == (read(path).decisions["rule"] == "audit").sum() > 0
    assert found.undecided == found.unfinished == 0


def test_the_command(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="random", scheduler=AUDITED)
    said = CliRunner().invoke(app, ["audit", str(path)])
    assert said.exit_code == 0, said.output
    found = audit(path)
    assert (
        f"{found.condemned} trials condemned by asha, of which {found.audited} were" in said.output
    )
    assert "better than the best" in said.output
    facts = json.loads(CliRunner().invoke(app, ["audit", str(path), "--json"]).stdout)
    assert facts["regret"] == found.regret._asdict()
    assert facts["better_than_best"]["audited"] == facts["audited"] == found.audited
    assert [row["rung"] for row in facts["rungs"]] == [row.rung for row in found.rungs]


@pytest.mark.parametrize(
    ("scheduler", "more", "message"),
    [
        (
            {"name": "asha", "max_t": 9, "form": "stopping"},
            {},
            r"none of them was audited.*audit: 0.1",
        ),
        (
            {"name": "asha", "max_t": 9, "audit": 0.5},
            {"budget": {"steps": 40}},
            r"may be promoted yet.*audits are not over.*budget.trials",
        ),
        (
            {"name": "asha", "max_t": 9, "form": "stopping", "audit": 1e-9},
            {},
            "audit: 1e-09 of so few drew nobody; give a larger share",
        ),
    ],
)
def test_of_nobody_nothing_is_concluded(
    scheduler: dict[str, Any], more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = simulated_sweep(tmp_path, searcher="random", scheduler=scheduler, **more)
    with pytest.raises(StoreError, match=message):
        audit(path)
    said = CliRunner().invoke(app, ["audit", str(path)])
    assert said.exit_code == 1
    assert "nothing can be said" in said.output


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_that_is_none(confidence: float, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"confidence is .*; it must be between 0 and 1, e.g. 0.95"):
        audit(simulated_sweep(tmp_path, searcher="random"), confidence)
