"""The parts of a spec, and the ways to write a duration, a count and a share of a GPU."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from raysweep.orchestrator.shares import Shares, read_shares
from raysweep.trials.errors import SpecError

_T = TypeVar("_T")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*[smhd]\s*)+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SMALLEST_GPU = 0.0001


def problem(text: str) -> PydanticCustomError:
    """What a validator raises to put `text`, as it is, on the list of what is wrong."""
    return PydanticCustomError("raysweep", "{problem}", {"problem": text})


def told(function: Callable[..., _T], *arguments: Any) -> _T:
    """`function(*arguments)`, its SpecError as a problem of the field that is being validated."""
    try:
        return function(*arguments)
    except SpecError as error:
        raise problem(str(error)) from None


def seconds(value: Any) -> Any:
    """A duration in seconds from a number, or from text such as `90s`, `10m`, `2h`, `1d`, `1h30m`.

    Raises:
        PydanticCustomError: for other text.
    """
    if not isinstance(value, str):
        return value
    if not _DURATION.fullmatch(value.strip()):
        raise problem(f"got {value!r}; write seconds, or a duration such as 90s, 10m, 2h, 1d")
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PIECE.findall(value))


def _whole(value: Any) -> Any:
    """`1e3`, which YAML reads as a float, is a fine count."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_EXACT = 1 << 53
Whole = Annotated[int, BeforeValidator(_whole), Field(le=_EXACT)]
Count = Annotated[Whole, Field(ge=1)]
Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, allow_inf_nan=False)]


def _seconds_named(name: str, default: float | None) -> Any:
    """A field `name_s` that a spec may write as `name` or as `name_s`."""
    return Field(default=default, validation_alias=AliasChoices(name, f"{name}_s"))


class Part(BaseModel):
    """A part of a spec: frozen, unknown keys refused, no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _steps(value: Any) -> Any:
    """Pairs of a step and an amount, `[[9, 0.5], [27, 1]]`, or a mapping from Python."""
    pairs = value.items() if isinstance(value, dict) else value
    try:
        found = tuple(sorted((int(step), float(amount)) for step, amount in pairs))
        if all(math.isfinite(amount) for _, amount in found):
            return found
        raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise problem(
            f"got {value!r}; write pairs of a step and an amount, e.g. [[9, 0.5], [27, 1]], all finite"
        ) from None


Amounts = Annotated[tuple[tuple[int, float], ...], BeforeValidator(_steps)]


class ResourcesSpec(Part):
    """What one trial holds while it runs.

    `gpu` is a fraction of one GPU up to 1, above that a whole number of them; `custom` are Ray
    resources by name. `gpu_from` (without GPUs, `cpu_from`) gives trials that may run beyond a step
    more, `elastic` those that are left when no new ones come; `patience_s` is how long a trial
    waits for that.
    """

    cpu: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    gpu: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    memory_gb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    accelerator_type: str | None = None
    custom: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    gpu_from: Amounts = ()
    cpu_from: Amounts = ()
    elastic: bool = False
    patience_s: Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)] = (
        Field(default=60.0, validation_alias=AliasChoices("patience", "patience_s"))
    )

    @model_validator(mode="after")
    def _check(self) -> ResourcesSpec:
        if 0 < self.gpu < _SMALLEST_GPU or (self.gpu > 1 and self.gpu != int(self.gpu)):
            raise problem(
                f"gpu is {self.gpu:g}; allowed are 0, a fraction from {_SMALLEST_GPU} to 1, and "
                f"whole numbers above 1"
            )
        for name in self.custom:
            if name.lower() in {"cpu", "gpu", "memory", "object_store_memory"}:
                raise problem(f"custom names {name!r}; write it as `{name.lower()}`, not in custom")
        told(self.shares)
        return self

    def shares(self) -> Shares:
        """How large the slots of which trials are.

        Raises:
            SpecError: slots of these amounts cannot be joined to each other.
        """
        sizes = read_shares(self.gpu, self.cpu, self.gpu_from, self.cpu_from)
        return Shares(sizes, self.elastic, self.patience_s)

    def smallest(self) -> dict[str, Any]:
        """What the smallest slot holds, as the arguments of `cluster.resources.Resources`."""
        growing = {"gpu_from", "cpu_from", "elastic", "patience_s"}
        return self.model_dump(exclude=growing)


class BudgetSpec(Part):
    """The limits of the sweep; None: no limit."""

    trials: Count | None = None
    steps: Count | None = None
    wall_time_s: Seconds | None = _seconds_named("wall_time", None)
    gpu_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class RetriesSpec(Part):
    """How often a trial is tried again, by the class of its failure."""

    infra: Whole = Field(default=5, ge=0)
    error: Whole = Field(default=0, ge=0)
    crash: Whole = Field(default=1, ge=0)
    oom: Whole = Field(default=1, ge=0)
    stuck: Whole = Field(default=0, ge=0)
    checkpoint: Whole = Field(default=1, ge=0)


class CheckpointSpec(Part):
    """How often a running trial writes a checkpoint, and which of them are kept."""

    every_s: Seconds | None = Field(default=60.0, validation_alias=AliasChoices("every_s", "every"))
    every_steps: Count | None = None
    keep: Count = 1
    keep_stopped: bool = False
    keep_best: Annotated[Whole, Field(ge=0, le=1_000)] = 0


class TimeoutsSpec(Part):
    """How long to wait: for a trial's next step, for its cleanup, for a first slot, for the last
    checkpoints."""

    stuck_s: Seconds | None = _seconds_named("stuck", None)
    cleanup_s: Seconds = _seconds_named("cleanup", 45.0)
    stalled_s: Seconds = _seconds_named("stalled", 600.0)
    drain_s: Seconds = _seconds_named("drain", 15.0)


class ConfirmSpec(Part):
    """How many of the best configs are trained again, and on how many fresh seeds each."""

    top: Annotated[Count, Field(le=10_000)] = 5
    seeds: Annotated[Count, Field(le=1_000)] = 3


class ClusterSpec(Part):
    """Where trials run: a Ray cluster by address, or a local Ray inside the driver (None)."""

    address: str | None = None
    num_cpus: Count | None = None
    num_gpus: Whole | None = Field(default=None, ge=0)
    max_slots: Count | None = None
    fresh_process: bool = False
    speeds: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    prices: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}

    @model_validator(mode="after")
    def _check(self) -> ClusterSpec:
        if self.address is not None and (self.num_cpus, self.num_gpus) != (None, None):
            raise problem(
                "num_cpus and num_gpus describe a local Ray, and address names a running one; "
                "leave out either"
            )
        return self
