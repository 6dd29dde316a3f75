from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.schedulers.patience import Patience
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import Play, SchedulerContract


class Steady(SchedulerContract):
    """Every trial of the contract's tournament has one score for life: nobody improves."""

    def test_nobody_is_granted_more_than_max_t(self) -> None:
        first = max(self.filled["grace_period"], self.filled["patience"] + 1)
        reached = Play(self.make).tournament([float(n % 7) for n in range(40)])
        assert set(reached.values()) == {first}
        play = Play(self.make)
        trial = play.start()
        while trial in play.running:
            last = play.report(trial, -float(play.running[trial][0]))
        assert isinstance(last, Finish)
        assert last.reason.rung == self.filled["max_t"]


class TestPatience(Steady):
    name = "patience"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "patience": 2}


class TestPatienceAfterGrace(Steady):
    name = "patience"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 12, "patience": 3, "grace_period": 5, "min_delta": 0.1, "smoothing": 0.3,
    }  # fmt: skip


def feed(rule: Patience, *scores: float, trial: str = "a") -> list[Decision]:
    """Report `scores` at steps 1, 2, … until it ends."""
    heard: list[Decision] = []
    for step, score in enumerate(scores, 1):
        heard.append(rule.on_report(Report(trial, 1, step, {}, score)))
        if isinstance(heard[-1], Stop | Finish):
            break
    return heard


def test_the_rule_by_hand() -> None:
    """Patience 3: 9 8 8.5 7 7 7 7. Asked at 4, where the best (7) is of step 4; it ends at 7."""
    rule = Patience(patience=3)
    assert rule.grant("a", {}) == 4
    heard = feed(rule, 9.0, 8.0, 8.5, 7.0, 7.0, 7.0, 7.0, 1.0)
    assert heard[:3] == [CONTINUE] * 3
    assert heard[3] == RunTo(7, Reason("patience", 4, 7.0, 7.0))
    assert heard[4:6] == [CONTINUE] * 2
    assert heard[6:] == [Stop(Reason("patience", 7, 7.0, 7.0))]


def test_it_asks_no_sooner_than_it_could_stop() -> None:
    """At 3 the best is of step 2, which is old enough at 4; there it is still of step 2."""
    heard = feed(Patience(patience=2), 9.0, 8.0, 8.0, 8.0)
    assert heard[2] == RunTo(4, Reason("patience", 3, 8.0, 8.0))
    assert isinstance(heard[3], Stop)


def test_small_improvements_add_up() -> None:
    """min_delta 1, patience 3: 9.0 8.6 8.2 8.0: the fourth is 1 below the best, 9, of step 1."""
    heard = feed(Patience(patience=3, min_delta=1.0), 9.0, 8.6, 8.2, 8.0)
    assert heard[3] == RunTo(7, Reason("patience", 4, 8.0, 7.0))
    assert isinstance(feed(Patience(patience=3, min_delta=1.0), 9.0, 8.6, 8.2, 8.1)[3], Stop)


def test_without_min_delta_the_same_value_again_is_no_improvement() -> None:
    assert isinstance(feed(Patience(patience=1), 5.0, 5.0)[1], Stop)
    assert isinstance(feed(Patience(patience=1), 5.0, 4.9)[1], RunTo)


def test_a_lucky_value_counts_for_less_on_a_smoothed_curve() -> None:
    """Weight 0.5: 8, (8+4)/2 = 6, (6+5)/2 = 5.5: it improves, where the best raw value is of 2."""
    scores = (8.0, 4.0, 5.0)
    heard = feed(Patience(patience=1, smoothing=0.5), *scores)
    assert heard[1:] == [
        RunTo(3, Reason("patience", 2, 6.0, 6.0)),
        RunTo(4, Reason("patience", 3, 5.5, 5.5)),
    ]
    assert isinstance(feed(Patience(patience=1), *scores)[2], Stop)


def test_nobody_is_stopped_before_the_grace_period() -> None:
    rule = Patience(patience=1, grace_period=4)
    assert rule.grant("a", {}) == 4
    heard = feed(rule, 1.0, 2.0, 3.0, 4.0)
    assert heard[:3] == [CONTINUE] * 3
    assert heard[3] == Stop(Reason("patience", 4, 4.0, 1.0))


def test_max_t_comes_first() -> None:
    rule = Patience(patience=3, max_t=5)
    heard = feed(rule, 9.0, 8.0, 7.0, 6.0, 5.0)
    assert heard[3] == RunTo(5, Reason("patience", 4, 6.0, 6.0))
    assert heard[4] == Finish(Reason("max_t", 5, 5.0))


def test_what_is_missing_stops_a_trial_where_it_is_asked_and_is_no_improvement_before() -> None:
    assert feed(Patience(patience=1), 9.0, WORST)[1] == Stop(Reason("patience", 2, WORST))
    assert isinstance(feed(Patience(patience=2), 9.0, WORST, 9.0)[2], Stop)
    late = feed(Patience(patience=2), WORST, WORST, 9.0, 9.0, 9.0)
    assert late[2] == RunTo(5, Reason("patience", 3, 9.0, 9.0))
    assert isinstance(late[4], Stop)


def test_trials_are_judged_by_themselves_and_forgotten() -> None:
    rule = Patience(patience=1)
    feed(rule, 1.0, 0.5, trial="good")
    assert isinstance(feed(rule, 90.0, 80.0, trial="bad")[1], RunTo)
    rule.on_end("good", Outcome(Status.FAILED, 2, 0.5))
    assert rule.state() == {"curves": {"bad": [80.0, 80.0, 2, 3]}}


@pytest.mark.parametrize("min_delta", [0.0, 3.0])
@given(
    scores=st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=40),
    patience=st.integers(1, 5),
    grace=st.integers(1, 8),
)
def test_it_ends_at_the_step_at_which_a_counter_runs_out(
    scores: list[float], patience: int, grace: int, min_delta: float
) -> None:
    """The usual way to write it: a counter of steps since the last improvement, asked at each."""
    best, waited, expected = float("inf"), 0, None
    for step, score in enumerate(scores, 1):
        improved = score < best and score <= best - min_delta
        best, waited = (score, 0) if improved else (best, waited + 1)
        if waited >= patience and step >= grace:
            expected = step
            break
    heard = feed(Patience(patience=patience, grace_period=grace, min_delta=min_delta), *scores)
    assert isinstance(heard[-1], Stop) == (expected is not None)
    assert len(heard) == (expected or len(scores))
