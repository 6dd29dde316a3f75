from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables import runner as runner_module
from raysweep.trainables.base import Trainable, TrialContext
from raysweep.trainables.checkpoint import verify_checkpoint
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trials.actions import Finish, Pause, RunTo, Stop
from raysweep.trials.errors import NoRoom
from raysweep.trials.events import (
    Checkpointed,
    Ended,
    ErrorClass,
    Failed,
    Finished,
    Paused,
    Reported,
    Started,
    Unsaved,
)
from tests.trainables.counting import CLOCK, WHY, Counter, Here, MakeRunner, kinds, start, steps


@pytest.fixture
def make(tmp_path: Path) -> MakeRunner:
    def make(target: Any = Counter, **options: Any) -> Runner:
        options = {"metrics": ("loss",), **options}
        return Runner(HostSpec(Here(target), str(tmp_path), **options), CLOCK, "node1")

    return make


def test_runs_to_the_grant_and_goes_on_when_told(make: MakeRunner) -> None:
    runner = make()
    first = runner.exchange([start(run_to=3)], 60)
    assert kinds(first) == ["Started", "Reported"]
    assert first[0] == Started(0.0, "t000001", 1, 0, "s1", "node1", 0.0, 0.0, 1.0)
    assert first[1].elapsed_s == [1.0, 2.0, 3.0]
    assert first[1].metrics["before"] == [0, 1, 2]
    assert runner.exchange([], 60) == []
    CLOCK.sleep(100)  # waiting hot is not training time
    more = runner.exchange([RunTo("t000001", 1, "s1", 5, WHY)], 60)
    assert steps(more) == [4, 5]
    assert more[0].elapsed_s == [4.0, 5.0]


def test_returns_when_the_budget_is_spent(make: MakeRunner) -> None:
    runner = make()
    assert steps(runner.exchange([start()], 2.5)) == [1, 2, 3]
    assert steps(runner.exchange([], 2.5)) == [4, 5, 6]


def test_ends_when_nothing_is_left(make: MakeRunner) -> None:
    runner = make()
    events = runner.exchange([start(config={"end": 2})], 60)
    assert kinds(events) == ["Started", "Reported", "Ended"]
    assert events[-1] == Ended(0.0, "t000001", 1, 2, saving=True)
    assert runner.exchange([], 60) == [Finished(0.0, "t000001", 1, 2, "checkpoints/t000001/1-2")]
    assert runner.exchange([], 60) == []


def test_the_end_is_told_before_what_may_kill_or_hang(make: MakeRunner) -> None:
    class Fatal(Counter):
        def save(self, folder: Path) -> None:
            raise KeyboardInterrupt  # as near to a death as a test can come

    class Untidy(Counter):
        def cleanup(self) -> None:
            raise KeyboardInterrupt

    for kind, said in ((Fatal, "Ended"), (Untidy, "Ended")):
        runner = make(kind)
        assert kinds(runner.exchange([start(config={"end": 1})], 60))[-1] == said
        with pytest.raises(KeyboardInterrupt):
            runner.exchange([], 60)
    runner = make(Untidy)
    runner.exchange([start(run_to=1)], 60)
    assert kinds(runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)) == ["Paused"]
    with pytest.raises(KeyboardInterrupt):
        runner.exchange([], 60)


@pytest.mark.parametrize("returns", [False, True])
def test_a_function_that_ends_by_itself_leaves_its_last_checkpoint(
    make: MakeRunner, tmp_path: Path, returns: bool
) -> None:
    def train(config: dict[str, Any], trial: TrialContext) -> Iterator[dict[str, float]]:
        step = 0

        def save(folder: Path) -> None:
            (folder / "step").write_text(str(step))

        trial.on_save(save)
        for step in (1, 2, 3):
            yield {"loss": 1.0 / step}
        return {"loss": 0.0} if returns else None

    runner, last = make(train), 3 + returns
    assert runner.exchange([start()], 60)[-1] == Ended(0.0, "t000001", 1, last, saving=True)
    (finished,) = runner.exchange([], 60)
    assert finished == Finished(0.0, "t000001", 1, last, f"checkpoints/t000001/1-{last}")
    assert (tmp_path / finished.path / "step").read_text() == "3"
    verify_checkpoint(tmp_path / finished.path)


def test_a_periodic_save_that_fails_is_said_in_the_log_and_training_goes_on(
    make: MakeRunner, tmp_path: Path
) -> None:
    class Unsaved(Counter):
        def save(self, folder: Path) -> None:
            if self.value != 4:
                raise OSError(28, "No space left on device")
            super().save(folder)

    events = make(Unsaved, every_steps=2).exchange([start(run_to=5)], 60)
    assert steps(events) == [1, 2, 3, 4, 5]
    assert [e.step for e in events if isinstance(e, Checkpointed)] == [4]
    (log,) = (tmp_path / "logs").iterdir()
    assert "no checkpoint of t000001 at step 2" in log.read_text()
    assert "No space left on device" in log.read_text()


def test_what_leaves_is_cleaned_up_and_forgotten(make: MakeRunner) -> None:
    made: list[weakref.ref[Trainable]] = []

    class Watched(Counter):
        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config)
            made.append(weakref.ref(self))

    runner, story = make(Watched), list[str]()
    config = {"story": story, "end": 3}
    runner.exchange([start(config=config)], 60)
    runner.exchange([start(config=config, run_to=1), Stop("t000001", 1, "s1", WHY)], 60)
    runner.exchange([start(config=config, run_to=1), Finish("t000001", 1, "s1", WHY)], 60)
    runner.exchange([start(config=config, run_to=1), Pause("t000001", 1, "s1", WHY)], 60)
    runner.exchange([], 60)
    gc.collect()
    assert story == ["cleaned up"] * 4
    assert [ref() for ref in made] == [None] * 4


def test_a_cleanup_that_raises_changes_nothing(make: MakeRunner) -> None:
    class Untidy(Counter):
        def cleanup(self) -> None:
            raise ValueError("no")

    runner = make(Untidy)
    assert kinds(runner.exchange([start(config={"end": 1})], 60))[-1] == "Ended"
    assert kinds(runner.exchange([start("t000002", config={"end": 1})], 60))[-1] == "Ended"


def test_stop_and_start_in_one_breath(make: MakeRunner) -> None:
    runner = make()
    runner.exchange([start(run_to=2)], 60)
    events = runner.exchange([Stop("t000001", 1, "s1", WHY), start("t000002", 2)], 60)
    assert {e.trial for e in events} == {"t000002"}
    assert steps(events) == [1, 2]


@pytest.mark.parametrize("attempt", [0, 2])
def test_commands_for_others_are_ignored(make: MakeRunner, attempt: int) -> None:
    runner = make()
    runner.exchange([start(run_to=1)], 60)
    for other in (Stop, Pause, Finish):
        assert runner.exchange([other("t000001", attempt, "s1", WHY)], 60) == []
    assert steps(runner.exchange([RunTo("t000001", 1, "s1", 2, WHY)], 60)) == [2]


def test_pause_and_resume_go_on_at_the_step(make: MakeRunner, tmp_path: Path) -> None:
    runner = make()
    runner.exchange([start(run_to=3)], 60)
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    assert paused == Paused(0.0, "t000001", 1, 3, "checkpoints/t000001/1-3")
    verify_checkpoint(tmp_path / str(paused.path))
    again = start(attempt=2, step=3, checkpoint=paused.path, run_to=5)
    events = make().exchange([again], 60)
    assert events[0].step == 3
    assert steps(events) == [4, 5]
    assert events[1].metrics == {"loss": [1 / 4, 1 / 5], "before": [3, 4]}


def test_a_resumed_trial_that_paused_at_once_names_its_checkpoint(make: MakeRunner) -> None:
    runner = make()
    runner.exchange([start(run_to=3)], 60)
    (first,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    again = start(attempt=2, step=3, checkpoint=first.path)
    events = runner.exchange([again, Pause("t000001", 2, "s1", WHY)], 60)
    assert events[-1] == Paused(0.0, "t000001", 2, 3, first.path)


def test_finish_saves_unless_that_step_is_saved(make: MakeRunner) -> None:
    runner = make(every_steps=2)
    saved = runner.exchange([start(run_to=2)], 60)[-1]
    done = [Finished(0.0, "t000001", 1, 2, saved.path)]
    assert runner.exchange([Finish("t000001", 1, "s1", WHY)], 60) == done
    runner.exchange([start("t000002", 3)], 60)
    last = [Finished(0.0, "t000002", 1, 3, "checkpoints/t000002/1-3")]
    assert runner.exchange([Finish("t000002", 1, "s1", WHY)], 60) == last


def test_checkpoints_come_by_steps_after_their_reports(make: MakeRunner) -> None:
    events = make(every_steps=2).exchange([start(run_to=5)], 60)
    told = [(type(e).__name__, getattr(e, "steps", None) or e.step) for e in events[1:]]
    assert told == [
        ("Reported", [1, 2]), ("Checkpointed", 2), ("Reported", [3, 4]), ("Checkpointed", 4),
        ("Reported", [5]),
    ]  # fmt: skip


def test_checkpoints_come_by_age(make: MakeRunner) -> None:
    events = make(every_s=2.5).exchange([start(run_to=7)], 60)
    assert [e.step for e in events if isinstance(e, Checkpointed)] == [3, 6]


def test_code_that_cannot_save_is_not_asked_to(make: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> Iterator[dict[str, float]]:
        while True:
            yield {"loss": 0.5}

    runner = make(train, every_steps=1)
    assert kinds(runner.exchange([start(run_to=3)], 60)) == ["Started", "Reported"]
    assert runner.exchange([Pause("t000001", 1, "s1", WHY)], 60) == [
        Paused(0.0, "t000001", 1, 3, None)
    ]
    runner.exchange([start(run_to=3)], 60)
    done = runner.exchange([Finish("t000001", 1, "s1", WHY)], 60)
    assert done == [Finished(0.0, "t000001", 1, 3, None)]


class OutOfMemoryError(RuntimeError): ...


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("no good"), ErrorClass.ERROR, "ValueError: no good"),
        (SystemExit(3), ErrorClass.ERROR, "SystemExit: 3"),
        (StopIteration(), ErrorClass.ERROR, "StopIteration"),
        (MemoryError(), ErrorClass.OOM, "MemoryError"),
        (OutOfMemoryError("CUDA"), ErrorClass.OOM, "OutOfMemoryError: CUDA"),
        (RuntimeError("CUDA out of memory. Tried"), ErrorClass.OOM, "RuntimeError: CUDA out of"),
    ],
)
@pytest.mark.parametrize("where", ["setup", "step"])
def test_what_the_code_raises_is_told(
    make: MakeRunner, error: BaseException, kind: ErrorClass, message: str, where: str
) -> None:
    class Raising(Counter):
        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config)
            if where == "setup":
                raise error

        def step(self) -> dict[str, float] | None:
            if self.value == 2:
                raise error
            return super().step()

    events = make(Raising).exchange([start()], 60)
    assert isinstance(events[-1], Failed)
    assert events[-1].error == kind
    assert events[-1].message.startswith(message)
    assert "in step" in events[-1].traceback or "in setup" in events[-1].traceback
    assert steps(events) == ([1, 2] if where == "step" else [])


def test_ctrl_c_is_not_the_trials_failure(make: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(train).exchange([start()], 60)


def test_long_messages_are_cut(make: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        raise ValueError("x" * 1_000_000 + "\ud800 the end")

    failed = make(train).exchange([start()], 60)[-1]
    assert isinstance(failed, Failed)
    assert len(failed.message) <= 2000
    assert len(failed.traceback) <= 20_000
    assert failed.message.endswith("the end")
    assert failed.message.startswith("ValueError: xxx")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the training ended without any report; .* with loss once per step"),
        ([{"los": 1.0}], "lacks metric 'loss' .did you mean 'los'.*; it has: los"),
        ([{}], "lacks metric 'loss'; it has: nothing"),
        ([None], "yielded nothing; yield a dict"),
        ([0.5], "of type float; report for example"),
        ([{"loss": object()}], "metric 'loss' is of type object"),
        ([{"loss": "0.5"}], "metric 'loss' is '0.5' in the first report, .* must be a number"),
        ([{"loss": [0.5]}], r"metric 'loss' is \[0.5\] in the first report"),
    ],
)
def test_reports_that_cannot_be_used_are_told(
    make: MakeRunner, rows: list[Any], message: str
) -> None:
    def train(config: dict[str, Any]) -> Iterator[Any]:
        yield from rows

    failed = make(train).exchange([start()], 60)[-1]
    assert isinstance(failed, Failed)
    assert failed.error == ErrorClass.REPORT
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(failed.message)


def test_a_metric_may_be_missing_later_and_others_may_come(make: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"loss": 1.0}
        yield {"accuracy": 0.5}
        yield {"loss": 0.5, "accuracy": 0.75}

    (report,) = (e for e in make(train).exchange([start()], 60) if isinstance(e, Reported))
    assert report.metrics == {"loss": [1.0, None, 0.5], "accuracy": [None, 0.5, 0.75]}


def test_too_many_names_end_the_trial(make: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number in range(2000):
            yield {"loss": 1.0, f"m{number}": 0.0}

    events = make(train).exchange([start()], 60)
    assert isinstance(events[-1], Failed)
    assert "more than 1,000" in events[-1].message
    assert steps(events) == list(range(1, 1000))


def test_a_resumed_trial_may_have_nothing_left(make: MakeRunner) -> None:
    runner = make()
    runner.exchange([start(config={"end": 2}, run_to=2)], 60)
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    again = start(attempt=2, step=2, checkpoint=paused.path, config={"end": 2})
    assert kinds(runner.exchange([again], 60)) == ["Started", "Ended"]


def test_saving_that_raises_is_a_checkpoint_failure(make: MakeRunner) -> None:
    class Raising(Counter):
        def save(self, folder: Path) -> None:
            raise ValueError("disk full")

    runner = make(Raising)
    runner.exchange([start(run_to=1)], 60)
    (failed,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    assert (failed.error, failed.message) == ("checkpoint", "saving raised ValueError: disk full")


@pytest.mark.parametrize("damage", ["value", "_COMPLETE.json"])
def test_a_damaged_checkpoint_is_not_loaded(make: MakeRunner, tmp_path: Path, damage: str) -> None:
    runner = make()
    runner.exchange([start(run_to=1)], 60)
    (paused,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    (tmp_path / str(paused.path) / damage).unlink()
    again = start(attempt=2, step=1, checkpoint=paused.path)
    (failed,) = runner.exchange([again], 60)
    assert (type(failed), failed.error) == (Failed, "checkpoint")


def full_until(monkeypatch: pytest.MonkeyPatch, end_s: float) -> None:
    """Checkpoints find no room before the clock shows `end_s`."""
    real = runner_module.write_checkpoint

    def write(*arguments: Any) -> str:
        if CLOCK.now() < end_s:
            raise NoRoom("no space left")
        return real(*arguments)

    monkeypatch.setattr(runner_module, "write_checkpoint", write)


def test_a_checkpoint_on_the_way_that_finds_no_room_is_left_out(
    make: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red before: the attempt failed, and was charged."""
    full_until(monkeypatch, CLOCK.now() + 1.5)
    told = make(every_steps=1).exchange([start(run_to=3)], 60)
    assert [type(event) for event in told if not isinstance(event, Started | Reported)] == [
        Unsaved, Checkpointed, Checkpointed,
    ]  # fmt: skip


@pytest.mark.parametrize(("full_s", "kind"), [(20.0, Paused), (50.0, Failed)])
def test_a_trial_that_pauses_waits_for_room(
    make: MakeRunner, monkeypatch: pytest.MonkeyPatch, full_s: float, kind: type
) -> None:
    runner = make()
    runner.exchange([start(run_to=1)], 60)
    full_until(monkeypatch, CLOCK.now() + full_s)
    (answer,) = runner.exchange([Pause("t000001", 1, "s1", WHY)], 60)
    assert type(answer) is kind
    if isinstance(answer, Failed):
        assert answer.error == ErrorClass.STORAGE
