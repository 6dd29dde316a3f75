"""Plain values: what a config may hold, and when two of them are the same."""

from __future__ import annotations

import json
import math
from typing import Any

from raysweep.trials.errors import SpaceError

_INT64 = 1 << 63


def key(value: Any) -> Any:
    """What decides whether two values are the same: 1 is 1.0, but neither is True."""
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None:
        return value
    if kind is bool:
        return (bool, value)
    tidy = plain(value)
    if isinstance(tidy, (list, dict)):
        return (type(tidy), json.dumps(tidy, sort_keys=True))
    return key(tidy)


def plain(value: Any) -> Any:
    """`value` as JSON has it: tuples become lists, numpy scalars numbers.

    Raises:
        SpaceError: for anything that JSON cannot hold, NaN and infinity among it.
    """
    if isinstance(value, str):
        return _text(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return whole("value", value)
    if isinstance(value, float):
        return finite("value", value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {name: plain(item) for name, item in value.items()}
    raise SpaceError(
        f"{value!r} is no plain value; allowed are text, numbers, true, false, null, and lists and "
        f"mappings of these (let the training code look objects up by name)"
    )


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SpaceError(f"{value!a} is no valid text: a lone surrogate is in it") from None
    return str.__str__(value)  # of a subclass, such as numpy's, the text alone


def finite(what: str, value: Any) -> float:
    """`value` as a finite float; `what` names it in the SpaceError that refuses anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SpaceError(f"{what} must be a number, got {value!r}")
    number = float(value) if abs(value) < 1e308 or isinstance(value, float) else math.inf
    if not math.isfinite(number):
        raise SpaceError(f"{what} must be finite, got {value!r}")
    return number


def whole(what: str, value: Any) -> int:
    """`value` as an integer of 64 bits; `what` names it in the SpaceError for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpaceError(f"{what} must be a whole number, got {value!r}")
    if not -_INT64 <= value < _INT64:
        raise SpaceError(f"{what} must fit into 64 bits, got {value!r}")
    return int(value)
