"""Python values as JSON and back: what `sample_from` and Tune's searchers may put into a config.

Plain JSON stands for itself. The rest is a mapping with one key that begins with "$": `$tuple`,
`$float` (nan, inf, -inf), `$int` (beyond 64 bits), `$array`, `$dict` (keys that are no text, or that
begin with "$"), and `$object`, the import path of a function or class. No value is ever pickled.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from raysweep.trials.errors import SpaceError
from raysweep.trials.values import key, plain

_INT64 = 1 << 63
_LONGEST_REPR = 60


def pack(value: Any) -> Any:
    """`value` as plain JSON; `unpack` gives an equal one back.

    Raises:
        SpaceError: for an object that no import path leads to.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(float(value))}
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return {"$int": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return plain(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"$array": pack(value.tolist()), "dtype": value.dtype.str}
    if isinstance(value, tuple):
        return {"$tuple": [pack(item) for item in value]}
    if isinstance(value, list):
        return [pack(item) for item in value]
    if isinstance(value, Mapping):
        return _pack_mapping(value)
    return {"$object": _import_path(value)}


def unpack(value: Any) -> Any:
    """What `pack` was given.

    Raises:
        SpaceError: if an import path leads nowhere any more.
    """
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    for tag, read in _READERS.items():
        if tag in value:
            return read(value)
    return {name: unpack(item) for name, item in value.items()}


def labels(options: Sequence[Any]) -> list[str]:
    """A short text for each of `options`, the same in every process and no two alike."""
    texts: list[str] = []
    for option in options:
        text, count = label(option), 1
        while text in texts:
            count += 1
            text = f"{label(option)}#{count}"
        texts.append(text)
    return texts


def label(value: Any) -> str:
    """A short text for `value` that names no address, hence the same in every process."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if isinstance(name, str):
        return name.rpartition("<locals>.")[2]
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= _LONGEST_REPR and " at 0x" not in text and text.isprintable():
        return text
    return type(value).__name__


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, or one is a copy of the other."""
    if one is other:
        return True
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    try:
        return bool(key(one) == key(other))
    except SpaceError:
        pass
    if type(one) is not type(other):
        return False
    return _equal(one, other) or _alike(one, other)


def _equal(one: Any, other: Any) -> bool:
    try:
        if isinstance(one, np.ndarray):
            return np.array_equal(one, other)
        return bool(one == other) or bool(one != one and other != other)
    except Exception:  # any library may refuse to compare, in any way
        return False


def _alike(one: Any, other: Any) -> bool:
    """Tune copies configs deeply, so objects without `==` are told by their content."""
    import cloudpickle

    try:
        return bool(cloudpickle.dumps(one) == cloudpickle.dumps(other))
    except Exception:  # what cannot be pickled cannot have been copied to another process either
        return False


def _pack_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    if all(isinstance(name, str) and not name.startswith("$") for name in value):
        return {plain(name): pack(item) for name, item in value.items()}
    return {"$dict": [[pack(name), pack(item)] for name, item in value.items()]}


def _import_path(value: Any) -> str:
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    found = sys.modules.get(module) if isinstance(module, str) and module != "__main__" else None
    for part in str(name).split("."):
        found = getattr(found, part, None)
    if found is not value:
        raise SpaceError(
            f"{value!r} cannot be written into a table: allowed are plain values, tuples, arrays, "
            f"and functions and classes of a module; choose by name and look the object up in the "
            f"training code"
        )
    return f"{module}:{name}"


def _read_object(value: dict[str, Any]) -> Any:
    module, _, name = value["$object"].partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SpaceError(f"{value['$object']} cannot be imported here: {error}") from None
    return found


_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "$float": lambda value: float(value["$float"]),
    "$int": lambda value: int(value["$int"]),
    "$tuple": lambda value: tuple(unpack(value["$tuple"])),
    "$array": lambda value: np.array(unpack(value["$array"]), dtype=np.dtype(value["dtype"])),
    "$dict": lambda value: {unpack(name): unpack(item) for name, item in value["$dict"]},
    "$object": _read_object,
}
