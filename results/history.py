"""The whole history of a sweep, record by record, from its Parquet parts and its log."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from raysweep.results import layout
from raysweep.results.codec import Record, decode, encode
from raysweep.results.layout import Part
from raysweep.results.parts import read_parquet
from raysweep.results.reports import Metric, Registry
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import StoreCorrupt
from raysweep.trials.events import Reported

_MOST_SCHEMA = 1 << 28


class Line(NamedTuple):
    """A record together with the JSON that stood, or could have stood, in the journal."""

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
            event = batches.event(lsn, at, trial, json.loads(shape))
        except KeyError as error:
            raise StoreCorrupt(
                f"{root / layout.SCHEMA} and {layout.REPORTS}/{part.name} do not fit each other: "
                f"record {lsn} needs {error}. Restore {layout.SCHEMA} from a copy"
            ) from None
        record = Record(lsn, event, tuple(verdicts.get(lsn, ())))
        yield Line(record, encode(lsn, event, record.verdicts))


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
        self._registry = registry.metrics
        self._columns = {name: ordered[name].to_pylist() for name in ordered.schema.names}
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

    def event(self, lsn: int, at: float, trial: str, shape: dict[str, str]) -> Reported:
        """The batch with this LSN, its values of the types that they had."""
        start, stop = self._spans[lsn]
        columns = self._columns
        return Reported(
            at,
            trial,
            columns["attempt"][start],
            columns["step"][start:stop],
            columns["elapsed_s"][start:stop],
            {name: self._values(name, kind, start, stop) for name, kind in shape.items()},
        )

    def _values(self, name: str, kind: str, start: int, stop: int) -> list[Any]:
        if kind == "n":
            return [None] * (stop - start)
        metric: Metric = self._registry[name]
        values = list(self._columns[metric.column][start:stop])
        if kind in "ib":
            plain = int if kind == "i" else bool
            return [None if value is None else plain(value) for value in values]
        return values
