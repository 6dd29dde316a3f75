"""Columns that grow row by row in little memory and turn into Arrow without a copy per value."""

from __future__ import annotations

import json
import unicodedata
from array import array
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pyarrow as pa

ARROW: Final = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "json": pa.string(),
}
"""The Arrow type of each column type that a manifest or a schema registry may name."""
_CODES: Final = {"float64": "d", "int64": "q", "bool": "b"}
_NAME_LIMIT = 200


class Column:
    """One nullable column.

    `values` holds something for every row; `valid` says by a byte per row where it counts (None:
    everywhere). Whoever adds to the one adds to the other.

    Args:
        kind: a key of `ARROW`.
    """

    __slots__ = ("kind", "valid", "values")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.values: Any = array(_CODES[kind]) if kind in _CODES else []
        self.valid: bytearray | None = None  # one byte a row, made at the first null

    def __len__(self) -> int:
        return len(self.values)

    def append(self, value: Any) -> None:
        """Add one value of this column's type; None is null."""
        if value is None:
            self.pad(1)
            return
        self.values.append(value)
        if self.valid is not None:
            self.valid.append(1)

    def pad(self, count: int) -> None:
        """Add `count` nulls."""
        if self.valid is None:
            self.valid = bytearray(b"\x01" * len(self.values))
        filler = (
            [None] * count
            if isinstance(self.values, list)
            else array(self.values.typecode, bytes(count * self.values.itemsize))
        )
        self.values.extend(filler)
        self.valid.extend(bytes(count))

    def mask(self) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
        """True where there is no value; None if there is one everywhere."""
        if self.valid is None:
            return None
        return np.asarray(np.frombuffer(bytes(self.valid), dtype=np.uint8) == 0)

    def arrow(self) -> pa.Array:
        """The column as an Arrow array of its type."""
        if isinstance(self.values, list):
            return pa.array(self.values, pa.string())
        return typed(self.values, self.kind, self.mask())

    @classmethod
    def of(cls, kind: str, source: pa.ChunkedArray) -> Column:
        """A column that holds what `arrow` gave and a Parquet file kept."""
        column = cls(kind)
        if kind not in _CODES:
            column.values = source.to_pylist()
            return column
        filled = source.fill_null(False if kind == "bool" else 0).to_numpy()
        column.values.frombytes(filled.astype(column.values.typecode, copy=False).tobytes())
        if source.null_count:
            column.valid = bytearray(source.is_valid().to_numpy().astype(np.uint8).tobytes())
        return column


def typed(
    values: array[Any], kind: str, mask: np.ndarray[Any, np.dtype[np.bool_]] | None = None
) -> pa.Array:
    """The numbers in `values` as Arrow, null where `mask` is true; later growth does not show."""
    numbers = np.frombuffer(values.tobytes(), dtype=values.typecode) if values else np.empty(0)
    return pa.array(numbers.astype(bool) if kind == "bool" else numbers, ARROW[kind], mask=mask)


def nullable(values: array[Any], kind: str = "float64") -> pa.Array:
    """The numbers in `values` as Arrow; NaN and negative integers stand for "none" and are null."""
    numbers = np.frombuffer(values.tobytes(), dtype=values.typecode) if values else np.empty(0)
    mask = np.isnan(numbers) if values.typecode == "d" else numbers < 0
    return pa.array(numbers, ARROW[kind], mask=mask)


def fitting(value: Any, kind: str, dump: Callable[[Any], str] = json.dumps) -> Any:
    """`value` as a column of type `kind` holds it; None where it does not fit that type."""
    if value is None and kind != "json":
        return None
    if kind == "json":
        return dump(value)
    number = isinstance(value, (int, float))
    if kind == "string":
        return text(value) if isinstance(value, str) else None
    if kind == "bool":
        return int(value) if isinstance(value, bool) else None
    if not number or isinstance(value, bool):
        return None
    if kind == "int64":
        return int(value) if value == value // 1 and abs(value) < 1 << 63 else None
    return as_float(value)


def as_float(value: float) -> float | None:
    """`value` as a double; None for an integer beyond the range of doubles."""
    try:
        return float(value)
    except OverflowError:
        return None


def text(value: str) -> str:
    """`value` as UTF-8 can carry it: lone surrogates stand as backslash escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def column_name(name: str, taken: set[str], fixed: frozenset[str]) -> str:
    """A column name for the metric `name` that no tool trips over.

    Control and formatting characters become escapes, long names are cut and end in a hash, a
    name of a fixed column gets the suffix "_metric", and one that differs from a `taken` name
    (given casefolded) in case only gets a number.
    """
    safe = "".join(c if unicodedata.category(c)[0] != "C" else _escaped(c) for c in name)
    if len(safe) > _NAME_LIMIT:
        safe = safe[:_NAME_LIMIT] + "~" + blake2b(safe.encode(), digest_size=4).hexdigest()
    if not safe.strip() or safe.casefold() in fixed:
        safe += "_metric"
    unique, number = safe, 1
    while unique.casefold() in taken:
        number += 1
        unique = f"{safe}_{number}"
    return unique


def _escaped(character: str) -> str:
    return (
        character.encode("ascii", "backslashreplace").decode()
        if ord(character) > 127
        else f"\\x{ord(character):02x}"
    )
