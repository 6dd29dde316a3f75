"""What raysweep relies on in Ray Tune: fails the day a release of Ray changes it.

Three kinds: private names (all listed in `trials/ray_names.py`), the shape of public classes that
Ray marks DeveloperAPI or beta, and the order in which Tune's loop calls them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune import Callback, ResultGrid, Stopper, Trainable
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher, SearchGenerator

from raysweep.trials.ray_names import ATTRIBUTES, PRIVATE, private

SUPPORTED = ((2, 59), (2, 60))
"""The releases that the tests run with; pyproject.toml states the same range."""

METHODS: dict[type, dict[str, tuple[str, ...]]] = {
    Searcher: {
        "set_search_properties": ("metric", "mode", "config"),
        "suggest": ("trial_id",),
        "on_trial_result": ("trial_id", "result"),
        "on_trial_complete": ("trial_id", "result", "error"),
        "add_evaluated_point": (
            "parameters",
            "value",
            "error",
            "pruned",
            "intermediate_values",
        ),
        "save": ("checkpoint_path",),
        "restore": ("checkpoint_path",),
        "set_max_concurrency": ("max_concurrent",),
    },
    TrialScheduler: {
        "set_search_properties": ("metric", "mode"),
        "on_trial_add": ("tune_controller", "trial"),
        "on_trial_error": ("tune_controller", "trial"),
        "on_trial_result": ("tune_controller", "trial", "result"),
        "on_trial_complete": ("tune_controller", "trial", "result"),
        "on_trial_remove": ("tune_controller", "trial"),
        "choose_trial_to_run": ("tune_controller",),
        "debug_string": (),
        "save": ("checkpoint_path",),
        "restore": ("checkpoint_path",),
    },
    Callback: {
        "setup": ("stop", "num_samples", "total_num_samples"),
        "on_step_begin": ("iteration", "trials"),
        "on_step_end": ("iteration", "trials"),
        "on_trial_start": ("iteration", "trials", "trial"),
        "on_trial_restore": ("iteration", "trials", "trial"),
        "on_trial_save": ("iteration", "trials", "trial"),
        "on_trial_result": ("iteration", "trials", "trial", "result"),
        "on_trial_complete": ("iteration", "trials", "trial"),
        "on_trial_recover": ("iteration", "trials", "trial"),
        "on_trial_error": ("iteration", "trials", "trial"),
        "on_checkpoint": ("iteration", "trials", "trial", "checkpoint"),
        "on_experiment_end": ("trials",),
        "get_state": (),
        "set_state": ("state",),
    },
    Stopper: {"__call__": ("trial_id", "result"), "stop_all": ()},
    Trainable: {
        "setup": ("config",),
        "step": (),
        "save_checkpoint": ("checkpoint_dir",),
        "load_checkpoint": ("checkpoint",),
        "cleanup": (),
        "train": (),
        "stop": (),
    },
    ResultGrid: {
        "get_best_result": ("metric", "mode", "scope", "filter_nan_and_inf"),
        "get_dataframe": ("filter_metric", "filter_mode"),
    },
    Trial: {
        "set_status": ("status",),
        "is_finished": (),
        "update_last_result": ("result",),
        "init_local_path": (),
    },
}
"""Class → method → the names of its arguments, in order; further ones must have defaults."""

FIELDS: dict[Any, set[str]] = {
    tune.TuneConfig: {
        "mode", "metric", "search_alg", "scheduler", "num_samples", "max_concurrent_trials",
        "time_budget_s", "reuse_actors", "trial_name_creator", "trial_dirname_creator",
        "chdir_to_trial_dir",
    },
    tune.RunConfig: {
        "name", "storage_path", "storage_filesystem", "failure_config", "checkpoint_config",
        "sync_config", "verbose", "stop", "callbacks", "progress_reporter", "log_to_file",
        "local_dir",
    },
    tune.FailureConfig: {"max_failures", "fail_fast"},
    tune.Result: {
        "metrics", "checkpoint", "error", "path", "metrics_dataframe", "best_checkpoints",
        "_storage_filesystem",
    },
}  # fmt: skip
"""Dataclass → all its fields: a new one is something that users will hand to `raysweep.Tuner`."""


def test_the_installed_ray_is_one_that_is_supported() -> None:
    release = tuple(map(int, ray.__version__.split(".")[:2]))
    assert release in SUPPORTED


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_name_is_there_and_has_a_reason(name: str) -> None:
    private(name)
    assert len(PRIVATE[name].split()) > 3


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_instances_have_a_private_attribute_and_it_has_a_reason(name: str) -> None:
    home, _, attribute = name.rpartition(".")
    module, _, cls = home.partition(":")
    source = inspect.getsource(getattr(import_module(module), cls))
    assert f"self.{attribute}" in source
    assert len(ATTRIBUTES[name].split()) > 3


@pytest.mark.parametrize("cls", METHODS, ids=lambda cls: cls.__name__)
def test_a_class_takes_what_we_give_and_gives_what_we_take(cls: type) -> None:
    for method, names in METHODS[cls].items():
        parameters = list(inspect.signature(getattr(cls, method)).parameters.values())[1:]
        assert tuple(p.name for p in parameters[: len(names)]) == names, f"{cls}.{method}"
        for more in parameters[len(names) :]:
            open_ended = more.kind in (more.VAR_KEYWORD, more.VAR_POSITIONAL)
            assert open_ended or more.default is not more.empty, f"{cls}.{method} wants {more}"


@pytest.mark.parametrize("cls", FIELDS, ids=lambda cls: cls.__name__)
def test_a_config_has_the_fields_that_we_read(cls: Any) -> None:
    assert {field.name for field in dataclasses.fields(cls)} - {"_items_to_repr"} == FIELDS[cls]


def test_words_that_travel_between_tune_and_us() -> None:
    words = (TrialScheduler.CONTINUE, TrialScheduler.PAUSE, TrialScheduler.STOP)
    assert words == ("CONTINUE", "PAUSE", "STOP")
    assert Searcher.FINISHED == "FINISHED"
    statuses = (Trial.PENDING, Trial.RUNNING, Trial.PAUSED, Trial.TERMINATED, Trial.ERROR)
    assert statuses == ("PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR")
    assert {"searcher", "max_concurrent", "batch"} <= set(
        inspect.signature(ConcurrencyLimiter).parameters
    )
    assert list(inspect.signature(SearchGenerator).parameters) == ["searcher"]


class Log(list[str]):
    """What was called, in order; survives the pickling of the experiment by being a global."""


LOG = Log()


class Noting(Searcher):
    def __init__(self) -> None:
        super().__init__("loss", "min")
        self.made = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if self.made >= 2:
            return None
        self.made += 1
        LOG.append("searcher.suggest")
        return {"number": self.made}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        LOG.append(f"searcher.result {result['training_iteration']}")

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        LOG.append(f"searcher.complete {result and result['training_iteration']} {error}")

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).write_text("{}")

    def restore(self, checkpoint_path: str) -> None:
        pass


class Deciding(FIFOScheduler):
    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        LOG.append("scheduler.add")

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
        step = result["training_iteration"]
        LOG.append(f"scheduler.result {step}")
        if trial.config["number"] == 1:
            return str(TrialScheduler.STOP if step == 2 else TrialScheduler.CONTINUE)
        return str(TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
        LOG.append(f"scheduler.complete {result['training_iteration']}")

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        LOG.append("scheduler.error")


class Watching(Callback):
    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        LOG.append(f"callback.result {result['training_iteration']}")

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        LOG.append("callback.complete")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        LOG.append("callback.error")

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        LOG.append("callback.recover")


def stepwise(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Trial 1 is stopped at its second report; trial 2 fails, is tried again, and ends by itself."""
    marker = Path(config["folder"]) / "failed"
    for step in range(3):
        if config["number"] == 2 and step == 1 and not marker.exists():
            marker.touch()
            raise RuntimeError("once")
        yield {"loss": 1.0 / (step + 1)}


@pytest.mark.ray
def test_the_order_of_calls_in_tune_s_loop(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    LOG.clear()
    tune.Tuner(
        stepwise,
        param_space={"folder": str(tmp_path)},
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=2, search_alg=Noting(), scheduler=Deciding(),
            max_concurrent_trials=1,
        ),
        run_config=tune.RunConfig(
            name="order", storage_path=str(tmp_path), callbacks=[Watching()], verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    ).fit()  # fmt: skip
    first, second = "\n".join(LOG).split("searcher.suggest")[1:]
    assert first.split("\n")[1:-1] == [
        "scheduler.add",
        "scheduler.result 1", "searcher.result 1", "callback.result 1",
        # a report on which the scheduler says STOP reaches the searcher as completion only
        "scheduler.result 2", "callback.result 2", "scheduler.complete 2",
        "searcher.complete 2 False", "callback.complete",
    ]  # fmt: skip
    assert second.split("\n")[1:] == [
        "scheduler.add",
        "scheduler.result 1", "searcher.result 1", "callback.result 1",
        # a retry adds the trial again, tells no searcher, and goes back to its checkpoint (none)
        "scheduler.error", "scheduler.add", "callback.recover",
        "scheduler.result 1", "searcher.result 1", "callback.result 1",
        "scheduler.result 2", "searcher.result 2", "callback.result 2",
        "scheduler.result 3", "searcher.result 3", "callback.result 3",
        # what a function reports of itself as done is its last result once more, to nobody's
        # on_trial_result
        "scheduler.complete 3", "searcher.complete 3 False", "callback.complete",
    ]  # fmt: skip
