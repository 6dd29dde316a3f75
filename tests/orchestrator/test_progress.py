"""Progress is a second fold over what the state machine folds: both must tell the same story."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.progress import Failure, Progress
from raysweep.orchestrator.progress_recorded import recorded_progress
from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.state import SweepState
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import (
    Ended,
    Event,
    Failed,
    Opened,
    Reported,
    SlotUp,
    Started,
    Suggested,
    SuggestFailed,
)
from raysweep.trials.goal import Goal
from raysweep.trials.trial import Status
from tests.orchestrator.harness import Crash, Memory, make_state, run

ASHA = {"name": "asha", "max_t": 9, "grace_period": 1, "reduction_factor": 3}
PROMOTION: dict[str, Any] = {**ASHA, "form": "promotion"}
STOPPING: dict[str, Any] = {**ASHA, "form": "stopping"}
FIFO: dict[str, Any] = {"name": "fifo", "max_t": 4}
MEDIAN: dict[str, Any] = {"name": "median", "max_t": 6}
ROUGH = Machine(4, step_sigma=0.5, error_rate=0.02, crash_rate=0.02, loss_rate=0.03)


def _agree(progress: Progress, state: SweepState) -> None:
    assert {status: progress.trials[status] for status in state.ended} == state.ended
    assert progress.live.keys() == state.live.keys()
    assert progress.busy == state.slots.busy
    assert progress.slots == len(state.slots)
    assert progress.steps == state.spend.steps
    waiting = state.waiting.state()
    asked = len(waiting["asked"]) + len(waiting["unanswered"])
    assert progress.issued == waiting["issued"] - asked
    assert progress.gpu_s == pytest.approx(state.spend.gpu_s)


def _show(progress: Progress) -> dict[str, Any]:
    """Everything that a resumed sweep's view takes over from its record."""
    counts = progress.rungs.counts.items()
    return {
        "at": progress.at,
        "trials": progress.trials,
        "issued": progress.issued,
        "steps": progress.steps,
        "best": progress.best,
        "rungs": {r: (c.went_on, c.paused, c.stopped, c.finished) for r, c in counts},
        "live": {name: (t.status, t.attempt, t.config) for name, t in progress.live.items()},
    }


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), scheduler=st.sampled_from([FIFO, PROMOTION, STOPPING, MEDIAN]))
def test_after_every_event_progress_agrees_with_the_state_machine(
    seed: int, scheduler: dict[str, Any]
) -> None:
    state = make_state(scheduler, seed=seed, gpu=0.25, budget=Budget(trials=15))
    progress, best = Progress(state.rules), math.inf

    def observe(event: Event, verdicts: Sequence[Verdict]) -> None:
        nonlocal best
        progress.observe(event, verdicts)
        _agree(progress, state)
        if isinstance(event, Reported):
            losses = [loss for loss in event.metrics["loss"] if math.isfinite(loss)]
            best = min([best, *losses])

    closed = run(state, ROUGH, Memory(), seed=seed, observe=observe)
    assert progress.closed == closed
    assert progress.best is None or progress.best.value >= best
    assert sum(progress.failures.values()) >= progress.trials[Status.FAILED]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), crash_at=st.integers(1, 80))
def test_progress_goes_on_under_the_next_driver(seed: int, crash_at: int) -> None:
    state = make_state(PROMOTION, seed=seed, gpu=0.25, budget=Budget(trials=15))
    progress, seen = Progress(state.rules), 0

    def observe(event: Event, verdicts: Sequence[Verdict]) -> None:
        nonlocal seen
        progress.observe(event, verdicts)
        _agree(progress, state)
        seen += 1
        if seen == crash_at:
            raise Crash

    with contextlib.suppress(Crash):
        run(state, ROUGH, Memory(), seed=seed, observe=observe)
    if not state.closed:
        run(state, ROUGH, Memory(), seed=seed, epoch=2, observe=observe)
    assert progress.closed is not None


def test_at_a_rung_every_trial_is_counted_once() -> None:
    state = make_state(PROMOTION, budget=Budget(trials=27))
    progress = Progress(state.rules)
    run(state, Machine(4), Memory(), observe=progress.observe)
    counts = progress.rungs.counts
    assert counts[1].reached == 27
    assert counts[3].reached == counts[1].went_on
    assert counts[9].reached == counts[3].went_on
    assert counts[9].finished == progress.trials[Status.COMPLETED]
    assert counts[1].paused + counts[3].paused == progress.trials[Status.PAUSED]


@pytest.mark.parametrize("crash_at", [40, math.inf])
@pytest.mark.parametrize("scheduler", [PROMOTION, STOPPING], ids=["promotion", "stopping"])
def test_what_the_record_shows_is_what_was_observed(
    tmp_path: Path, scheduler: dict[str, Any], crash_at: float
) -> None:
    state = make_state(scheduler, budget=Budget(trials=15))
    progress = Progress(state.rules)
    manifest = {"name": "s", "seed": 0, "spec": {}, "metrics": {"loss": "min"}, "columns": {}}
    store = Store.create(tmp_path / "s", manifest, clock=ManualClock(), fsync="os")
    seen = 0

    def observe(event: Event, verdicts: Sequence[Verdict]) -> None:
        nonlocal seen
        seen += 1
        progress.observe(event, verdicts)
        store.append(event, verdicts)
        if seen >= crash_at:
            raise Crash

    if crash_at == math.inf:
        run(state, Machine(4), Memory(), observe=observe)
    else:
        with pytest.raises(Crash):
            run(state, Machine(4), Memory(), observe=observe)
    store.close()
    assert _show(recorded_progress(read(tmp_path / "s"), state.rules)) == _show(progress)


def _progress(mode: str = "min", **budget: Any) -> Progress:
    goal = Goal((("loss", "max" if mode == "max" else "min"),))
    return Progress(Rules(goal, Budget(**budget), gpu=0.5))


def _begin(progress: Progress, trial: str = "t000000", at: float = 0.0) -> None:
    progress.observe(Suggested(at, trial, {"x": 1}), ())
    progress.observe(SlotUp(at, f"s-{trial}", "n", ""), [Verdict(trial, 1, 0, "start", "new", 9)])


def _report(at: float, step: int, loss: Any, trial: str = "t000000", attempt: int = 1) -> Reported:
    return Reported(at, trial, attempt, [step], [0.1], {"loss": [loss]})


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [("min", [2.0, 1.0, 3.0], 1.0), ("max", [2.0, 1.0, 3.0], 3.0), ("max", [1, 2], 2)],
)
def test_the_best_is_the_best_in_the_metrics_direction(
    mode: str, values: list[float], best: float
) -> None:
    progress = _progress(mode)
    _begin(progress)
    for step, value in enumerate(values, start=1):
        progress.observe(_report(step, step, value), ())
    assert progress.best is not None
    assert (progress.best.value, progress.best.config) == (best, {"x": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.1"])
def test_what_is_no_finite_number_is_never_the_best(value: Any) -> None:
    progress = _progress("max")
    _begin(progress)
    progress.observe(_report(1, 1, value), ())
    assert progress.best is None


def test_a_zombies_report_changes_nothing() -> None:
    progress = _progress()
    _begin(progress)
    progress.observe(_report(1, 1, 0.5, attempt=0), ())
    progress.observe(_report(1, 1, 0.5, trial="t000009"), ())
    assert (progress.best, progress.steps) == (None, 0)


def test_reports_per_second_look_back_five_seconds() -> None:
    progress = _progress()
    progress.observe(Opened(0.0, 1, 0.0, "here"), ())
    _begin(progress)
    for step in range(1, 101):
        progress.observe(_report(step / 10, step, 1.0), ())
    assert progress.reports_per_s(10.0) == pytest.approx(10.0, rel=0.25)
    assert progress.reports_per_s(30.0) == 0.0


def test_the_eta_is_that_of_the_limit_reached_first() -> None:
    progress = _progress(wall_time_s=1000.0, steps=100)
    _begin(progress)
    assert progress.eta_s(10.0) == 990.0
    for step in range(1, 51):
        progress.observe(_report(step / 5, step, 1.0), ())
    assert progress.eta_s(10.0) == pytest.approx(10.0)
    assert [(s.name, s.used, s.limit) for s in progress.spent(10.0)] == [
        ("steps", 50, 100),
        ("wall_time_s", 10.0, 1000.0),
    ]


def test_without_anything_done_there_is_no_telling() -> None:
    assert _progress(trials=10).eta_s(3.0) is None
    assert _progress().eta_s(3.0) is None


def test_gpus_count_what_each_attempt_really_holds() -> None:
    """Half a GPU until it is set up, then a whole one, for 1,800 s each."""
    progress = _progress(gpu_hours=1.0)
    _begin(progress)
    progress.observe(SlotUp(0.0, "large", "n", "", "", 2), ())
    assert progress.gpus == (0.5, 1.5)
    progress.observe(Started(1800.0, "t000000", 1, 0, "large", "n", 0.1, 1.0, 2.0), ())
    assert progress.gpus == (1.0, 1.5)
    progress.observe(Ended(3600.0, "t000000", 1, 9), ())
    assert progress.gpus == (0.0, 1.5)
    assert progress.gpu_s == 900.0 + 1800.0


def test_gpus_count_the_fraction_of_each_slot() -> None:
    progress = _progress(gpu_hours=1.0)
    _begin(progress, "t000000")
    _begin(progress, "t000001")
    progress.observe(Ended(3600.0, "t000000", 1, 5), ())
    assert progress.gpus == (0.5, 1.0)
    assert progress.gpu_s == 3600.0


def test_only_the_newest_errors_are_kept_and_all_are_counted() -> None:
    progress = _progress()
    for number in range(8):
        trial = f"t{number:06d}"
        _begin(progress, trial)
        progress.observe(Failed(1.0, trial, 1, "error", f"no {number}", ""), ())
    progress.observe(SuggestFailed(2.0, "t000009", "out of ideas"), ())
    assert progress.failures == {"error": 8, "suggestion": 1}
    assert progress.errors[-1] == Failure("t000009", 0, "suggestion", "out of ideas")
    assert [failure.message for failure in progress.errors][:4] == ["no 4", "no 5", "no 6", "no 7"]
    assert progress.trials[Status.FAILED] == 8


def test_a_finished_trial_leaves_nothing_but_counters() -> None:
    state = make_state(STOPPING, budget=Budget(trials=50))
    progress = Progress(state.rules)
    run(state, Machine(4), Memory(), observe=progress.observe)
    assert progress.live == {}
    assert sum(progress.trials.values()) == 50
