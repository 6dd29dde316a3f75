from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import ray
from ray import tune

from raysweep.trainables.base import as_factory
from raysweep.trainables.load import PickledCode, check_picklable
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trainables.tune import (
    TuneSettings,
    placement_of,
    resources_of,
    trainable_name,
    tune_target,
)
from raysweep.trials.actions import Start
from raysweep.trials.clock import SystemClock
from raysweep.trials.errors import TrainableError
from raysweep.trials.names import nested
from tests.trainables.tune_trials import (
    Bare,
    MakeRunner,
    kinds,
    metrics,
    returning_dict,
    start,
    with_more,
    yielding,
)


def returning_number(config: dict[str, Any]) -> float:
    return 0.5


class Callable_:
    def __call__(self, config: dict[str, Any]) -> float:
        return 0.5

    def method(self, config: dict[str, Any]) -> float:
        return 0.5


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("target", "metric", "expected"),
    [
        (returning_dict, "loss", [0.5]),
        (returning_number, "_metric", [0.5]),
        (yielding, "_metric", [1.5, 0.5]),
        (Callable_(), "_metric", [0.5]),
        (Callable_().method, "_metric", [0.5]),
        (lambda config: 0.5, "_metric", [0.5]),
        (functools.partial(with_more, loss=0.5), "_metric", [0.5]),
        (tune.with_parameters(with_more, loss=0.5), "_metric", [0.5]),
        (tune.with_resources(tune.with_parameters(with_more, loss=0.5), {"cpu": 2}), "_metric", [0.5]),
    ],
)  # fmt: skip
def test_whatever_counts_as_a_function(
    make_tune: MakeRunner, target: Any, metric: str, expected: list[float], packed: bool
) -> None:
    events = make_tune(target, metrics=(metric,), packed=packed).exchange([start()], 60)
    assert kinds(events) == ["Started", "Reported", "Ended"]
    assert metrics(events, metric) == expected


def test_a_registered_name_stands_for_its_trainable(tmp_path: Path) -> None:
    tune.register_trainable("raysweep_test_named", yielding)
    settings = TuneSettings(nested, "exp", str(tmp_path))
    code = check_picklable(tune_target("raysweep_test_named", settings))
    runner = Runner(HostSpec(code, str(tmp_path), ("_metric",)), SystemClock())
    events = runner.exchange([start()], 60)
    runner.exchange([], 0)  # which cleans up
    assert metrics(events, "_metric") == [1.5, 0.5]
    assert trainable_name("raysweep_test_named") == "raysweep_test_named"


async def asynchronous(config: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("raysweep_test_unknown", "no trainable is registered as 'raysweep_test_unknown'; call"),
        (3, "the trainable is a int; Tune takes a function"),
        (dict, "class dict is no subclass of ray.tune.Trainable"),
        (lambda: None, "cannot be called as <lambda>.config.: .*Unknown argument"),
        (with_more, "with_more cannot be called as with_more.config."),
        (asynchronous, "asynchronous is async"),
    ],
)
def test_what_tune_would_not_take_is_refused(target: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TrainableError, match=f"(?s){message}"):
        tune_target(target, TuneSettings(nested, "exp", str(tmp_path)))


PLAIN: dict[str, Any] = {"gpu": 0.0, "memory_gb": None, "accelerator_type": None, "custom": {}}


class Asking(Bare):
    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": config["cpus"]}])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (returning_dict, PLAIN | {"cpu": 1.0}),
        (Bare, PLAIN | {"cpu": 1.0}),
        (Asking, PLAIN | {"cpu": 3.0}),
        (
            tune.with_resources(yielding, {"cpu": 2, "gpu": 0.25, "memory": 2 << 30, "fpga": 1}),
            {"cpu": 2.0, "gpu": 0.25, "memory_gb": 2.0, "accelerator_type": None, "custom": {"fpga": 1.0}},
        ),
        (tune.with_resources(Bare, {"gpu": 1}), PLAIN | {"cpu": 0.0, "gpu": 1.0}),
        (
            tune.with_resources(
                lambda config: 0.5, lambda config: tune.PlacementGroupFactory([{"CPU": config["cpus"]}])
            ),
            PLAIN | {"cpu": 3.0},
        ),
        (
            tune.with_resources(
                lambda config: 0.5, tune.PlacementGroupFactory([{"CPU": 1, "accelerator_type:A100": 0.001}])
            ),
            PLAIN | {"cpu": 1.0, "accelerator_type": "A100"},
        ),
    ],
)  # fmt: skip
def test_resources_are_those_that_tune_would_ask_for(target: Any, expected: dict[str, Any]) -> None:
    assert resources_of(target, {"cpus": 3}) == expected


@pytest.mark.parametrize("bundles", [[{"CPU": 1}, {"CPU": 2}], [{}, {"CPU": 2}]])
def test_a_trial_of_several_bundles_is_refused(bundles: list[dict[str, float]]) -> None:
    target = tune.with_resources(lambda config: 0.5, tune.PlacementGroupFactory(bundles))
    with pytest.raises(
        TrainableError, match="a trial here runs in one process: ask for one bundle"
    ):
        resources_of(target, {})


def test_a_request_that_raises_is_told() -> None:
    with pytest.raises(TrainableError, match="asking what its trials need raised KeyError: 'cpus'"):
        placement_of(Asking, {})


def test_a_request_of_another_kind_is_told() -> None:
    target = tune.with_resources(lambda config: 0.5, lambda config: {"cpu": 2})
    with pytest.raises(TrainableError, match=r"asks for .'cpu': 2., a dict; return a tune.Pl"):
        resources_of(target, {})


def test_a_factory_travels_with_any_pickler(tmp_path: Path) -> None:
    target = tune_target(returning_dict, TuneSettings(nested, "exp", str(tmp_path)))
    again = cloudpickle.loads(cloudpickle.dumps(target))
    assert as_factory(again) is again
    assert again.__name__ == "returning_dict"


@pytest.mark.ray
@pytest.mark.parametrize("kind", ["function", "class"])
@pytest.mark.parametrize("early", [False, True])
def test_bound_parameters_reach_the_trials(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, early: bool
) -> None:
    """`early`: bound before `ray.init`, and pickled before it, too."""

    def train(config: dict[str, Any], data: Any) -> None:
        tune.report({"loss": float(data.sum())})

    class Summing(tune.Trainable):
        def setup(self, config: dict[str, Any], data: Any) -> None:
            self.data = data

        def step(self) -> dict[str, Any]:
            return {"loss": float(self.data.sum()), "done": True}

    def run(code: PickledCode, sweep: str, start: Start) -> list[Any]:
        from raysweep.trainables.runner import HostSpec, Runner
        from raysweep.trials.clock import SystemClock

        events = Runner(HostSpec(code, sweep, ("loss",)), SystemClock()).exchange([start], 60)
        return [tuple(event) for event in events]

    with monkeypatch.context() as patch:
        if early:
            patch.setattr(ray, "is_initialized", lambda: False)
        data = np.arange(1000.0)
        bound = tune.with_parameters(Summing if kind == "class" else train, data=data)
        target = tune_target(bound, TuneSettings(nested, "exp", str(tmp_path)))
        code = check_picklable(target)
    assert (len(code.blob) > data.nbytes) == early  # else it went through the object store
    events = ray.get(ray.remote(run).remote(code, str(tmp_path), start()), timeout=60)
    assert events[1][-1]["loss"] == [499500.0]
