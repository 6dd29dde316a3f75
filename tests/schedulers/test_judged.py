from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.judged import Judged
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import CONTINUE, Decision, Pause, RunTo, Stop
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import TWICE, RungContract, SchedulerContract
from tests.schedulers.test_pasha import Steady


class TestBest(RungContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "judge_by": "best"}


class TestSmoothed(RungContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 11,
        "grace_period": 2,
        "reduction_factor": 2,
        "form": "stopping",
        "judge_by": "smoothed",
        "smoothing": 0.9,
    }


class TestSmoothedHyperBand(SchedulerContract):
    name = "hyperband"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "judge_by": "smoothed"}


class TestSmoothedPasha(Steady):
    name = "pasha"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 8,
        "reduction_factor": 2,
        "judge_by": "smoothed",
    }


class TestSmoothedInAllMetrics(RungContract):
    name = "mo_asha"
    goal = TWICE
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "judge_by": "smoothed"}


class Seen:
    """A rule that keeps what it is shown."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def grant(self, trial: str, config: Any) -> int:
        return 100

    def on_report(self, report: Report) -> Decision:
        self.reports.append(report)
        return CONTINUE

    def next_paused(self, more: bool = True) -> None:
        return None

    def on_end(self, trial: str, outcome: Outcome) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        pass

    def shown(self, smoothing: float | None, scores: list[float]) -> list[float]:
        judged = Judged(self, smoothing)
        for step, score in enumerate(scores, 1):
            judged.on_report(Report("a", 1, step, {}, score))
        return [report.score for report in self.reports]


def test_the_moving_average_by_hand() -> None:
    """β = 0.5 and scores 4, 2, 3.

    m_1 = 0.5·4 = 2,             1 − β   = 0.5,    e_1 = 4
    m_2 = 0.5·2 + 0.5·2 = 2,     1 − β²  = 0.75,   e_2 = 8/3
    m_3 = 0.5·2 + 0.5·3 = 2.5,   1 − β³  = 0.875,  e_3 = 20/7
    """
    assert Seen().shown(0.5, [4.0, 2.0, 3.0]) == pytest.approx([4.0, 8 / 3, 20 / 7], rel=1e-15)


def test_the_best_by_hand() -> None:
    assert Seen().shown(None, [4.0, 2.0, 3.0]) == [4.0, 2.0, 2.0]


def test_what_is_not_finite_is_judged_so_and_neither_erases_nor_poisons() -> None:
    """The second report is missing its value: e_2 of the finite ones is that of [4, 2]."""
    assert Seen().shown(None, [4.0, WORST, 5.0]) == [4.0, WORST, 4.0]
    assert Seen().shown(0.5, [4.0, WORST, 2.0]) == pytest.approx([4.0, WORST, 8 / 3], rel=1e-15)
    assert Seen().shown(0.5, [WORST, 4.0]) == [WORST, 4.0], "the first finite one begins"


def test_smoothing_of_nothing_is_the_last_score() -> None:
    assert Seen().shown(0.0, [4.0, 2.0, 3.0]) == [4.0, 2.0, 3.0]


@settings(deadline=None)
@given(
    scores=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    smoothing=st.floats(0, 0.99),
)
def test_the_recursion_is_the_corrected_average(scores: list[float], smoothing: float) -> None:
    """Adam's form: m_s = β m_(s-1) + (1 − β) x_s, divided by 1 − β^s."""
    m, expected = 0.0, []
    for s, score in enumerate(scores, 1):
        m = smoothing * m + (1 - smoothing) * score
        expected.append(m / (1 - smoothing**s))
    found = Seen().shown(smoothing, scores)
    scale = max(map(abs, scores)) or 1.0
    assert all(
        math.isclose(a, b, abs_tol=1e-9 * scale) for a, b in zip(found, expected, strict=True)
    )


@given(score=st.floats(-1e300, 1e300), smoothing=st.floats(0, 0.999), count=st.integers(1, 40))
def test_a_constant_curve_stays_exactly_constant(
    score: float, smoothing: float, count: int
) -> None:
    assert set(Seen().shown(smoothing, [score] * count)) == {score}


def test_equal_judgements_rank_by_arrival() -> None:
    """Bests of 1 each, shown at different steps: ⌊2/2⌋ = 1 of two goes on, the first that came."""
    asha = build_scheduler(
        "asha", {"max_t": 4, "grace_period": 2, "reduction_factor": 2, "judge_by": "best"}
    )
    heard = [
        asha.on_report(Report(trial, 1, step, {}, score))
        for trial, curve in (("a", [1.0, 5.0]), ("b", [7.0, 1.0]))
        for step, score in enumerate(curve, 1)
    ]
    assert isinstance(heard[1], Pause)
    assert isinstance(heard[3], Pause), "a was there first"
    promotion = asha.next_paused()
    assert promotion is not None
    assert promotion.trial == "a"
    assert promotion.reason.score == 1.0


@pytest.mark.parametrize(
    ("judge_by", "goes_on"),
    [({"judge_by": "last"}, "b"), ({"judge_by": "best"}, "a"), ({"judge_by": "smoothed"}, "b")],
    ids=lambda value: value if isinstance(value, str) else value["judge_by"],
)
def test_what_it_is_judged_by_decides_who_goes_on(judge_by: dict[str, Any], goes_on: str) -> None:
    """a shows 1 then 9, b 4 then 4; smoothed with β = 0.5, a has (0.5·0.5·1 + 0.5·9)/0.75 = 6.33."""
    options = {"max_t": 4, "grace_period": 2, "reduction_factor": 2, **judge_by}
    asha = build_scheduler("asha", options)
    for trial, curve in (("a", [1.0, 9.0]), ("b", [4.0, 4.0])):
        for step, score in enumerate(curve, 1):
            decision = asha.on_report(Report(trial, 1, step, {}, score))
    if isinstance(decision, RunTo):
        assert goes_on == "b"
    else:
        promotion = asha.next_paused()
        assert promotion is not None
        assert promotion.trial == goes_on == "a"


@pytest.mark.parametrize("judge_by", ["last", "best", "smoothed"])
def test_a_trial_whose_value_is_gone_at_the_rung_is_stopped_whatever_it_had_shown(
    judge_by: str,
) -> None:
    options = {"max_t": 9, "grace_period": 2, "form": "stopping", "judge_by": judge_by}
    asha = build_scheduler("asha", options)
    asha.on_report(Report("a", 1, 1, {}, 0.0))
    assert isinstance(asha.on_report(Report("a", 1, 2, {}, WORST)), Stop)


def test_each_metric_is_smoothed_in_its_own_direction() -> None:
    goal = Goal((("loss", "min"), ("accuracy", "max")))
    seen = Seen()
    judged = Judged(seen, 0.5, goal)
    for step, (loss, accuracy) in enumerate([(4.0, 0.4), (2.0, 0.8)], 1):
        metrics = {"loss": loss, "accuracy": accuracy, "seen": step}
        judged.on_report(Report("a", 1, step, metrics, loss))
    metrics = {"loss": 1.0, "accuracy": None, "seen": 3}
    judged.on_report(Report("a", 1, 3, metrics, 1.0))
    _, second, third = (report.metrics for report in seen.reports)
    assert second == pytest.approx({"loss": 8 / 3, "accuracy": 2 / 3, "seen": 2})
    assert third == metrics, "one of its metrics is missing, so nothing is smoothed"


def test_the_numbers_of_a_trial_go_with_it() -> None:
    asha = build_scheduler("asha", {"max_t": 9, "judge_by": "best"}, Setting())
    asha.on_report(Report("a", 1, 1, {}, 1.0))
    assert asha.state()["seen"] == {"a": [1, 1.0]}
    asha.on_end("a", Outcome(Status.FAILED, 1, 1.0))
    assert asha.state()["seen"] == {}
