"""What Ray Tune's `Trial` objects and results say, in plain data."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from raysweep.trials.errors import SpaceError
from raysweep.trials.events import ErrorClass
from raysweep.trials.values import plain

_STEP = "training_iteration"
_DROPPED = frozenset(
    {
        "config", "checkpoint_dir_name", "date", "done", "experiment_id", "experiment_tag",
        "hostname", "iterations_since_restore", "node_ip", "pid", "should_checkpoint",
        "time_since_restore", "time_this_iter_s", "timestamp", "timesteps_since_restore",
        "timesteps_total", "episodes_total", "trial_id", "warmup_time",
    }
)  # fmt: skip
"""What Tune adds to every result and our tables hold elsewhere, or need not hold."""
_LONGEST = 1000
_NUMBER, _MIXED = "float64", "json"
_FAILURE = re.compile(r"^Failure # \d+ .*$", re.MULTILINE)


class Failure(NamedTuple):
    """Why an attempt failed."""

    error: str
    message: str
    traceback: str


def flat(nested: Mapping[Any, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested mapping, their names joined by "/"."""
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{group}{name}/")
        else:
            yield f"{group}{name}", value


def config_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's config as plain JSON by flat name; objects stand as a short text, what is long not."""
    shown = {}
    for name, value in flat(config):
        try:
            tidy = plain(value)
        except SpaceError:
            tidy = _label(value)
        if len(json.dumps(tidy)) <= _LONGEST:
            shown[name] = tidy
    return shown


def metrics_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a result says beyond Tune's own bookkeeping, by flat name; objects are left out."""
    kept = {}
    for name, value in flat({n: v for n, v in result.items() if n not in _DROPPED}):
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            kept[name] = value
        elif isinstance(value, (list, tuple)):
            try:
                kept[name] = plain(value)
            except SpaceError:
                continue
    return kept


def columns_of(configs: list[dict[str, Any]]) -> dict[str, str]:
    """Column types that hold the parameters of these configs; numbers as float64, which holds
    what later trials may bring."""
    columns: dict[str, str] = {}
    for config in configs:
        for name, value in config.items():
            kind = _kind(value)
            columns[name] = kind if columns.get(name, kind) == kind else _MIXED
    return columns


def number(value: Any, default: float) -> float:
    """`value` as a finite float, or the default."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return default


def step_of(result: Mapping[str, Any] | None, default: int) -> int:
    """Tune's count of a trial's results, or the default."""
    step = (result or {}).get(_STEP)
    return step if isinstance(step, int) else default


def ending_of(trial: Any, result: Mapping[str, Any]) -> str:
    """What a result that Tune marked as a trial's last one means: "finish", "stop" or "end".

    A function's own end comes without a result, so this one was marked by the scheduler, a stopper
    or the stop criteria; the result of a class may have been marked by the class.
    """
    reached = any(
        isinstance(result.get(name), (int, float)) and result[name] >= bound
        for name, bound in trial.stopping_criterion.items()
    )
    if reached:
        return "finish"
    from ray.tune.trainable import FunctionTrainable

    kind = trial.get_trainable_cls()
    return "stop" if isinstance(kind, type) and issubclass(kind, FunctionTrainable) else "end"


def failure_of(text: str) -> Failure:
    """The last failure in a trial's error file, and what kind of failure it seems to be."""
    last = _FAILURE.split(text)[-1].strip()
    lines = [line for line in last.splitlines() if line.strip()]
    return Failure(_error_class(last).value, lines[-1] if lines else "unknown", last)


def read_error(path: str | None) -> str:
    """The text of a trial's error file; "" if there is none."""
    if path is None or not os.path.isfile(path):  # noqa: PTH113 - Tune gives a string
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - likewise
        return file.read()


def _error_class(text: str) -> ErrorClass:
    if "OutOfMemory" in text:
        return ErrorClass.OOM
    if "NodeDied" in text or "NodePreempted" in text:
        return ErrorClass.INFRA
    if "ActorDiedError" in text or "RayActorError" in text or "ActorUnavailable" in text:
        return ErrorClass.CRASH
    return ErrorClass.ERROR


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return _NUMBER
    return "string" if isinstance(value, str) else _MIXED


def _label(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return name
    text = repr(value)
    return text if len(text) <= 60 and " at 0x" not in text else type(value).__name__
