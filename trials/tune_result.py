"""A report as Ray Tune's searchers, schedulers and stoppers see one, and how it is kept as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from raysweep.trials.trial import Config, TrialId

STEP = "training_iteration"
"""Tune's name for a trial's step."""


def tune_result(
    trial: TrialId,
    step: int,
    metrics: Mapping[str, Any],
    config: Config | None = None,
    *,
    done: bool = False,
) -> dict[str, Any]:
    """What Tune would pass on: flat, with `trial_id`, `done`, `training_iteration`, `config/...`.

    Args:
        trial: the id by which the receiver knows it.
        step: of the report; the user's own `training_iteration` wins over it.
        metrics: of the report; what a step lacks, None in it, is left out as in Tune.
        config: flat; None: the receiver is not told.
        done: whether this is the last report.
    """
    own = {name: value for name, value in metrics.items() if value is not None}
    parameters = {f"config/{name}": value for name, value in (config or {}).items()}
    return {STEP: step, **own, "trial_id": trial, "done": done, **parameters}


def pack(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """`metrics` as strict JSON has it: what is not finite becomes `{"float": "nan"}`."""
    return {
        name: {"float": repr(value)}
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in metrics.items()
        if value is not None
    }


def unpack(packed: Mapping[str, Any]) -> dict[str, Any]:
    """Take back what `pack` gave."""
    return {
        name: float(value["float"]) if isinstance(value, dict) and "float" in value else value
        for name, value in packed.items()
    }
