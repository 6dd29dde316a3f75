"""Tune's trainables on our pool: `tune_target` wraps what `tune.Tuner` takes, unchanged.

Functions with `tune.report`, `tune.with_parameters`, `tune.with_resources`, subclasses of
`tune.Trainable` and registered names become factories of our own `Trainable`.
"""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray import cloudpickle
from ray.tune import PlacementGroupFactory
from ray.tune import Trainable as TuneTrainable
from ray.tune.error import TuneError
from ray.tune.registry import get_trainable_cls
from ray.tune.trainable import FunctionTrainable, wrap_function

from raysweep.trainables.base import ReadyFactory, Trainable
from raysweep.trainables.tune_trial import ARTIFACTS, ClassTrial, FunctionTrial, TuneSettings
from raysweep.trials.errors import TrainableError
from raysweep.trials.ray_names import private

__all__ = [
    "ARTIFACTS",
    "TuneSettings",
    "placement_of",
    "resources_of",
    "trainable_name",
    "tune_target",
]

_REGISTRY = "ray.tune.registry:_ParameterRegistry"
_GIB = 1 << 30
_TYPE = "accelerator_type:"
_RAYS_PICKLER: Any = cloudpickle.CloudPickler


class TuneFactory(ReadyFactory):
    """Makes trials of one Tune trainable; made by `tune_target`.

    It pickles itself with Ray's pickler, whatever pickles it: only that one carries references
    to Ray's object store, which `tune.with_parameters` leaves in the trainable.
    """

    def __init__(self, trainable: Any, name: str, settings: TuneSettings):
        self.__name__ = name
        self._trainable = trainable
        self._settings = settings
        self._cls: type[Any] | None = None

    def __call__(self) -> Trainable:
        """A new trial, not yet set up."""
        if self._cls is None:
            self._cls = _hosted(_as_class(self._trainable))
        kind = FunctionTrial if issubclass(self._cls, FunctionTrainable) else ClassTrial
        return kind(self._cls, self.__name__, self._settings)

    def __reduce__(self) -> tuple[Callable[[bytes], TuneFactory], tuple[bytes]]:
        return _unpacked, (_packed((self._trainable, self.__name__, self._settings)),)


def tune_target(trainable: Any, settings: TuneSettings) -> TuneFactory:
    """What `trainables.load.check_picklable` takes, for anything that `tune.Tuner` takes.

    Args:
        trainable: a function, a subclass of `tune.Trainable`, or a name given to
            `tune.register_trainable`, which is looked up now.
        settings: of the sweep.

    Raises:
        TrainableError: it is none of these, or cannot be called with a config.
    """
    name = trainable_name(trainable)
    if isinstance(trainable, str):
        trainable = _registered(trainable)
    _as_class(trainable)
    return TuneFactory(trainable, name, settings)


def trainable_name(trainable: Any) -> str:
    """What Tune calls a trainable: experiments and trials are named after it."""
    if isinstance(trainable, str):
        return trainable
    while isinstance(trainable, functools.partial):
        trainable = trainable.func
    return str(getattr(trainable, "__name__", type(trainable).__name__))


def placement_of(trainable: Any, config: Mapping[str, Any]) -> PlacementGroupFactory:
    """What a trial with this (user's) config asks for: its own request, else one CPU.

    Raises:
        TrainableError: as `tune_target`, and for a request that raises.
    """
    cls = _as_class(trainable)
    try:
        request = cls.default_resource_request(dict(config))
    except Exception as error:  # the user's code: whatever it raises
        raise TrainableError(
            f"{trainable_name(trainable)}: asking what its trials need raised "
            f"{type(error).__name__}: {error}; mend it, or use tune.with_resources with a dict"
        ) from error
    if request is None:
        return PlacementGroupFactory([{"CPU": 1}])
    if not isinstance(request, PlacementGroupFactory):
        raise TrainableError(
            f"{trainable_name(trainable)} asks for {request!r}, a {type(request).__name__}; return "
            "a tune.PlacementGroupFactory([{'CPU': 1}])"
        )
    return request


def resources_of(trainable: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The same in the words of `cluster.resources.Resources`: keyword arguments of it.

    Raises:
        TrainableError: it asks for several bundles, which a slot does not have.
    """
    placement = placement_of(trainable, config)
    if len(placement.bundles) != 1 or placement.head_bundle_is_empty:
        raise TrainableError(
            f"{trainable_name(trainable)} asks for {len(placement.bundles)} bundles of resources "
            f"({placement.bundles}); a trial here runs in one process: ask for one bundle, and "
            "start helpers within it"
        )
    bundle = dict(placement.bundles[0])
    cpu, gpu = bundle.pop("CPU", 0.0), bundle.pop("GPU", 0.0)
    memory = bundle.pop("memory", 0.0)
    kinds = [name for name in bundle if name.startswith(_TYPE)]
    return {
        "cpu": cpu,
        "gpu": gpu,
        "memory_gb": memory / _GIB if memory else None,
        "accelerator_type": kinds[0].removeprefix(_TYPE) if kinds else None,
        "custom": {name: amount for name, amount in bundle.items() if name not in kinds},
    }


def _as_class(trainable: Any) -> type[Any]:
    """The subclass of `tune.Trainable` that Tune itself would make of it."""
    if isinstance(trainable, str):
        return _registered(trainable)
    if isinstance(trainable, type):
        if issubclass(trainable, TuneTrainable):
            return trainable
        raise TrainableError(
            f"class {trainable.__name__} is no subclass of ray.tune.Trainable; derive it from "
            "that, or hand over a function `train(config)`"
        )
    name = trainable_name(trainable)
    if not callable(trainable):
        raise TrainableError(
            f"the trainable is a {name}; Tune takes a function, a subclass of tune.Trainable, or a "
            "registered name (call a Ray Train trainer's fit() inside a function)"
        )
    if inspect.iscoroutinefunction(trainable) or inspect.isasyncgenfunction(trainable):
        raise TrainableError(f"{name} is async; a trainable is a plain function or generator")
    try:
        return wrap_function(trainable)
    except (TypeError, ValueError) as error:
        raise TrainableError(
            f"{name} cannot be called as {name}(config): {error}; give its other arguments "
            "defaults, or bind them with tune.with_parameters"
        ) from error


def _registered(name: str) -> type[Any]:
    try:
        return get_trainable_cls(name)  # type: ignore[no-any-return]  # Ray's are untyped
    except TuneError as error:
        raise TrainableError(
            f"no trainable is registered as {name!r}; call tune.register_trainable({name!r}, fn) "
            "before, or hand over the function or class itself"
        ) from error


def _hosted(cls: type[Any]) -> type[Any]:
    """`cls`, without the session that Tune's functions set up: they get ours."""
    if not issubclass(cls, FunctionTrainable):
        return cls
    return type(cls.__name__, (cls,), {"setup": _no_setup, "cleanup": _no_cleanup})


def _no_setup(self: Any, config: Mapping[str, Any]) -> None:
    """In the place of FunctionTrainable.setup."""


def _no_cleanup(self: Any) -> None:
    """In the place of FunctionTrainable.cleanup."""


def _packed(value: Any) -> bytes:
    out = io.BytesIO()
    kind: Any = type("Pickler", (_RAYS_PICKLER,), {"reducer_override": _reducer_override})
    kind(out).dump(value)
    return out.getvalue()


def _unpacked(blob: bytes) -> TuneFactory:
    return TuneFactory(*cloudpickle.loads(blob))


def _reducer_override(pickler: Any, obj: Any) -> Any:
    """Also pickles what `tune.with_parameters` keeps values in that never reached the object store."""
    if isinstance(obj, private(_REGISTRY)):
        return _refilled, (obj.to_flush, obj.references)
    return _RAYS_PICKLER.reducer_override(pickler, obj)


def _refilled(values: dict[str, Any], references: dict[str, Any]) -> Any:
    """The registry again; values of a time before `ray.init` go to the object store here."""
    registry = private(_REGISTRY)()
    registry.to_flush, registry.references = values, references
    if values and ray.is_initialized():
        registry.flush()
    return registry
