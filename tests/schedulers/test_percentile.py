from __future__ import annotations

import json
from bisect import bisect_left, insort
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers import ordered
from raysweep.schedulers.interpolation import percentile_of
from raysweep.schedulers.median import MedianStopping
from raysweep.schedulers.percentile import PercentileStopping
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import Play, SchedulerContract


class TestPercentile(SchedulerContract):
    name = "percentile"
    options: ClassVar[dict[str, Any]] = {"max_t": 6}


class TestPercentileOfAveragesAskedSeldom(SchedulerContract):
    name = "percentile"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 8, "grace_period": 2, "interval": 3, "min_trials": 1, "percentile": 60.0,
        "against": "averages",
    }  # fmt: skip


def feed(rule: PercentileStopping, trial: str, *scores: float) -> Decision:
    """Report `scores` at steps 1, 2, …; the last decision."""
    for step, score in enumerate(scores, 1):
        decision = rule.on_report(Report(trial, 1, step, {}, score))
    return decision


def test_against_bests_by_hand() -> None:
    """The bests by step 2 are 2, 4, 7 and 9; at 25 the place is 3·0.25 = 0.75: 2 + 0.75·2 = 3.5.

    The fifth trial's best is 3.5, which is not worse; the bests are then 2, 3.5, 4, 7, 9, the
    place 4·0.25 = 1: the sixth, with 3.6, is worse than 3.5.
    """
    rule = PercentileStopping(max_t=4, grace_period=2, min_trials=4)
    for trial, scores in zip("abcd", ((4.0, 2.0), (4.0, 8.0), (9.0, 7.0), (9.0, 9.0)), strict=True):
        assert isinstance(feed(rule, trial, *scores), RunTo)
    assert feed(rule, "e", 3.5, 80.0) == RunTo(3, Reason("percentile", 2, 3.5, 3.5, 2, 5))
    assert feed(rule, "f", 3.6, 3.7) == Stop(Reason("percentile", 2, 3.6, 3.5, 3, 6))


def test_against_averages_by_hand() -> None:
    """The averages by step 2 are 3, 6, 8; at 75 the place is 2·0.75 = 1.5: 7."""
    rule = PercentileStopping(grace_period=2, percentile=75, against="averages")
    for trial, scores in zip("abc", ((4.0, 2.0), (8.0, 4.0), (9.0, 7.0)), strict=True):
        feed(rule, trial, *scores)
    stopped = feed(rule, "d", 7.5, 9.0)
    assert stopped == Stop(Reason("percentile", 2, 7.5, 7.0, 3, 4))


def test_grace_and_interval() -> None:
    """Grace 2, interval 3: asked at 2, 5, 8 and finished at 9."""
    rule = PercentileStopping(max_t=9, grace_period=2, interval=3)
    assert rule.grant("a", {}) == 2
    heard = [rule.on_report(Report("a", 1, step, {}, 1.0)) for step in range(1, 10)]
    assert [d.step if isinstance(d, RunTo) else 0 for d in heard] == [0, 5, 0, 0, 8, 0, 0, 9, 0]
    assert heard[0] is CONTINUE
    assert isinstance(heard[8], Finish)


def test_what_is_missing_stops_a_trial_and_counts_for_nobody() -> None:
    rule = PercentileStopping(max_t=9, min_trials=1, percentile=50)
    assert feed(rule, "a", WORST) == Stop(Reason("percentile", 1, WORST, None, 1, 1))
    assert isinstance(feed(rule, "b", 50.0), RunTo), "there is nobody to be compared with yet"
    assert isinstance(feed(rule, "c", 60.0), Stop)


def test_what_an_ended_trial_showed_stays() -> None:
    rule = PercentileStopping(max_t=9, min_trials=1)
    feed(rule, "a", 1.0)
    rule.on_end("a", Outcome(Status.FAILED, 1, 1.0))
    assert rule.state() == {"means": {"1": [1.0]}, "running": {}}
    assert isinstance(feed(rule, "b", 2.0), Stop)


@pytest.mark.parametrize(("percentile", "going_on"), [(0, 1), (25, 25), (50, 50), (100, 100)])
def test_so_many_per_cent_go_on(percentile: float, going_on: int) -> None:
    """99 trials have shown 1 … 99; of a hundred newcomers, those at 0.5, 1.5 … are compared.

    At p the cutoff is 1 + 98·p/100: at 25 it is 25.5, and 0.5 … 25.5 make 26 with the one that is
    equal; as each newcomer is compared by itself, a copy of the state is taken for each.
    """
    shown = [float(n) for n in range(1, 100)]
    passed = 0
    for newcomer in range(100):
        rule = PercentileStopping(percentile=percentile)
        rule.load({"means": {"1": shown}, "running": {}})
        passed += isinstance(feed(rule, "new", newcomer + 0.5), RunTo)
    assert abs(passed - going_on) <= 1


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=6), min_size=1, max_size=25),
    least=st.integers(1, 4),
    percentile=st.sampled_from([0.0, 10.0, 25.0, 50.0, 80.0, 100.0]),
)
def test_it_decides_as_the_definition_does(
    rows: list[list[float]], least: int, percentile: float
) -> None:
    """Trials one after the other against numpy's percentile of all bests, computed afresh."""
    rule = PercentileStopping(max_t=7, min_trials=least, percentile=percentile)
    shown: list[list[float]] = []
    for number, row in enumerate(rows):
        for step in range(1, len(row) + 1):
            decision = rule.on_report(Report(f"t{number}", 1, step, {}, row[step - 1]))
            bests = [min(other[:step]) for other in shown if len(other) >= step]
            cutoff = float(np.percentile(bests, percentile)) if bests else 0.0
            worse = len(bests) >= least and min(row[:step]) > cutoff
            if abs(min(row[:step]) - cutoff) > 1e-9:
                assert isinstance(decision, Stop if worse else RunTo)
            if isinstance(decision, Stop):
                row = row[:step]
                break
        shown.append(row)


@settings(deadline=None, max_examples=40)
@given(
    scores=st.lists(st.sampled_from([1.0, 2.0, WORST]) | st.floats(-9, 9), max_size=40),
    percentile=st.sampled_from([0.0, 25.0, 60.0, 100.0]),
    most=st.sampled_from([2, 8, 2048]),
)
def test_its_reasons_and_its_state_are_those_of_a_sorted_list(
    scores: list[float], percentile: float, most: int
) -> None:
    shown: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_MOST", most)
        rule = PercentileStopping(max_t=9, min_trials=2, percentile=percentile)
        for number, score in enumerate(scores):
            cutoff, rank = percentile_of(shown, percentile), bisect_left(shown, score) + 1
            lost = score == WORST or (len(shown) >= 2 and cutoff is not None and score > cutoff)
            why = Reason("percentile", 1, score, cutoff, rank, len(shown) + 1)
            assert feed(rule, f"t{number}", score) == (Stop(why) if lost else RunTo(2, why))
            if score != WORST:
                insort(shown, score)
        means = {"1": shown} if scores else {}
        assert json.dumps(rule.state()["means"]) == json.dumps(means)


@settings(deadline=None, max_examples=40)
@given(scores=st.lists(st.sampled_from([1.0, 2.0, 3.0, WORST]), min_size=1, max_size=60))
def test_the_median_rule_is_its_special_case(scores: list[float]) -> None:
    """The same answers, but for the rule's name in their reasons."""
    special = Play(lambda: MedianStopping(max_t=4))
    general = Play(lambda: PercentileStopping(max_t=4, percentile=50, against="averages"))
    for play in (special, general):
        for number, score in enumerate(scores):
            if number % 2 == 0:
                play.start()
            for trial in sorted(play.running)[:3]:
                play.report(trial, score)
    answers = [
        [(type(d), *d[:-1], *d[-1][1:]) for d in play.decisions] for play in (special, general)
    ]
    assert answers[0] == answers[1]
    assert special.scheduler.state() == general.scheduler.state()
    assert {d[-1].rule for d in special.decisions} <= {"median", "max_t"}
