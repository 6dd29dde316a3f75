from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.schedulers.plateau import Plateau
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import Play, SchedulerContract


class Flat(SchedulerContract):
    """Every trial of the contract's tournament has one score for life, which is a plateau."""

    def test_nobody_is_granted_more_than_max_t(self) -> None:
        first = max(self.filled["grace_period"], self.filled["window"] + 1)
        reached = Play(self.make).tournament([float(n % 7) for n in range(40)])
        assert set(reached.values()) == {first}
        play = Play(self.make)
        trial = play.start()
        while trial in play.running:
            last = play.report(trial, -float(play.running[trial][0]))
        assert isinstance(last, Finish)
        assert last.reason.rung == self.filled["max_t"]


class TestPlateau(Flat):
    name = "plateau"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "window": 2}


class TestPlateauAskedSeldom(Flat):
    name = "plateau"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 12, "window": 3, "grace_period": 5, "interval": 2, "tolerance": 0.1,
        "smoothing": 0.0,
    }  # fmt: skip


def feed(rule: Plateau, *scores: float, trial: str = "a") -> list[Decision]:
    return [rule.on_report(Report(trial, 1, step, {}, s)) for step, s in enumerate(scores, 1)]


def test_the_rule_by_hand() -> None:
    """Window 2, tolerance 1, no smoothing: 9 7 5 4.5 4.2 improves by 4, 2.5 and 0.8."""
    rule = Plateau(window=2, tolerance=1.0, smoothing=0.0)
    assert rule.grant("a", {}) == 3
    heard = feed(rule, 9.0, 7.0, 5.0, 4.5, 4.2)
    assert heard[:2] == [CONTINUE, CONTINUE]
    assert heard[2] == RunTo(4, Reason("plateau", 3, 5.0, 8.0))
    assert heard[3] == RunTo(5, Reason("plateau", 4, 4.5, 6.0))
    assert heard[4] == Stop(Reason("plateau", 5, 4.2, 4.0))


def test_the_curve_is_smoothed_by_hand() -> None:
    """Weight 0.5: 8, (8+0)/2 = 4, (4+8)/2 = 6, (6+0)/2 = 3; raw, the third is no improvement."""
    heard = feed(Plateau(window=2, smoothing=0.5), 8.0, 0.0, 8.0, 0.0)
    assert heard[2:] == [
        RunTo(4, Reason("plateau", 3, 6.0, 8.0)),
        RunTo(5, Reason("plateau", 4, 3.0, 4.0)),
    ]
    assert isinstance(feed(Plateau(window=2, smoothing=0.0), 8.0, 0.0, 8.0)[2], Stop)


def test_an_improvement_of_just_the_tolerance_is_none() -> None:
    assert isinstance(feed(Plateau(window=1, tolerance=0.5, smoothing=0.0), 3.0, 2.5)[1], Stop)
    assert isinstance(feed(Plateau(window=1, tolerance=0.5, smoothing=0.0), 3.0, 2.4)[1], RunTo)


def test_a_curve_that_gets_worse_ends() -> None:
    assert isinstance(feed(Plateau(window=2), 1.0, 5.0, 50.0)[2], Stop)


def test_grace_is_at_least_a_window_and_interval_counts_from_there() -> None:
    assert Plateau(window=4, grace_period=2).grant("a", {}) == 5
    rule = Plateau(window=2, grace_period=4, interval=3)
    assert rule.grant("a", {}) == 4
    heard = feed(rule, *[100.0 / step for step in range(1, 8)])
    assert [type(d) for d in heard].count(RunTo) == 2
    assert isinstance(heard[3], RunTo)
    assert isinstance(heard[6], RunTo)


def test_what_is_missing_where_it_is_asked_stops_a_trial() -> None:
    assert feed(Plateau(window=1), 9.0, WORST)[1] == Stop(Reason("plateau", 2, WORST))


def test_what_is_missing_before_repeats_the_curve_or_delays_it() -> None:
    """9 – 5 with window 2: the curve is 9 9 5. – 9 5: there is no window behind it yet."""
    heard = feed(Plateau(window=2, smoothing=0.0), 9.0, WORST, 5.0)
    assert heard[2] == RunTo(4, Reason("plateau", 3, 5.0, 9.0))
    late = feed(Plateau(window=2, smoothing=0.0), WORST, 9.0, 9.0, 9.0)
    assert late[2] == RunTo(4, Reason("plateau", 3, 9.0))
    assert isinstance(late[3], Stop)


def test_trials_are_judged_by_themselves_and_forgotten() -> None:
    rule = Plateau(window=1, smoothing=0.0)
    feed(rule, 1.0, 0.5, trial="good")
    assert isinstance(feed(rule, 90.0, 80.0, trial="bad")[1], RunTo)
    rule.on_end("good", Outcome(Status.FAILED, 2, 0.5))
    assert rule.state() == {"curves": {"bad": [90.0, 80.0]}}


@given(
    scores=st.lists(st.floats(-100, 100), min_size=1, max_size=25),
    window=st.integers(1, 5),
    tolerance=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_unsmoothed_it_stops_where_the_definition_does(
    scores: list[float], window: int, tolerance: float
) -> None:
    rule = Plateau(window=window, tolerance=tolerance, smoothing=0.0)
    for step, decision in enumerate(feed(rule, *scores), 1):
        if step <= window:
            assert decision is CONTINUE
        else:
            flat = scores[step - 1] >= scores[step - 1 - window] - tolerance
            assert isinstance(decision, Stop if flat else RunTo)


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_memory_is_a_window_however_long_the_trial(smoothing: float) -> None:
    rule = Plateau(window=3, smoothing=smoothing)
    feed(rule, *[1.0 / step for step in range(1, 200)])
    assert len(rule.state()["curves"]["a"]) == 4
