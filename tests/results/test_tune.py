from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import numpy as np
import pytest
from pyarrow.fs import LocalFileSystem

from raysweep.results.tune import ParquetCallback
from raysweep.trials.errors import SpecError
from tests.results.tune_tables import recorded, rows


class FakeTrial:
    """What a callback sees of a trial of Tune's."""

    def __init__(self, root: Path, number: int, **config: Any) -> None:
        self.trial_id = f"ab12cd34_{number:05d}"
        self.config = config
        self.path = str(root / f"run_{number}")
        self.storage = SimpleNamespace(storage_filesystem=LocalFileSystem())
        self.trainable_name = "objective"
        self.status = "PENDING"
        self.last_result: dict[str, Any] = {}
        self.stopping_criterion: dict[str, Any] = {}
        self.error_file = str(root / f"error_{number}.txt")
        self.saved: int | None = None

    def has_checkpoint(self) -> bool:
        return self.saved is not None

    @property
    def latest_checkpoint_result(self) -> Any:
        return SimpleNamespace(metrics={"training_iteration": self.saved})

    def get_trainable_cls(self) -> Any:
        from ray.tune.trainable import FunctionTrainable

        return FunctionTrainable


class Controller:
    """Calls the hooks in the order in which Tune's controller does."""

    def __init__(self, root: Path, callback: ParquetCallback, trials: list[FakeTrial]) -> None:
        self.root, self.callback, self.trials = root, callback, trials
        callback.setup(stop=None, num_samples=1, total_num_samples=len(trials))

    def call(self, hook: str, trial: FakeTrial, **more: Any) -> None:
        getattr(self.callback, hook)(iteration=1, trials=self.trials, trial=trial, **more)

    def step_end(self) -> None:
        self.callback.on_step_end(iteration=1, trials=self.trials)

    def start(self, trial: FakeTrial) -> None:
        self.call("on_trial_start", trial)
        trial.status = "RUNNING"

    def report(self, trial: FakeTrial, step: int, loss: Any, done: bool = False) -> None:
        result = {
            "training_iteration": step, "loss": loss, "time_since_restore": 0.5 * step,
            "time_this_iter_s": 0.5, "hostname": "node-a", "done": done, "config": trial.config,
            "net": {"norm": np.float32(2.0)}, "time_total_s": 0.5 * step, "pid": 7,
        }  # fmt: skip
        self.call("on_trial_result", trial, result=result)
        trial.last_result = result

    def save(self, trial: FakeTrial, step: int) -> None:
        where = SimpleNamespace(
            path=f"{trial.path}/checkpoint_{step:06d}", filesystem=LocalFileSystem()
        )
        self.call("on_checkpoint", trial, checkpoint=where)
        trial.saved = step
        self.call("on_trial_save", trial)

    def complete(self, trial: FakeTrial) -> None:
        self.call("on_trial_complete", trial)
        trial.status = "TERMINATED"

    def end(self) -> None:
        self.callback.on_experiment_end(trials=self.trials)


@pytest.fixture
def run(tmp_path: Path) -> Controller:
    trials = [FakeTrial(tmp_path, n, lr=0.5**n, net={"act": np.tanh, "width": 8}) for n in range(3)]
    return Controller(tmp_path, ParquetCallback(metric="loss", mode="min"), trials)


def test_an_ordinary_run_has_the_tables_of_our_own(run: Controller) -> None:
    for trial in run.trials:
        run.start(trial)
        for step in (1, 2):
            run.report(trial, step, trial.config["lr"] + step)
            run.step_end()
        trial.last_result["done"] = True  # a function that has returned: no result comes with it
        run.complete(trial)
    run.end()
    results = recorded(run.root)
    assert rows(
        results,
        "trials",
        "trial_id",
        "status",
        "steps",
        "best_value",
        "config/lr",
        "config/net/act",
    ) == [
        ("ab12cd34_00000", "COMPLETED", 2, 2.0, 1.0, "tanh"),
        ("ab12cd34_00001", "COMPLETED", 2, 1.5, 0.5, "tanh"),
        ("ab12cd34_00002", "COMPLETED", 2, 1.25, 0.25, "tanh"),
    ]
    best = results.best()
    assert best is not None
    assert (best.trial_id, best.step, best.value) == ("ab12cd34_00002", 1, 1.25)
    assert best.config == {"lr": 0.25, "net/act": "tanh", "net/width": 8}
    assert best.metrics == {
        "loss": 1.25,
        "net/norm": 2.0,
        "time_total_s": 0.5,
        "training_iteration": 1,
    }
    assert (
        rows(results, "attempts", "attempt", "slot", "node", "end", "reports")
        == [(1, "tune-0", "node-a", "ended", 2)] * 3
    )
    mean = results.duckdb().execute("SELECT avg(loss), sum(elapsed_s) FROM reports").fetchone()
    assert mean == (pytest.approx(25 / 12), 4.5)
    assert (results.status()["state"], results.status()["reason"]) == (
        "finished",
        "all trials ended",
    )


def test_trials_that_run_at_once_have_slots_of_their_own(run: Controller) -> None:
    a, b, c = run.trials
    run.start(a)
    run.start(b)
    run.complete(a)
    run.start(c)
    run.end()
    slots = dict(rows(recorded(run.root), "attempts", "trial_id", "slot"))
    assert slots == {a.trial_id: "tune-0", b.trial_id: "tune-1", c.trial_id: "tune-0"}


@pytest.mark.parametrize(
    ("criterion", "status", "verb"),
    [({}, "STOPPED", "stop"), ({"training_iteration": 2}, "COMPLETED", "finish")],
)
def test_a_result_that_tune_marks_as_the_last_tells_a_stop_from_a_finish(
    run: Controller, criterion: dict[str, Any], status: str, verb: str
) -> None:
    trial = run.trials[0]
    trial.stopping_criterion = criterion
    run.start(trial)
    run.report(trial, 1, 2.0)
    run.report(trial, 2, 1.0, done=True)
    run.complete(trial)
    run.end()
    results = recorded(run.root)
    assert rows(results, "trials", "status", "steps")[0] == (status, 2)
    assert rows(results, "decisions", "trial_id", "step", "verb", "rule") == [
        (trial.trial_id, 2, verb, "tune")
    ]


def test_a_retry_is_a_new_attempt_from_the_checkpoint(run: Controller) -> None:
    trial = run.trials[0]
    run.start(trial)
    run.report(trial, 1, 3.0)
    run.save(trial, 1)
    run.report(trial, 2, 0.5)
    Path(trial.error_file).write_text(
        "Failure # 1 (occurred at now)\nray::run()\nKeyError: 'first'\n"
        "Failure # 2 (occurred at now)\nray::run()\nValueError: bad luck\n"
    )
    run.call("on_trial_recover", trial)
    run.start(trial)
    run.report(trial, 2, 2.0)
    trial.last_result["done"] = True
    run.complete(trial)
    run.end()
    results = recorded(run.root)
    assert rows(results, "trials", "status", "steps", "attempts", "best_value")[0] == (
        "COMPLETED",
        2,
        2,
        2.0,
    )
    assert rows(results, "attempts", "start_step", "end_step", "end", "error_class", "message") == [
        (0, 2, "failed", "error", "ValueError: bad luck"),
        (1, 2, "ended", None, None),
    ]
    assert rows(results, "reports", "attempt", "step", "loss") == [(1, 1, 3.0), (2, 2, 2.0)]
    assert rows(results, "trials", "checkpoint")[0] == ("../run_0/checkpoint_000001",)


def test_a_trial_that_starts_behind_its_checkpoint_begins_where_its_reports_do(
    run: Controller,
) -> None:
    trial = run.trials[0]
    run.start(trial)
    for step in (1, 2, 3):
        run.report(trial, step, 1.0)
    run.save(trial, 3)
    run.call("on_trial_recover", trial)
    run.start(trial)
    run.report(trial, 1, 5.0)  # its code does not load what it saved
    run.end()
    assert rows(recorded(run.root), "reports", "attempt", "step", "loss") == [(2, 1, 5.0)]


def test_going_back_within_an_attempt_opens_the_next(run: Controller) -> None:
    trial = run.trials[0]
    run.start(trial)
    for step, loss in ((1, 5.0), (2, 4.0), (2, 3.0), (3, 2.0)):  # it took over another's weights
        run.report(trial, step, loss)
    run.end()
    assert rows(recorded(run.root), "reports", "attempt", "step", "loss") == [
        (1, 1, 5.0),
        (2, 2, 3.0),
        (2, 3, 2.0),
    ]


def test_pauses_which_tune_tells_nobody_are_noticed(run: Controller) -> None:
    winner, loser, _ = run.trials
    for trial in (winner, loser):
        run.start(trial)
        run.report(trial, 1, 1.0)
        run.save(trial, 1)
        trial.status = "PAUSED"
        run.step_end()
    run.start(winner)
    run.report(winner, 2, 0.5)
    trial = winner
    trial.last_result["done"] = True
    run.complete(winner)
    run.complete(loser)  # stopped while it was paused
    run.end()
    results = recorded(run.root)
    assert rows(results, "trials", "status", "steps", "attempts")[:2] == [
        ("COMPLETED", 2, 2),
        ("STOPPED", 1, 2),
    ]
    ends = rows(results, "attempts", "trial_id", "start_step", "end", "reports")
    assert ends == [
        (winner.trial_id, 0, "paused", 1),
        (loser.trial_id, 0, "paused", 1),
        (winner.trial_id, 1, "ended", 1),
        (loser.trial_id, 1, "stopped", 0),
    ]


def test_a_trial_fails_for_good(run: Controller) -> None:
    running, unborn, _ = run.trials
    run.start(running)
    run.report(running, 1, 1.0)
    Path(running.error_file).write_text(
        "Failure # 1 (occurred at now)\nray.exceptions.OutOfMemoryError: x\n"
    )
    for trial in (running, unborn):
        run.call("on_trial_error", trial)
        trial.status = "ERROR"
    run.end()
    results = recorded(run.root)
    assert rows(results, "trials", "status", "error_class", "error")[:2] == [
        ("FAILED", "oom", "ray.exceptions.OutOfMemoryError: x"),
        ("FAILED", "error", "unknown"),
    ]
    assert results.status()["state"] == "interrupted"  # the third trial never ran


def test_stopping_all_is_told_from_an_interrupt(run: Controller) -> None:
    for trial in run.trials:
        run.start(trial)
        run.report(trial, 1, 1.0)
    run.trials[0].status = "TERMINATED"  # as a stopper's stop_all does, within a step
    run.step_end()
    for trial in run.trials[1:]:
        trial.status = "TERMINATED"  # as the clean-up after Ctrl-C does, outside of one
    run.end()
    results = recorded(run.root)
    assert [row[0] for row in rows(results, "trials", "status")] == ["STOPPED", "PAUSED", "PAUSED"]
    assert results.status()["exit_code"] == 75


def test_a_restored_run_goes_on_in_the_same_tables(run: Controller) -> None:
    done, half, _ = run.trials
    run.start(done)
    run.report(done, 1, 1.0)
    done.last_result["done"] = True
    run.complete(done)
    run.start(half)
    run.report(half, 1, 2.0)
    run.save(half, 1)
    run.report(half, 2, 1.5)
    state = run.callback.get_state()
    run.callback._book._store.commit(durable=True)  # type: ignore[union-attr]  # and then SIGKILL
    again = ParquetCallback(metric="loss", mode="min")
    again.set_state(state)
    restored = Controller(run.root, again, run.trials)
    for trial in run.trials[1:]:
        restored.start(trial)
        restored.report(trial, 2, 0.5)
        trial.last_result["done"] = True
        restored.complete(trial)
    restored.start(done)  # restart_errored and the like: what has ended runs once more
    restored.report(done, 2, 0.25)
    restored.end()
    results = recorded(run.root)
    assert sorted(rows(results, "trials", "trial_id", "status", "attempts")) == [
        ("ab12cd34_00000", "COMPLETED", 1),
        ("ab12cd34_00000-2", "PAUSED", 1),
        ("ab12cd34_00001", "COMPLETED", 2),
        ("ab12cd34_00002", "COMPLETED", 1),
    ]
    keys = rows(results, "all_reports", "trial_id", "attempt", "step")
    assert len(keys) == len(set(keys)) == 6
    assert ("ab12cd34_00001", 1, 2.0) in rows(results, "reports", "trial_id", "step", "loss")
    assert not (run.root / "raysweep-2").exists()
    run.callback._book._store._tenure.release()  # type: ignore[union-attr]


def test_another_run_in_the_same_directory_gets_tables_of_its_own(run: Controller) -> None:
    for name in ("raysweep", "raysweep-2"):
        again = Controller(run.root, ParquetCallback(), run.trials)
        again.start(run.trials[0])
        again.end()
        assert len(recorded(run.root, name).arrow("trials")) == 3
        assert recorded(run.root, name).best() is None  # nobody named a metric


def test_a_callback_may_serve_one_run_after_the_other(run: Controller) -> None:
    for count in (1, 2):
        run.callback.setup()
        run.start(run.trials[0])
        run.end()
        run.report(run.trials[0], 1, 1.0)  # after the end: nobody listens
        assert len(list(run.root.glob("raysweep*"))) == count


def test_a_path_of_ones_own(tmp_path: Path) -> None:
    trial = FakeTrial(tmp_path, 0, lr=1)
    run = Controller(tmp_path, ParquetCallback(tmp_path / "mine" / "tables"), [trial])
    run.start(trial)
    run.end()
    assert rows(recorded(tmp_path / "mine", "tables"), "trials", "config/lr") == [(1.0,)]


def test_nothing_is_raised_into_tunes_loop(
    run: Controller, caplog: pytest.LogCaptureFixture
) -> None:
    trial = run.trials[0]
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            run.call("on_trial_result", trial, result=None)
        run.start(trial)
        run.report(trial, 1, float("nan"))
        run.report(trial, 2, object())
        run.report(trial, 3, "text")
        run.end()
    assert [record.getMessage() for record in caplog.records] == [
        "ParquetCallback could not record a result (said once)"
    ]
    assert rows(recorded(run.root), "trials", "steps", "best_value")[0] == (3, None)


def test_a_place_that_cannot_be_written_costs_the_tables_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    trial = FakeTrial(tmp_path, 0, lr=1)
    trial.storage.storage_filesystem = object()
    with caplog.at_level(logging.ERROR):
        for path in (tmp_path / "file" / "x", None):
            run = Controller(tmp_path, ParquetCallback(path), [trial])
            run.start(trial)
            run.report(trial, 1, 1.0)
            run.end()
    assert any("is not on this machine" in record.getMessage() for record in caplog.records)


def test_it_travels_by_cloudpickle_even_when_it_is_at_work(run: Controller) -> None:
    run.start(run.trials[0])
    copied = cloudpickle.loads(cloudpickle.dumps(run.callback))
    assert copied.get_state() == {"path": None}
    assert run.callback.get_state() == {"path": str(run.root / "raysweep")}
    run.end()


def test_a_wrong_mode_is_refused() -> None:
    with pytest.raises(SpecError, match="mode is 'lowest'; it may be 'min' or 'max'"):
        ParquetCallback(metric="loss", mode="lowest")
