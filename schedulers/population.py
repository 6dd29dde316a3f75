"""What the rules that work on a population have in common for the catalogue: their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysweep.trials.options import Option, count, is_number, number

_Options = Mapping[str, Any]

POPULATION: dict[str, Option] = {
    "max_t": count(),
    "interval": count(required=True),
    "quantile": Option(
        "a number above 0, up to 0.5", lambda v: is_number(v) and 0 < v <= 0.5, 0.25
    ),
    "change": Option(
        "a list of parameters",
        lambda v: isinstance(v, list) and v != [] and all(isinstance(n, str) for n in v),
    ),
}
"""What both pbt and pb2 take."""

PERTURBATION: dict[str, Option] = {
    "factors": Option(
        "a list of numbers above 0 and other than 1",
        lambda v: isinstance(v, list) and v != [] and all(map(_is_factor, v)),
        [0.8, 1.2],
    ),
    "resample_probability": number(0.25, 0, 1),
}
"""What pbt takes besides."""

SCHEDULE: dict[str, Option] = {
    "max_t": count(),
    "schedule": Option("a list of {from_step, config}", lambda v: True, required=True),
}

_COPYING = frozenset({"pbt", "pb2"})
CHANGERS = _COPYING | {"pbt_replay"}
"""The rules whose children have configs that no searcher proposed."""

WANTS = {
    "space": "a child's config is made in the space",
    "trials": "its population is the budget of trials (`budget: {trials: 8}` in a spec)",
}


def _is_factor(value: Any) -> bool:
    return is_number(value) and value > 0 and value != 1


def interval_amiss(options: _Options) -> str:
    """Whether no rung comes before the end; "" if one does."""
    interval, max_t = options["interval"], options["max_t"]
    if max_t is None or interval < max_t:
        return ""
    return f"interval {interval} leaves no rung before max_t {max_t}; lower it"


def saves_every(written: Mapping[str, Any]) -> int | None:
    """How often, in steps, the scheduler of a spec needs checkpoints of trials that go on.

    None: it needs none; what is paused writes one in any case.
    """
    return written["interval"] if written.get("name") in _COPYING else None
