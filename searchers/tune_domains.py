"""One domain of Ray Tune as a domain of ours.

The values are the same. So is the law, with three exceptions that come from rounding: in Tune the
two ends of `quniform` are half as likely as the rest, `qloguniform` likewise, and the logarithmic
integer ranges round downwards where ours round to the nearest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ray.tune.search import sample as tune

from raysweep.trials.domains import Domain, Fixed, Float, Int
from raysweep.trials.errors import SpaceError
from raysweep.trials.free import Free

_WIDEST = 1 << 53


def grid_options(value: Any) -> list[Any] | None:
    """The values of a `grid_search`; None for anything else."""
    if isinstance(value, tune.Categorical) and isinstance(value.sampler, tune.Grid):
        return list(value.categories)
    if isinstance(value, dict) and value.keys() == {"grid_search"}:
        return list(value["grid_search"])
    return None


def choice_options(value: Any) -> list[Any] | None:
    """The values of a `choice` or a `grid_search`; None for anything else."""
    if isinstance(value, tune.Categorical):
        return list(value.categories)
    return grid_options(value)


def is_domain(value: Any) -> bool:
    """Whether Tune takes `value` for something to be drawn, whatever it lies in."""
    if isinstance(value, tune.Domain):
        return True
    return isinstance(value, dict) and (value.keys() == {"grid_search"} or value.keys() == {"eval"})


def varies(value: Any) -> bool:
    """Whether anything in `value`, at any depth, is to be drawn."""
    if is_domain(value):
        return True
    if isinstance(value, dict):
        return any(map(varies, value.values()))
    return isinstance(value, (list, tuple)) and any(map(varies, value))


def convert(domain: Any) -> Domain:
    """Ours for a domain of Tune that is no choice; `Free` where we have no such law.

    Raises:
        SpaceError: for a range that is empty or inverted.
    """
    if isinstance(domain, tune.Float):
        return _float(domain)
    if isinstance(domain, tune.Integer):
        return _integer(domain)
    return Free()


def _law(domain: Any) -> tuple[Any, Any]:
    """The sampler below the rounding, and the rounding's step (None: no rounding)."""
    sampler = domain.get_sampler()
    if isinstance(sampler, tune.Quantized):
        return sampler.sampler, sampler.q
    return sampler, None


def _float(domain: Any) -> Domain:
    law, q = _law(domain)
    bounded = math.isfinite(domain.lower) and math.isfinite(domain.upper)
    log = isinstance(law, tune.LogUniform)
    if not bounded or not (log or isinstance(law, tune.Uniform)):
        return Free("float64")
    if q is None:
        return _unless_single(Float, [float(domain.lower), float(domain.upper)], log)
    # Tune insists on float bounds that are multiples of q, up to rounding: the ends of the grid.
    low, high = float(domain.lower), float(domain.upper)
    return _unless_single(Float, [low, high], log, min(float(q), high - low))


def _integer(domain: Any) -> Domain:
    law, q = _law(domain)
    log = isinstance(law, tune.LogUniform)
    if not (log or isinstance(law, tune.Uniform)):
        return Free("int64")
    low, high = domain.lower, domain.upper
    if q is None or q == 1:
        low, high, q = math.ceil(low), math.ceil(high) - 1, 1
    else:
        low, high = _inwards(low, high, q)
        low, high = low * q, high * q
    if high - low > _WIDEST:
        return Free("int64")
    if float(q).is_integer():
        return _unless_single(Int, [int(low), int(high)], log, int(q))
    return Free("int64")


def _unless_single(
    kind: type[Float] | type[Int], bounds: Sequence[Any], log: bool, step: Any = None
) -> Domain:
    low, high = bounds
    if low == high:
        return Fixed(low)
    if low > high:
        raise SpaceError(f"no value lies in the range from {low!r} to {high!r}; widen it")
    return kind(low, high, log) if step is None else kind(low, high, log, step)


def _inwards(low: float, high: float, q: float) -> tuple[int, int]:
    """The first and the last k with low <= k·q <= high, up to rounding."""
    return _index(low, q, math.ceil), _index(high, q, math.floor)


def _index(bound: float, q: float, inwards: Any) -> int:
    scaled = bound / q
    nearest = round(scaled)
    return nearest if math.isclose(scaled, nearest) else int(inwards(scaled))
