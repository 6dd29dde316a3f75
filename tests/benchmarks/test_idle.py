"""The simulated cost of asking: what idles is what waits for a suggestion, and no more."""

from __future__ import annotations

from typing import Any, cast

import pytest

from benchmarks import idle
from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.trials.actions import RunTo, Start
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Reason
from raysweep.trials.events import Suggested

ASK_S = 0.5
WHY = Reason("test")


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each suggestion takes exactly half a second of processor time."""
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(idle, "processor_s", lambda: next(ticks) * ASK_S)


@pytest.mark.usefixtures("dear")
@pytest.mark.parametrize("aside", [True, False])
def test_one_worker_idles_for_one_suggestion_per_trial(aside: bool) -> None:
    row = idle.measure("random", "fifo", workers=1, until_s=200.0, step_s=10.0, aside=aside)
    assert row["ask_ms"] == 1e3 * ASK_S
    assert row["idle"] == pytest.approx(row["suggestions"] * ASK_S / 200.0, rel=0.1)
    assert row["late_p95_ms"] == 0.0


@pytest.mark.usefixtures("dear")
def test_reports_wait_for_suggestions_only_where_they_are_made_in_turn() -> None:
    rows = {
        aside: idle.measure("random", "fifo", workers=15, until_s=60.0, step_s=10.0, aside=aside)
        for aside in (True, False)
    }
    assert rows[True]["late_p95_ms"] == 0.0
    assert rows[False]["late_p95_ms"] > 0.0
    assert 0.05 < rows[True]["idle"] < 0.6, "15 workers want 1.3 a second, and 2 are made"


@pytest.mark.usefixtures("dear")
def test_a_searcher_that_is_too_slow_keeps_its_thread_busy_and_its_workers_idle() -> None:
    row = idle.measure("random", "fifo", workers=60, until_s=60.0, step_s=10.0, aside=True)
    assert row["thread"] == pytest.approx(1.0, abs=0.05)
    # 2 configs a second can keep 2 × 11.3 s (the mean of the lognormal) of 60 slots busy
    assert row["idle"] == pytest.approx(1.0 - 2.0 * 11.3 / 60.0, abs=0.1)


def test_a_slot_that_runs_on_to_the_next_rung_is_not_idle() -> None:
    clock = ManualClock()
    pool = SimulatedPool(Machine(workers=1, step_s=10.0), idle.curve, clock)

    def propose(trial: str, at: float) -> Suggested:
        return Suggested(at, trial, {})

    asker = idle.Asker(cast("Any", propose), pool, clock, aside=True)
    config = {"lr": 0.01, "decay": 1e-4, "dropout": 0.1, "width": 64}
    asker.poll(0.0)
    clock.sleep(2.0)
    asker.do(Start("t000000", 1, "s00000", config, 0, 0, None, 3, WHY))
    asker.poll(10.5)
    assert asker.idle_s(100.0) == 2.0, "one step of three is done"
    while clock.now() < 32.0:
        asker.poll(30.0)
    assert asker.idle_s(100.0) == 2.0 + 68.0
    clock.jump_to(40.0)
    asker.do(RunTo("t000000", 1, "s00000", 9, WHY))
    assert asker.idle_s(100.0) == 2.0 + (clock.now() - 32.0)
