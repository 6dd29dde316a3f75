from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.schedulers.threshold import Line, Threshold
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, RunTo, Stop
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import SchedulerContract

LOSS, ACCURACY = Goal((("loss", "min"),)), Goal((("accuracy", "max"),))


class TestThreshold(SchedulerContract):
    name = "threshold"
    options: ClassVar[dict[str, Any]] = {"max_t": 6, "upper": 4.0}


class TestThresholdThatNarrows(SchedulerContract):
    name = "threshold"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 8, "grace_period": 2, "interval": 3, "upper": [[1, 5.0], [4, 3.0]],
    }  # fmt: skip


def judge(rule: Threshold, goal: Goal, step: int, value: float) -> Decision:
    return rule.on_report(
        Report("a", 1, step, {}, goal.score({goal.metric: value})),
    )


def test_a_loss_that_explodes() -> None:
    rule = Threshold.of(Setting(LOSS), upper=10.0, max_t=5)
    assert judge(rule, LOSS, 1, 9.9) == RunTo(2, Reason("threshold", 1, 9.9, 10.0))
    assert isinstance(judge(rule, LOSS, 2, 10.0), RunTo), "a bound itself is within"
    assert judge(rule, LOSS, 3, 10.1) == Stop(Reason("threshold", 3, 10.1, 10.0))
    assert isinstance(judge(rule, LOSS, 5, 99.0), Finish)


def test_an_accuracy_no_better_than_guessing() -> None:
    """lower is in the accuracy's own unit; in scores, 0.1 is −0.1, and worse is more."""
    rule = Threshold.of(Setting(ACCURACY), lower=0.1)
    assert judge(rule, ACCURACY, 1, 0.11) == RunTo(2, Reason("threshold", 1, -0.11, -0.1))
    stopped = judge(rule, ACCURACY, 2, 0.09)
    assert stopped == Stop(Reason("threshold", 2, -0.09, -0.1))
    assert ACCURACY.value(stopped.reason.cutoff or 0.0) == 0.1


@pytest.mark.parametrize("goal", [LOSS, ACCURACY])
@given(value=st.floats(-20, 20), ends=st.tuples(st.floats(-10, 10), st.floats(-10, 10)))
def test_whatever_is_outside_of_both_bounds_ends_whichever_way_is_better(
    goal: Goal, value: float, ends: tuple[float, float]
) -> None:
    lower, upper = sorted(ends)
    decision = judge(Threshold.of(Setting(goal), lower, upper), goal, 1, value)
    assert isinstance(decision, RunTo if lower <= value <= upper else Stop)


def test_the_bound_that_is_named_is_the_one_that_is_broken() -> None:
    rule = Threshold.of(Setting(LOSS), 0.0, 10.0)
    assert judge(rule, LOSS, 1, -1.0).reason.cutoff == 0.0
    assert judge(rule, LOSS, 1, 11.0).reason.cutoff == 10.0
    assert judge(rule, LOSS, 1, 5.0).reason.cutoff == 10.0
    only_lower = Threshold.of(Setting(LOSS), lower=0.0)
    assert judge(only_lower, LOSS, 1, 5.0).reason.cutoff == 0.0


def test_what_is_not_finite_ends_without_any_bound() -> None:
    assert judge(Threshold.of(Setting(LOSS), lower=0.0), LOSS, 1, float("nan")) == Stop(
        Reason("threshold", 1, WORST, 0.0)
    )
    assert Threshold().on_report(Report("a", 1, 1, {}, WORST)) == Stop(
        Reason("threshold", 1, WORST, None)
    )


def test_a_bound_that_changes_with_the_steps() -> None:
    """No bound before step 3, 8 from there, 2 from step 5."""
    rule = Threshold.of(Setting(LOSS), upper=[(3, 8.0), (5, 2.0)])
    values = {2: 99.0, 3: 8.0, 4: 7.0, 5: 2.0, 6: 2.5}
    heard = [judge(rule, LOSS, step, value) for step, value in values.items()]
    assert [type(decision) for decision in heard] == [RunTo, RunTo, RunTo, RunTo, Stop]
    assert [decision.reason.cutoff for decision in heard] == [None, 8.0, 8.0, 2.0, 2.0]
    falling = Threshold.of(Setting(ACCURACY), lower=[(1, 0.1), (4, 0.6)])
    assert isinstance(judge(falling, ACCURACY, 3, 0.2), RunTo)
    assert isinstance(judge(falling, ACCURACY, 4, 0.2), Stop)


def test_grace_and_interval() -> None:
    rule = Threshold.of(Setting(LOSS), upper=1.0, grace_period=3, interval=2)
    assert rule.grant("a", {}) == 3
    assert judge(rule, LOSS, 2, 50.0) is CONTINUE
    assert judge(rule, LOSS, 3, 0.5) == RunTo(5, Reason("threshold", 3, 0.5, 1.0))
    assert judge(rule, LOSS, 4, 50.0) is CONTINUE
    assert isinstance(judge(rule, LOSS, 5, 50.0), Stop)


def test_it_remembers_nothing() -> None:
    rule = Threshold.of(Setting(LOSS), upper=1.0)
    judge(rule, LOSS, 1, 0.5)
    rule.on_end("a", Outcome(Status.STOPPED, 1, 0.5))
    assert rule.state() == {}


def test_a_line_by_hand() -> None:
    line = Line([(2, 1.0), (5, 3.0)], 9.0)
    assert [line.at(step) for step in (1, 2, 4, 5, 99)] == [9.0, 1.0, 1.0, 3.0, 3.0]
    assert Line(None, 9.0).at(3) == 9.0
    assert Line(4, 9.0).at(1) == 4.0


def test_bounds_as_json_carries_them() -> None:
    options = {"upper": [[1, 5], [4, 3]]}
    rule = build_scheduler("threshold", options, Setting(LOSS))
    assert isinstance(rule.on_report(Report("a", 1, 4, {}, 3.5)), Stop)
