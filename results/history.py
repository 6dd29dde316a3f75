"""The whole history of a sweep, record by record, from its Parquet parts and its log."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from raysweep.results import layout
from raysweep.results.codec import Record, decode
from raysweep.results.layout import Part
from raysweep.results.parts import read_parquet
from raysweep.results.reports import Registry
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import StoreCorrupt
from raysweep.trials.events import Reported

_MOST_SCHEMA = 1 << 28


class Line(NamedTuple):
    """A record together with its JSON in the journal; "" where the columns of a part hold all of it."""

    record: Record
    payload: str


def part_lines(root: Path, parts: list[Part], first: int) -> Iterator[Line]:
    """The records of these parts from the LSN `first` on, exact.

    Raises:
        StoreCorrupt: a part is damaged or missing.
    """
    registry = read_registry(root)
    for part in parts:
        if part.last >= first:
            yield from (line for line in _lines(root, part, registry) if line.record.lsn >= first)


def read_registry(root: Path) -> Registry:
    """schema.json; an empty registry if there is none yet, and no part that needs one.

    Raises:
        StoreCorrupt: it is damaged, or gone.
    """
    file = root / layout.SCHEMA
    try:
        return Registry.parse(layout.read_bytes(file, _MOST_SCHEMA))
    except FileNotFoundError:
        if not layout.list_parts(root):
            return Registry()
        why = "it is gone"
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        why = str(error)
    raise StoreCorrupt(f"{file} is damaged: {why}. Restore it from a copy")


def _lines(root: Path, part: Part, registry: Registry) -> Iterator[Line]:
    """The records of one part."""
    events = read_parquet(root / layout.EVENTS / part.name)
    verdicts = _verdicts(read_parquet(root / layout.DECISIONS / part.name))
    batches = _Batches(read_parquet(root / layout.REPORTS / part.name), registry)
    for row in zip(*(events[name].to_pylist() for name in _EVENT), strict=True):
        lsn, at, trial, count, shape, payload = row
        if batches.count(lsn) != count:
            raise StoreCorrupt(
                f"{root / layout.REPORTS / part.name}: record {lsn} made {count} rows, "
                f"{batches.count(lsn)} are there. Restore the part from a copy"
            )
        if payload:
            yield Line(decode(payload), payload)
            continue
        try:
            event = batches.event(lsn, at, trial, shape)
        except KeyError as error:
            raise StoreCorrupt(
                f"{root / layout.SCHEMA} and {layout.REPORTS}/{part.name} do not fit each other: "
                f"record {lsn} needs {error}. Restore {layout.SCHEMA} from a copy"
            ) from None
        yield Line(Record(lsn, event, tuple(verdicts.get(lsn, ()))), "")


_EVENT = ("lsn", "at", "trial_id", "rows", "shape", "json")


def _verdicts(table: pa.Table) -> dict[int, list[Verdict]]:
    """The verdicts of each record."""
    found: dict[int, list[Verdict]] = defaultdict(list)
    columns = (table[name].to_pylist() for name in table.schema.names if name not in ("lsn", "at"))
    for lsn, *fields in zip(table["lsn"].to_pylist(), *columns, strict=True):
        found[lsn].append(Verdict(*fields))
    return found


class _Batches:
    """The report rows of a part, gathered into the batches in which they came."""

    def __init__(self, table: pa.Table, registry: Registry) -> None:
        ordered = table.sort_by([("lsn", "ascending"), ("step", "ascending")])
        self._registry, self._rows = registry.metrics, len(ordered)
        self._columns = {name: ordered[name].to_pylist() for name in ordered.schema.names}
        self._attempt = self._columns["attempt"]
        self._step, self._elapsed = self._columns["step"], self._columns["elapsed_s"]
        self._shapes: dict[str, list[tuple[str, list[Any]]]] = {}
        self._spans: dict[int, tuple[int, int]] = {}
        position = 0
        for lsn, rows in groupby(self._columns["lsn"]):
            count = sum(1 for _ in rows)
            self._spans[lsn] = position, position + count
            position += count

    def count(self, lsn: int) -> int:
        """How many rows a record has."""
        start, stop = self._spans.get(lsn, (0, 0))
        return stop - start

    def event(self, lsn: int, at: float, trial: str, shape: str) -> Reported:
        """The batch with this LSN, its values of the types that they had."""
        start, stop = self._spans[lsn]
        typed = self._shapes.get(shape)
        if typed is None:
            kinds: dict[str, str] = json.loads(shape)
            typed = [(name, self._typed(name, kind)) for name, kind in kinds.items()]
            self._shapes[shape] = typed
        return Reported(
            at,
            trial,
            self._attempt[start],
            self._step[start:stop],
            self._elapsed[start:stop],
            {name: values[start:stop] for name, values in typed},
        )

    def _typed(self, name: str, kind: str) -> list[Any]:
        """A metric's values in all rows, as batches of one shape have them."""
        if kind == "n":
            return [None] * self._rows
        values: list[Any] = self._columns[self._registry[name].column]
        if kind not in "ib":
            return values
        plain = int if kind == "i" else bool  # NaN and the infinities are values of other shapes
        return [plain(value) if value is not None and isfinite(value) else None for value in values]
