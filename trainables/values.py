"""Turns what users report into values that can be recorded as JSON and in a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raysweep.trials.errors import ReportError

_INT_BITS = 1024
MAX_BYTES = 64 * 1024
"""The largest report that is recorded; what is bigger belongs into a checkpoint."""
MAX_METRICS = 1000
"""The most names of metrics that one attempt may report."""
_MAX_DEPTH = 16
_SCALAR_BYTES = 24
_INT64 = 1 << 63


def clean(report: Any) -> Mapping[str, Any]:
    """The report with flat names and plain Python values.

    Groups join with "/"; numpy scalars and 0-d arrays and tensors become numbers; lists stay
    lists if JSON can carry them. A report that is plain already comes back as it is.

    Raises:
        ReportError: naming the metric that cannot be recorded and what to do about it.
    """
    if type(report) is not dict:
        return _clean_any(report)
    size = 0
    for name, value in report.items():
        kind = type(value)
        plain = kind is float or (kind is int and -_INT64 < value < _INT64)
        if not plain or type(name) is not str:
            return _clean_any(report)
        size += len(name) + _SCALAR_BYTES
    if size > MAX_BYTES:
        raise _too_large(report, size)
    return report


def _clean_any(report: Any) -> Mapping[str, Any]:
    if not isinstance(report, Mapping):
        raise ReportError(
            f"a report must be a dict of metrics, but this one is of type {_type_name(report)}; "
            "report for example {'loss': 0.5}"
        )
    flat: dict[str, Any] = {}
    size = _flatten(report, "", flat, 0)
    if size > MAX_BYTES:
        raise _too_large(flat, size)
    return flat


def _flatten(group: Mapping[Any, Any], prefix: str, flat: dict[str, Any], depth: int) -> int:
    """Put the group's metrics into `flat`; gives roughly how many bytes they take as JSON."""
    if depth > _MAX_DEPTH:
        raise ReportError(
            f"metric {prefix[:60]!r} is nested more than {_MAX_DEPTH} groups deep; report flat names"
        )
    size = 0
    for key, value in group.items():
        if not isinstance(key, str):
            raise ReportError(
                f"{_named(prefix + repr(key)[:60])} has a name of type {_type_name(key)}; "
                "names of metrics must be str"
            )
        name = prefix + key
        if isinstance(value, Mapping):
            size += _flatten(value, name + "/", flat, depth + 1)
        else:
            flat[name], taken = _plain(name, value)
            size += len(name) + taken
    return size


def _plain(name: str, value: Any) -> tuple[Any, int]:
    """One value as JSON can carry it, and its size in bytes."""
    kind = type(value)
    if kind is float or kind is bool or value is None:
        return value, _SCALAR_BYTES
    if isinstance(value, str):
        return _text(name, value)
    if isinstance(value, float):
        return float(value), _SCALAR_BYTES
    if isinstance(value, int):
        return _integer(name, int(value))
    if isinstance(value, (list, tuple)):
        return _listed(name, value)
    return _arrayed(name, value)


def _integer(name: str, value: int) -> tuple[int, int]:
    bits = value.bit_length()
    if bits > _INT_BITS:  # Python's own JSON refuses them from 4,300 digits on
        raise ReportError(
            f"{_named(name)} is an integer of {bits:,} bits; up to {_INT_BITS:,} are recorded: "
            "report it as a float or as text"
        )
    return value, 8 + bits // 3


def _text(name: str, value: str) -> tuple[str, int]:
    if len(value) > MAX_BYTES:
        raise _too_large({name: value}, len(value))
    text = str.__str__(value)
    try:
        return text, len(text.encode())
    except UnicodeEncodeError as error:
        raise ReportError(f"{_named(name)} is text that UTF-8 cannot carry: {error}") from error


def _listed(name: str, value: Any) -> tuple[Any, int]:
    if len(value) > MAX_BYTES:
        raise _too_large({name: value}, 2 * len(value))
    try:
        text = json.dumps(value, default=_element)
    except (TypeError, ValueError, RecursionError) as error:
        raise ReportError(
            f"{_named(name)} is a {_type_name(value)} that JSON cannot carry: {str(error)[:200]}; "
            "report numbers, text, or lists of them"
        ) from error
    if len(text) > MAX_BYTES:
        raise _too_large({name: value}, len(text))
    return json.loads(text), len(text)


def _element(value: Any) -> Any:
    """What JSON should write for an element of a list that it does not know."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"an element is of type {_type_name(value)}")


def _arrayed(name: str, value: Any) -> tuple[Any, int]:
    """A numpy scalar, an array or a tensor (anything with `tolist`); nothing else is left."""
    if not hasattr(value, "tolist"):
        raise ReportError(
            f"{_named(name)} is of type {_type_name(value)}, which cannot be recorded; "
            "report a number, text, or a list of them, and write objects into a checkpoint"
        )
    count = getattr(value, "size", 1)
    count = count if isinstance(count, int) else value.numel() if hasattr(value, "numel") else 1
    if count > MAX_BYTES:
        raise _too_large({name: value}, 2 * count)
    try:
        plain = value.tolist()
    except Exception as error:  # third-party code: whatever it raises is this report's fault
        raise ReportError(f"{_named(name)} of type {_type_name(value)}: {error}") from error
    if hasattr(plain, "tolist") or isinstance(plain, (complex, bytes)):
        raise ReportError(
            f"{_named(name)} is of type {_type_name(value)}, which cannot be recorded; "
            "report its real and imaginary parts, or text"
        )
    return _plain(name, plain)


def _too_large(report: Mapping[str, Any], size: int) -> ReportError:
    name = max(report, key=lambda key: _rough_size(report[key]), default="")
    return ReportError(
        f"a report takes {size:,} bytes, more than the {MAX_BYTES:,} that are recorded; the "
        f"largest of its {len(report)} metrics is {name[:100]!r} of type "
        f"{_type_name(report[name])}; report a summary, and write the rest into a checkpoint"
    )


def _rough_size(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return 0


def _named(name: str) -> str:
    return f"metric {name[:100]!r}"


def _type_name(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
