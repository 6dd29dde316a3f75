"""Golden cases after Golovin et al., "Google Vizier", KDD 2017, section 3.2.2."""

from __future__ import annotations

from statistics import fmean, median
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers.median import MedianStopping
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import UNBOUNDED, Outcome, Report, Status
from tests.contracts.scheduler import SchedulerContract


class TestMedian(SchedulerContract):
    name = "median"
    options: ClassVar[dict[str, Any]] = {"max_t": 6}


class TestMedianAskedSeldom(SchedulerContract):
    name = "median"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 8, "grace_period": 2, "interval": 3, "min_trials": 1,
    }  # fmt: skip


def feed(rule: MedianStopping, trial: str, *scores: float) -> Decision:
    """Report `scores` at steps 1, 2, …; the last decision."""
    for step, score in enumerate(scores, 1):
        decision = rule.on_report(Report(trial, 1, step, {}, score))
    return decision


def test_the_rule_by_hand() -> None:
    """At step 2 the averages so far are (4+2)/2 = 3, (8+4)/2 = 6 and (9+7)/2 = 8; median 6.

    A fourth trial whose best by step 2 is 7 is worse and stops; with 6 it is not strictly worse.
    """
    rule = MedianStopping(max_t=4, grace_period=2)
    feed(rule, "a", 4.0, 2.0)
    feed(rule, "b", 8.0, 4.0)
    assert feed(rule, "c", 9.0, 7.0) == RunTo(3, Reason("median", 2, 7.0, 4.5, 3, 3))
    assert feed(rule, "d", 7.0, 9.0) == Stop(Reason("median", 2, 7.0, 6.0, 3, 4))
    assert isinstance(feed(rule, "e", 6.0, 90.0), RunTo)


def test_its_own_average_takes_no_part_but_counts_for_the_next() -> None:
    """d's own average, 100, would move the median of 1, 2, 3 from 2 to 2.5."""
    rule = MedianStopping(max_t=2)
    for trial, score in zip("abc", (1.0, 2.0, 3.0), strict=True):
        feed(rule, trial, score)
    stopped = feed(rule, "d", 100.0)
    assert isinstance(stopped, Stop)
    assert stopped.reason.cutoff == 2.0
    after = feed(rule, "e", 2.5)
    assert isinstance(after, RunTo), "the median is 2.5 now"
    assert after.reason.cutoff == 2.5


def test_it_compares_only_with_enough_others() -> None:
    rule = MedianStopping(max_t=9, min_trials=2)
    assert isinstance(feed(rule, "a", 1.0), RunTo)
    assert isinstance(feed(rule, "b", 50.0), RunTo), "one other is not enough"
    assert isinstance(feed(rule, "c", 60.0), Stop)


def test_the_best_so_far_is_what_counts_not_the_last() -> None:
    rule = MedianStopping(max_t=9, grace_period=3)
    for trial in "abc":
        feed(rule, trial, 5.0, 5.0, 5.0)
    assert isinstance(feed(rule, "d", 4.0, 80.0, 90.0), RunTo)


def test_grace_and_interval() -> None:
    """Grace 2, interval 3: asked at 2, 5, 8 and finished at 9."""
    rule = MedianStopping(max_t=9, grace_period=2, interval=3)
    assert rule.grant("a", {}) == 2
    heard = [rule.on_report(Report("a", 1, step, {}, 1.0)) for step in range(1, 10)]
    steps = [d.step if isinstance(d, RunTo) else 0 for d in heard]
    assert steps == [0, 5, 0, 0, 8, 0, 0, 9, 0]
    assert heard[0] is CONTINUE
    assert isinstance(heard[8], Finish)


def test_a_missing_value_stops_a_trial_where_it_is_asked_and_spoils_no_average() -> None:
    rule = MedianStopping(max_t=9, grace_period=2, min_trials=1)
    assert isinstance(feed(rule, "a", WORST, 3.0), RunTo), "step 1 is within its grace"
    assert isinstance(feed(rule, "b", 1.0, WORST), Stop)
    assert isinstance(feed(rule, "c", WORST, WORST), Stop)
    judged = feed(rule, "d", 2.5, 2.5)
    assert judged.reason.cutoff == 2.0, "the averages are 3 (a) and 1 (b), c has none"


def test_without_max_t_it_never_finishes_a_trial() -> None:
    rule = MedianStopping(grace_period=UNBOUNDED)
    assert rule.grant("a", {}) == UNBOUNDED


def test_an_ended_trials_sums_go_and_its_averages_stay() -> None:
    rule = MedianStopping(max_t=9, min_trials=1)
    feed(rule, "a", 1.0)
    rule.on_end("a", Outcome(Status.FAILED, 1, 1.0))
    assert rule.state() == {"means": {"1": [1.0]}, "running": {}}
    assert isinstance(feed(rule, "b", 2.0), Stop)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=6), min_size=1, max_size=30),
    least=st.integers(1, 4),
)
def test_it_decides_as_the_definition_does(rows: list[list[float]], least: int) -> None:
    """Trials one after the other against a median computed afresh from all reports."""
    rule = MedianStopping(max_t=6, min_trials=least)
    shown: list[list[float]] = []
    for number, row in enumerate(rows):
        for step in range(1, len(row) + 1):
            decision = feed_one(rule, number, step, row[step - 1])
            averages = [fmean(other[:step]) for other in shown if len(other) >= step]
            worse = len(averages) >= least and min(row[:step]) > median(averages) + 1e-12
            same = averages and min(row[:step]) == pytest.approx(median(averages), abs=1e-9)
            if step == 6:
                assert isinstance(decision, Finish)
            elif not same:
                assert isinstance(decision, Stop if worse else RunTo)
            if isinstance(decision, Stop | Finish):
                row = row[:step]
                break
        shown.append(row)


def feed_one(rule: MedianStopping, number: int, step: int, score: float) -> Decision:
    return rule.on_report(Report(f"t{number}", 1, step, {}, score))
