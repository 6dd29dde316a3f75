from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from ray import tune

from raysweep.trials.actions import Pause, RunTo, Stop
from raysweep.trials.events import Checkpointed
from tests.trainables.tune_trials import (
    WHY,
    Bare,
    MakeRunner,
    failure,
    kinds,
    metrics,
    start,
)


class Net(tune.Trainable):
    """Counts up, with all that a class of Tune's may do."""

    stories: ClassVar[dict[str, list[Any]]] = {}

    def setup(self, config: dict[str, Any]) -> None:
        self.value = 0
        self.story = self.stories.setdefault(self.trial_id, [])
        self.story.append(("setup", dict(config), self.logdir, self.trial_name))

    def step(self) -> dict[str, Any]:
        self.value += 1
        assert self.training_iteration == self.iteration == self.value - 1
        row: dict[str, Any] = {"loss": 1.0 / self.value}
        if self.value == self.config.get("end"):
            row["done"] = True
        if self.value == self.config.get("keep"):
            row["should_checkpoint"] = True
        return row

    def save_checkpoint(self, checkpoint_dir: str) -> Any:
        if self.config.get("as") == "dict":
            return {"value": self.value, "nested": {"list": [1, None, True]}}
        if self.config.get("as") == "objects":
            return {"value": self.value, "array": np.arange(3), 4: "not a text"}
        (Path(checkpoint_dir) / "value").write_text(str(self.value))
        return checkpoint_dir if self.config.get("as") == "path" else self.config.get("as")

    def load_checkpoint(self, checkpoint: Any) -> None:
        if isinstance(checkpoint, dict):
            assert set(checkpoint) >= {"value"}
            self.value = checkpoint["value"]
        else:
            self.value = int((Path(checkpoint) / "value").read_text())

    def cleanup(self) -> None:
        self.story.append("cleanup")


@pytest.fixture
def stories() -> Iterator[dict[str, list[Any]]]:
    Net.stories.clear()
    yield Net.stories
    Net.stories.clear()


def test_a_class_runs_to_its_grant_and_ends_when_done(
    make_tune: MakeRunner, stories: dict[str, list[Any]], tmp_path: Path
) -> None:
    runner = make_tune(Net)
    events = runner.exchange([start(config={"end": 3}, run_to=2)], 60)
    assert metrics(events) == [1.0, 0.5]
    assert set(events[1].metrics) == {"loss", "training_iteration", "time_total_s"}
    assert metrics(events, "training_iteration") == [1, 2]
    events = runner.exchange([RunTo("t000001", 1, "s1", 9, WHY)], 60)
    assert kinds(events) == ["Reported", "Ended"]
    assert kinds(runner.exchange([], 60)) == ["Finished"]
    folder = str(tmp_path / "artifacts" / "t000001")
    assert stories["t000001"] == [("setup", {"end": 3}, folder, "Net_t000001"), "cleanup"]


@pytest.mark.parametrize("form", [None, "path", "dict", "objects"])
def test_a_class_saves_and_loads_in_each_form(
    make_tune: MakeRunner, stories: dict[str, list[Any]], tmp_path: Path, form: str | None
) -> None:
    runner, config = make_tune(Net), {"as": form}
    before = runner.exchange([start(config=config, run_to=3)], 60)
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    assert paused.path == "checkpoints/t000001/1-3"
    pickled = (tmp_path / paused.path / "checkpoint" / "_dict_checkpoint.pkl").exists()
    assert pickled == (form == "objects")
    again = start(attempt=2, step=3, checkpoint=paused.path, config=config, run_to=5)
    events = runner.exchange([again], 60)
    assert metrics(events) == [1 / 4, 1 / 5]
    assert metrics(events, "training_iteration") == [4, 5]
    assert metrics(events, "time_total_s")[0] > metrics(before, "time_total_s")[-1]


def test_should_checkpoint_saves_at_once(
    make_tune: MakeRunner, stories: dict[str, list[Any]]
) -> None:
    events = make_tune(Net).exchange([start(config={"keep": 2}, run_to=4)], 60)
    assert [e.step for e in events if isinstance(e, Checkpointed)] == [2]
    assert "should_checkpoint" not in events[-1].metrics


def test_classes_obey_the_sweeps_checkpoint_rule(
    make_tune: MakeRunner, stories: dict[str, list[Any]]
) -> None:
    events = make_tune(Net, every_steps=2).exchange([start(run_to=5)], 60)
    assert [e.step for e in events if isinstance(e, Checkpointed)] == [2, 4]


@pytest.mark.parametrize("form", ["/somewhere/else", 7])
def test_a_wrong_answer_of_save_checkpoint_is_told(
    make_tune: MakeRunner, stories: dict[str, list[Any]], form: Any
) -> None:
    runner = make_tune(Net)
    runner.exchange([start(config={"as": form}, run_to=1)], 60)
    told = failure(runner.exchange([Pause("t000001", 1, "s1", WHY)], 60))
    assert told.error == "checkpoint"
    assert "it must return a dict, or None or the folder" in told.message


def test_a_class_that_cannot_save_is_not_asked_to(make_tune: MakeRunner) -> None:
    runner = make_tune(Bare, every_steps=1)
    assert kinds(runner.exchange([start(run_to=2)], 60)) == ["Started", "Reported"]
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    assert paused.path is None


@pytest.mark.parametrize("where", ["setup", "step", "cleanup"])
def test_what_a_class_raises_is_told(make_tune: MakeRunner, where: str) -> None:
    def explode(*args: Any) -> None:
        raise ValueError("boom")

    runner = make_tune(type("Bad", (Bare,), {where: explode}))
    events = runner.exchange([start(run_to=2)], 60)
    if where == "cleanup":
        assert runner.exchange([Stop("t000001", 1, "s1", WHY)], 60) == []
    else:
        assert failure(events).message == "ValueError: boom"
        assert "in explode" in failure(events).traceback
