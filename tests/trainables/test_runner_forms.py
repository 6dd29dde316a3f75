"""The forms of training code as the runner meets them: functions, generators, adapters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables.base import TrialContext
from raysweep.trainables.checkpoint import verify_checkpoint
from raysweep.trainables.runner import Holds, HostSpec, Runner
from raysweep.trials.actions import Pause
from tests.trainables.counting import CLOCK, WHY, Counter, Here, MakeRunner, kinds, start, steps


@pytest.fixture
def make(tmp_path: Path) -> MakeRunner:
    def make(target: Any = Counter, **options: Any) -> Runner:
        options = {"metrics": ("loss",), **options}
        return Runner(HostSpec(Here(target), str(tmp_path), **options), CLOCK, "node1")

    return make


def test_a_function_is_told_of_its_trial_and_restores(make: MakeRunner) -> None:
    seen: list[Any] = []

    def train(config: dict[str, Any], trial: TrialContext) -> Iterator[dict[str, int]]:
        step = trial.step
        seen.append((trial.id, trial.seed, trial.attempt, trial.step, trial.checkpoint is None))
        trial.on_save(lambda folder: (folder / "step").write_text(str(step)) and None)
        if trial.checkpoint is not None:
            assert (trial.checkpoint / "step").read_text() == str(step)
        try:
            while True:
                step += 1
                yield {"loss": step}
        finally:
            seen.append(f"left at {step}")

    runner = make(train)
    runner.exchange([start(run_to=2)], 60)
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    events = runner.exchange([start(attempt=2, step=2, checkpoint=paused.path, run_to=3)], 60)
    assert steps(events) == [3]
    assert seen == [
        ("t000001", 7, 1, 0, True), "left at 2", ("t000001", 7, 2, 2, False)
    ]  # fmt: skip


def test_training_code_is_told_what_it_holds(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []

    def train(config: dict[str, Any], trial: TrialContext) -> Iterator[dict[str, float]]:
        seen.append((trial.gpu, trial.cpu))
        yield {"loss": 1.0}

    spec = HostSpec(Here(train), str(tmp_path), ("loss",))
    events = Runner(spec, CLOCK, "node1", Holds(0.5, 2.0)).exchange([start()], 60)
    assert seen == [(0.5, 2.0)]
    assert events[0][-2:] == (0.5, 2.0)


def test_what_a_function_returns_is_its_last_report(make: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
        yield {"loss": 2.0}
        return {"loss": 1.0}

    events = make(train).exchange([start()], 60)
    assert kinds(events) == ["Started", "Reported", "Ended"]
    assert events[1].metrics == {"loss": [2.0, 1.0]}


def test_users_see_a_nested_config(make: MakeRunner) -> None:
    runner = make(lambda config: {"loss": config["lr"] * config["net"]["width"]})
    events = runner.exchange([start(config={"lr": 0.5, "net/width": 3})], 60)
    assert events[1].metrics == {"loss": [1.5]}


def test_an_adapter_gets_the_config_flat(make: MakeRunner) -> None:
    class Flat(Counter):
        flat_config = True

        def setup(self, config: dict[str, Any]) -> None:
            super().setup({"end": config["net/width"]})

    events = make(Flat).exchange([start(config={"net/width": 2})], 60)
    assert steps(events) == [1, 2]


def test_a_checkpoint_that_is_at_hand_is_written_at_once(make: MakeRunner) -> None:
    class Handing(Counter):
        def step(self) -> dict[str, float] | None:
            row = super().step()
            self.has_checkpoint = self.value in (2, 3)
            return row

    events = make(Handing).exchange([start(run_to=4)], 60)
    told = [(type(e).__name__, getattr(e, "steps", None) or e.step) for e in events[1:]]
    assert told == [
        ("Reported", [1, 2]), ("Checkpointed", 2), ("Reported", [3]), ("Checkpointed", 3),
        ("Reported", [4]),
    ]  # fmt: skip


def test_without_metrics_a_trial_may_end_in_silence(make: MakeRunner) -> None:
    events = make(lambda config: None, metrics=()).exchange([start()], 60)
    assert kinds(events) == ["Started", "Ended"]


def test_checkpoints_go_to_the_sweep_wherever_the_code_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Moving(Counter):
        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config)
            os.chdir("elsewhere")

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    runner = Runner(HostSpec(Here(Moving), "sweep", ("loss",)), CLOCK)
    runner.exchange([start(run_to=1)], 60)
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    verify_checkpoint(tmp_path / "sweep" / str(paused.path))
