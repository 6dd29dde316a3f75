"""Report rows between two compactions: metrics in, typed columns out."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from raysweep.results import layout
from raysweep.results.codec import canonical
from raysweep.results.columns import Column, as_float, column_name, text, typed
from raysweep.results.models import Schema, check
from raysweep.trials.events import Reported

FIXED: Final = pa.schema(
    [
        ("trial_id", pa.string()),
        ("attempt", pa.int64()),
        ("step", pa.int64()),
        ("lsn", pa.int64()),
        ("at", pa.float64()),
        ("wall", pa.float64()),
        ("elapsed_s", pa.float64()),
        ("nonfinite", pa.bool_()),
    ]
)
"""The columns of every report row; one per metric and `metrics_json` follow."""
METRICS_JSON: Final = "metrics_json"
_RESERVED = frozenset({*FIXED.names, METRICS_JSON})
MAX_COLUMNS: Final = 2_000
_compact = json.JSONEncoder(separators=(",", ":")).encode
EXACT: Final = 1 << 53
"""Integers up to here are exact as doubles."""

# What a batch's values may all be, and the letter that stands for it in the batch's shape.
_LETTERS: Final = {float: "f", int: "i", bool: "b", str: "s"}
_all_floats = frozenset({float}).issuperset


class Metric(NamedTuple):
    """A metric's column: its name in the tables, its type, and where it first appeared."""

    column: str
    kind: str
    first_lsn: int


class Registry:
    """Which metric stands in which column, for good: a type never changes, nothing is dropped.

    Args:
        known: metric name → column, as `schema.json` keeps it.
    """

    def __init__(self, known: Mapping[str, Metric] | None = None) -> None:
        self.metrics: dict[str, Metric] = dict(known or {})
        self._taken = {metric.column.casefold() for metric in self.metrics.values()}

    def admit(self, name: str, kind: str, lsn: int) -> bool:
        """Give `name` a column of type `kind`; False if there are too many already."""
        if len(self.metrics) >= MAX_COLUMNS:
            return False
        column = column_name(name, self._taken, _RESERVED)
        self._taken.add(column.casefold())
        self.metrics[name] = Metric(column, kind, lsn)
        return True

    def dump(self) -> bytes:
        """schema.json."""
        rows = [
            {"name": name, "column": m.column, "type": m.kind, "first_lsn": m.first_lsn}
            for name, m in self.metrics.items()
        ]
        return json.dumps(layout.checksummed({"metrics": rows}), indent=1).encode()

    @classmethod
    def parse(cls, data: bytes) -> Registry:
        """The registry that `dump` wrote.

        Raises:
            ValueError: it is none.
        """
        body = layout.unchecked(data)
        check(Schema, body)
        rows = body["metrics"]
        return cls({r["name"]: Metric(r["column"], r["type"], r["first_lsn"]) for r in rows})


class ReportBuffer:
    """The rows since the last compaction.

    Args:
        registry: grows as metrics appear.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._shapes: dict[tuple[tuple[str, ...], str], str] = {}
        self.clear()

    def clear(self) -> None:
        """Forget every row."""
        self.rows = 0
        self._lsn, self._trial, self._attempt = array("q"), array("q"), array("q")
        self._at, self._wall, self._count = array("d"), array("d"), array("q")
        self._step, self._elapsed = array("q"), array("d")
        self._columns: dict[str, Column] = {}
        self._floats: dict[str, Column] = {}
        self._odd: dict[int, dict[str, Any]] = {}

    def add(self, lsn: int, wall: float, trial: int, batch: Reported) -> str:
        """Take in a batch whose reports all count; `trial` is the trial's row number.

        Returns:
            Its shape: JSON that maps each metric to the type of its values, by which the batch
            can be rebuilt from the columns; "" if the columns do not hold all of it.
        """
        _, _, _, steps, elapsed_s, metrics = batch
        start, count = self.rows, len(steps)
        exact = _all_floats(map(type, elapsed_s))
        self._elapsed.extend(elapsed_s if exact else map(_seconds, elapsed_s))
        columns, letters = self._floats, ""
        for name, values in metrics.items():
            column = columns.get(name)
            if (
                column is not None
                and len(column.values) == start
                and (type(values[0]) is float if count == 1 else _all_floats(map(type, values)))
            ):
                column.values.extend(values)
                if column.valid is not None:
                    column.valid.extend(b"\x01" * count)
                letters += "f"
            else:
                letters += self._take_mixed(name, values, lsn)
        self._add_keys(lsn, wall, trial, batch)
        return self._shape(tuple(metrics), letters) if exact else ""

    def _add_keys(self, lsn: int, wall: float, trial: int, batch: Reported) -> None:
        """What says which rows these are."""
        count = len(batch.steps)
        self._lsn.append(lsn)
        self._at.append(batch.at)
        self._wall.append(wall)
        self._trial.append(trial)
        self._attempt.append(batch.attempt)
        self._count.append(count)
        self._step.extend(batch.steps)
        self.rows += count

    def _shape(self, names: tuple[str, ...], letters: str) -> str:
        """The shape of a batch, made once for all batches alike."""
        shape = self._shapes.get((names, letters))
        if shape is None:
            shape = "" if "?" in letters else _compact(dict(zip(names, letters, strict=True)))
            self._shapes[names, letters] = shape
        return shape

    def _take_mixed(self, name: str, values: Sequence[Any], lsn: int) -> str:
        """Add one metric of a batch whatever it holds; gives the letter for the shape."""
        kinds = set(map(type, values)) - {type(None)}
        if not kinds:
            return "n"
        column = self._column(name, values, lsn)
        letter = _LETTERS.get(kinds.pop(), "?") if len(kinds) == 1 else "?"
        for offset, value in enumerate(values):
            kept = _fit(value, column.kind) if column is not None else None
            if kept is not None and column is not None:
                if len(column) < self.rows + offset:
                    column.pad(self.rows + offset - len(column))
                column.append(kept)
            if value is not None and (kept is None or not _same(kept, value)):
                self._odd.setdefault(self.rows + offset, {})[name] = value
                letter = "?"
        return letter

    def _column(self, name: str, values: Sequence[Any], lsn: int) -> Column | None:
        """The column for a metric; None while it has shown nothing that a column holds."""
        column = self._columns.get(name)
        if column is not None:
            return column
        if name not in self.registry.metrics:
            kind = next(filter(None, map(_kind, values)), None)
            if kind is None or not self.registry.admit(name, kind, lsn):
                return None
        column = self._columns[name] = Column(self.registry.metrics[name].kind)
        if column.kind == "float64":
            self._floats[name] = column
        return column

    def table(self, ids: Sequence[str], keep_from: int = 0) -> pa.Table:
        """The rows with an LSN from `keep_from` on, sorted by (trial_id, attempt, step)."""
        count = np.asarray(self._count, np.int64)
        lsn, attempt, trial, at, wall = (
            np.repeat(np.asarray(values), count)
            for values in (self._lsn, self._attempt, self._trial, self._at, self._wall)
        )
        present = np.unique(trial)
        names = np.array([ids[row] for row in present], dtype=object)
        rank = np.empty(len(names), np.int64)
        rank[np.argsort(names)] = np.arange(len(names))
        place = np.searchsorted(present, trial)
        order = np.lexsort((np.asarray(self._step), attempt, rank[place]))
        order = pa.array(order[lsn[order] >= keep_from])
        arrays = [
            pa.array(attempt),
            typed(self._step, "int64"),
            pa.array(lsn),
            pa.array(at),
            pa.array(wall),
            typed(self._elapsed, "float64"),
            pa.array(self._nonfinite()),
            *self._metric_arrays(),
        ]
        trial_ids = pa.array(names, pa.string()).take(pa.array(place).take(order))
        registered = [self.registry.metrics[name] for name in self._columns]
        metrics = [
            (m.column, pa.float64() if m.kind == "float64" else pa.string()) for m in registered
        ]
        schema = pa.schema([*FIXED, *metrics, (METRICS_JSON, pa.string())])
        return pa.table([trial_ids, *(array.take(order) for array in arrays)], schema=schema)

    def _metric_arrays(self) -> Iterator[pa.Array]:
        """One array per metric, as long as there are rows, and metrics_json."""
        for column in self._columns.values():
            if len(column) < self.rows:
                column.pad(self.rows - len(column))
            yield column.arrow()
        yield self._odd_column()

    def _nonfinite(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Per row: whether any of its metrics is NaN or infinite."""
        found = np.zeros(self.rows, dtype=bool)
        for column in self._columns.values():
            if column.kind == "float64":
                bad = ~np.isfinite(np.asarray(column.values))
                found[: len(bad)] |= bad
        for row, odd in self._odd.items():
            found[row] |= any(isinstance(v, float) and not np.isfinite(v) for v in odd.values())
        return found

    def _odd_column(self) -> pa.Array:
        """metrics_json: what the columns do not hold, per row."""
        if not self._odd:
            return pa.nulls(self.rows, pa.string())
        rows: list[str | None] = [None] * self.rows
        for row, odd in self._odd.items():
            rows[row] = canonical(odd)
        return pa.array(rows, pa.string())


class KeyBuffer(ReportBuffer):
    """Rows without their metrics: for a reader that asks which rows there must be."""

    def add(self, lsn: int, wall: float, trial: int, batch: Reported) -> str:
        """As `ReportBuffer.add`; the shape is ""."""
        self._add_keys(lsn, wall, trial, batch)
        self._elapsed.extend(repeat(np.nan, len(batch.steps)))
        return ""


def _seconds(value: Any) -> float:
    """A training time as a double; NaN where it is missing."""
    return np.nan if value is None else float(value)


def _kind(value: Any) -> str | None:
    """The type of column that `value` asks for; None if no column holds it."""
    if isinstance(value, (int, float)):
        return "float64"
    return "string" if isinstance(value, str) else None


def _fit(value: Any, kind: str) -> Any:
    """`value` as the column keeps it; None if it cannot."""
    if kind == "float64":
        return as_float(value) if isinstance(value, (int, float)) else None
    return text(value) if isinstance(value, str) else None


def _same(kept: Any, value: Any) -> bool:
    """Whether nothing was lost; NaN is itself."""
    if isinstance(value, str):
        return bool(kept == value)
    return isinstance(value, float) or abs(value) <= EXACT
