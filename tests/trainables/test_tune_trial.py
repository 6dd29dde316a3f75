from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune

from raysweep.trainables.log import FOLDER as LOGS
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trainables.tune import (
    TuneSettings,
    tune_target,
)
from raysweep.trials.actions import Pause
from raysweep.trials.clock import SystemClock
from raysweep.trials.events import Checkpointed, Paused
from tests.trainables.tune_trials import (
    WHY,
    Here,
    MakeRunner,
    failure,
    kinds,
    metrics,
    start,
)


def counting(config: dict[str, Any]) -> None:
    """Reports 1, 2, ... with a checkpoint at each multiple of `every`, and goes on from it."""
    number, every = 0, config.get("every", 1)
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            number = int((Path(folder) / "deep" / "number").read_text())
    while number < config.get("end", 1000):
        number += 1
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "deep").mkdir()
            (Path(folder) / "deep" / "number").write_text(str(number))
            kept = tune.Checkpoint.from_directory(folder) if number % every == 0 else None
            tune.report({"loss": number}, checkpoint=kept)


def test_users_see_what_decode_gives(make_tune: MakeRunner) -> None:
    runner = make_tune(lambda config: {"loss": config["lr"] * config["net"]["width"]})
    events = runner.exchange([start(config={"lr": 0.5, "net/width": 3})], 60)
    assert metrics(events) == [1.5]


def test_one_trial_cannot_change_the_config_of_another(tmp_path: Path) -> None:
    shared = {"list": [0]}

    def train(config: dict[str, Any]) -> dict[str, Any]:
        config["list"].append(1)
        return {"loss": len(config["list"])}

    target = tune_target(train, TuneSettings(lambda flat: shared, "exp", str(tmp_path)))
    runner = Runner(HostSpec(Here(target), str(tmp_path), ("loss",)), SystemClock())
    assert metrics(runner.exchange([start()], 60)) == [2]
    assert metrics(runner.exchange([start("t000002")], 60)) == [2]


def test_the_context_tells_of_the_trial(make_tune: MakeRunner, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def train(config: dict[str, Any]) -> dict[str, float]:
        context = tune.get_context()
        seen.update(
            id=context.get_trial_id(),
            name=context.get_trial_name(),
            dir=context.get_trial_dir(),
            resources=context.get_trial_resources(),
            experiment=context.get_experiment_name(),
            cwd=os.getcwd(),  # noqa: PTH109
            checkpoint=tune.get_checkpoint(),
        )
        Path("mine.txt").write_text("left here")
        return {"loss": 0.5}

    holds = tune.PlacementGroupFactory([{"CPU": 1}])
    runner = make_tune(
        train, resources=holds, trial_names=lambda trial, config: f"{trial}-{config['a']}"
    )
    runner.exchange([start(config={"a": 3})], 60)
    folder = tmp_path / "artifacts" / "t000001"
    assert seen == {
        "id": "t000001", "name": "t000001-3", "dir": str(folder), "resources": holds,
        "experiment": "exp", "cwd": str(folder), "checkpoint": None,
    }  # fmt: skip
    assert (folder / "mine.txt").read_text() == "left here"


def test_the_working_directory_stays_if_tune_is_told_so(
    make_tune: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    before, seen = Path.cwd(), []
    make_tune(lambda config: seen.append(Path.cwd()) or 0.5, metrics=()).exchange([start()], 60)
    assert seen == [before]


def test_what_it_prints_goes_to_its_log(make_tune: MakeRunner, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        print("from the thread")
        print("and there", file=sys.stderr)
        return {"loss": 0.5}

    make_tune(train).exchange([start()], 60)
    assert (tmp_path / LOGS / "t000001-1.txt").read_text() == "from the thread\nand there\n"


def test_users_own_values_win(make_tune: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> None:
        tune.report({"loss": 1.0, "training_iteration": 10, "time_total_s": 99.0})

    events = make_tune(train).exchange([start()], 60)
    assert events[1].metrics == {"loss": [1.0], "training_iteration": [10], "time_total_s": [99.0]}


def test_done_ends_the_trial(make_tune: MakeRunner) -> None:
    story: list[str] = []

    def train(config: dict[str, Any]) -> None:
        try:
            tune.report({"loss": 1.0, "done": True})
        finally:
            story.append("unwound")

    runner = make_tune(train)
    events = runner.exchange([start()], 60)
    assert kinds(events) == ["Started", "Reported", "Ended"]
    assert "done" not in events[1].metrics
    runner.exchange([], 60)
    assert story == ["unwound"]


def test_what_cannot_be_recorded_costs_its_value_only(make_tune: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> None:
        for number in range(2):
            array = np.float32(number)
            tune.report({"loss": array, "model": object(), "deep": {"x": [1, 2]}})

    events = make_tune(train).exchange([start()], 60)
    assert metrics(events) == [0.0, 1.0]
    assert metrics(events, "deep/x") == [[1, 2], [1, 2]]
    assert "model" not in events[1].metrics


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (lambda: tune.report(0.5), "tune.report takes a dict of metrics, got float"),  # type: ignore[arg-type]
        (lambda: tune.report({"los": 1}), "lacks metric 'loss' .did you mean 'los'"),
        (lambda: tune.report({"loss": object()}), "the first report lacks metric 'loss'"),
        (lambda: tune.report({"loss": 1}, checkpoint="/x"), "checkpoint is of type str; make one"),  # type: ignore[arg-type]
        (
            lambda: tune.report({"loss": 1}, checkpoint=tune.Checkpoint.from_directory("/no/such")),
            "the checkpoint /no/such is no folder",
        ),
        (lambda: None, "the training ended without any report"),
    ],
)
def test_reports_that_cannot_be_used_cost_the_trial(
    make_tune: MakeRunner, say: Callable[[], Any], message: str
) -> None:
    told = failure(make_tune(lambda config: say()).exchange([start()], 60))
    assert told.error == "report"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(told.message)


def test_without_a_metric_a_trial_may_be_silent(make_tune: MakeRunner) -> None:
    events = make_tune(lambda config: None, metrics=()).exchange([start()], 60)
    assert kinds(events) == ["Started", "Ended"]


def test_a_checkpoint_belongs_to_its_step_and_outlives_the_folder(
    make_tune: MakeRunner, tmp_path: Path
) -> None:
    runner = make_tune(counting)
    events = runner.exchange([start(config={"every": 2}, run_to=5)], 60)
    told = [(type(e).__name__, getattr(e, "steps", None) or e.step) for e in events[1:]]
    assert told == [
        ("Reported", [1, 2]), ("Checkpointed", 2), ("Reported", [3, 4]), ("Checkpointed", 4),
        ("Reported", [5]),
    ]  # fmt: skip
    path = tmp_path / events[4].path / "checkpoint" / "deep" / "number"
    assert path.read_text() == "4"


def test_a_pause_without_one_keeps_the_checkpoint_before(make_tune: MakeRunner) -> None:
    runner = make_tune(counting)
    events = runner.exchange([start(config={"every": 2}, run_to=3)], 60)
    (kept,) = [e for e in events if isinstance(e, Checkpointed)]
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    assert paused == Paused(0.0, "t000001", 1, 3, None)
    again = start(attempt=2, step=2, checkpoint=kept.path, config={"every": 2}, run_to=5)
    events = runner.exchange([again], 60)
    assert metrics(events) == [3, 4, 5]
    assert metrics(events, "training_iteration") == [3, 4, 5]


def test_a_pause_at_a_checkpoint_writes_no_second_one(make_tune: MakeRunner) -> None:
    runner = make_tune(counting)
    events = runner.exchange([start(run_to=2)], 60)
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    assert paused.path == events[-1].path == "checkpoints/t000001/1-2"
    times = metrics(events, "time_total_s")
    again = start(attempt=2, step=2, checkpoint=paused.path, config={"end": 4})
    events = runner.exchange([again], 60)
    assert metrics(events) == [3, 4]
    assert metrics(events, "time_total_s")[0] >= times[-1] > 0
    assert [e.path for e in events if isinstance(e, Checkpointed)] == [
        "checkpoints/t000001/2-3", "checkpoints/t000001/2-4",
    ]  # fmt: skip


def test_the_function_finds_the_checkpoint_it_reported(make_tune: MakeRunner) -> None:
    found: list[str] = []

    def train(config: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "x").write_text("kept")
            tune.report({"loss": 1}, checkpoint=tune.Checkpoint.from_directory(folder))
        checkpoint = tune.get_checkpoint()
        assert checkpoint is not None
        with checkpoint.as_directory() as there:
            found.append((Path(there) / "x").read_text())

    assert kinds(make_tune(train).exchange([start()], 60))[-1] == "Ended"
    assert found == ["kept"]


def test_a_checkpoint_in_another_file_system_is_fetched(
    make_tune: MakeRunner, tmp_path: Path
) -> None:
    import pyarrow.fs

    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "x").write_text("far away")

    def train(config: dict[str, Any]) -> None:
        far = pyarrow.fs.SubTreeFileSystem(str(tmp_path), pyarrow.fs.LocalFileSystem())
        tune.report({"loss": 1}, checkpoint=tune.Checkpoint("far", filesystem=far))

    events = make_tune(train).exchange([start(run_to=1)], 60)
    assert (tmp_path / events[-1].path / "checkpoint" / "x").read_text() == "far away"
