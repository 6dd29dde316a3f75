"""Replaying a sweep's history against its tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.results import layout
from raysweep.results.codec import Record, canonical
from raysweep.results.fold import Fold
from raysweep.results.history import read_registry
from raysweep.results.image import Image
from raysweep.results.life import CUTS
from raysweep.results.live import caps, live
from raysweep.results.parts import read_parquet
from raysweep.results.reports import KeyBuffer
from raysweep.results.status import budget_limits
from raysweep.trials.events import Opened
from raysweep.trials.trial import TRANSITIONS, Status

_KEY = ["trial_id", "attempt", "step"]
_LAUNCHES = frozenset({"start", "resume", "run_to"})
# Moves that the journal shows as one and the state machine makes as two.
_THROUGH = (Status.PENDING, Status.PAUSING)
_EXAMPLES = 3
_STRETCH = 1_000


class Finding(NamedTuple):
    """A promise that is not kept: which invariant, and where."""

    invariant: str
    message: str


def audit(found: Image) -> list[Finding]:
    """Replay all records of a sweep and compare what must follow with what is there.

    Raises:
        StoreCorrupt: a record cannot be rebuilt.
    """
    return _Audit(found).run()


class _Audit:
    """One pass over the history; the rows of each part are compared where the part ends."""

    def __init__(self, found: Image) -> None:
        self._image = found
        self._fold = Fold(found.manifest, read_registry(found.root), KeyBuffer)
        self._fold.life.moved = self._moved
        self._findings: list[Finding] = []
        self._parts = {part.last: part for part in found.parts}
        self._lsn = self._known = 0
        self._cuts: dict[tuple[str, int], tuple[int, int]] = {}
        self._begun: dict[tuple[str, int], int] = {}
        self._spent_at = 0
        self._budget = budget_limits(found.manifest, {})

    def run(self) -> list[Finding]:
        """All findings."""
        for record, payload in self._image.lines(1):
            lsn = self._lsn = record.lsn
            if record.verdicts or type(record.event) is Opened:
                self._judge(record)
            self._fold.apply(*record, payload)
            self._spend()
            if lsn in self._parts:
                self._compare(self._parts[lsn])
        self._compare_tables()
        self._one_live_row()
        return self._findings

    def _find(self, invariant: str, message: str) -> None:
        self._findings.append(Finding(invariant, message))

    def _moved(self, trial: str, before: Status, after: Status) -> None:
        """I3: each move is one that a trial may make."""
        through = ((before, via) in TRANSITIONS and (via, after) in TRANSITIONS for via in _THROUGH)
        if (before, after) not in TRANSITIONS and not any(through):
            self._find("I3", f"record {self._lsn}: trial {trial} went from {before} to {after}")

    def _judge(self, record: Record) -> None:
        """I3, I4: no verdict on a trial that has ended, no launch when the budget is spent."""
        if isinstance(record.event, Opened):
            self._budget = budget_limits(self._image.manifest, record.event.changes)
            self._spent_at = 0
        index, status = self._fold.trials.index, self._fold.trials.status
        for verdict in record.verdicts:
            row = index.get(verdict.trial)
            who = (verdict.trial, verdict.attempt)
            if verdict.verb in _LAUNCHES:
                if self._spent_at:
                    self._find(
                        "I4",
                        f"record {record.lsn} lets {verdict.trial} run on, but the budget of "
                        f"{self._budget['steps']} steps was spent at record {self._spent_at}",
                    )
                if row is not None and _ended(status[row]):
                    self._find(
                        "I3", f"record {record.lsn}: {verdict.verb} of {who[0]}, which ended"
                    )
                self._begun.setdefault(who, record.lsn)
            if verdict.verb in CUTS:
                if who in self._cuts or (row is not None and _ended(status[row])):
                    self._find("I3", f"record {record.lsn}: {who[0]} is ended a second time")
                self._cuts.setdefault(who, (record.lsn, verdict.step))

    def _spend(self) -> None:
        """I4: the caps on trials and steps."""
        trials, steps = self._budget.get("trials"), self._budget.get("steps")
        begun = len(self._fold.trials) - self._fold.trials.children
        if isinstance(trials, int) and begun > max(trials, self._known):
            self._find("I4", f"record {self._lsn} begins trial {begun} of {trials}")
        self._known = begun
        if isinstance(steps, int) and not self._spent_at and self._fold.counts["reports"] >= steps:
            self._spent_at = self._lsn

    def _compare(self, part: layout.Part) -> None:
        """I1, I9, I13: the rows of a part are those that its records must have made."""
        rows = read_parquet(self._image.root / layout.REPORTS / part.name)
        wanted = self._fold.reports.table(self._fold.trials.ids)
        self._fold.drop_rows()
        key = [*_KEY, "lsn"]
        if rows.select(key) != wanted.select(key):
            there, due = _keys(rows, key), _keys(wanted, key)
            for word, keys in (("lacks", due - there), ("has, but should not,", there - due)):
                if keys:
                    some = ", ".join(map(str, sorted(keys)[:_EXAMPLES]))
                    self._find("I1", f"{part.name} {word} {len(keys)} rows: {some}")
            if len(there) != len(rows):
                self._find("I1", f"{part.name} has {len(rows) - len(there)} rows twice")
        for trial, attempt, lsn, step in _spans(rows):
            who = (trial, attempt)
            cut_lsn, cut_step = self._cuts.get(who, (lsn, step))
            if lsn > cut_lsn or step > cut_step:
                self._find("I13", f"{part.name}: {who} reported step {step} after its end")
            if lsn > self._begun.get((trial, attempt + 1), lsn):
                self._find(
                    "I9", f"{part.name}: {who} reported in record {lsn}, after its successor"
                )

    def _compare_tables(self) -> None:
        """I10: the snapshot and what came after it lead to the same rows as the whole history."""
        short, long = self._image.fold()[0], self._fold
        pairs = (
            ("trials", short.trials.table(), long.trials.table()),
            (
                "attempts",
                short.attempts.table(short.trials.ids),
                long.attempts.table(long.trials.ids),
            ),
        )
        for name, there, due in pairs:
            for one, other in _unlike(there, due):
                if canonical(one) != canonical(other):
                    self._find(
                        "I10", f"{name}: {one['trial_id']} is {one}, the journal says {other}"
                    )
            if len(there) != len(due):
                self._find("I10", f"{name} has {len(there)} rows, the journal says {len(due)}")
        if short.tally() != long.tally():
            self._find("I10", f"the counts are {short.tally()}, the journal says {long.tally()}")

    def _one_live_row(self) -> None:
        """I2: of each trial's steps, one row is live."""
        root, key = self._image.root, ["trial_id", "attempt", "step"]
        tables = [
            read_parquet(root / layout.REPORTS / part.name, columns=key)
            for part in self._image.parts
        ]
        ids = self._fold.trials.ids
        tables.append(self._fold.reports.table(ids).select(key))
        rows = live(pa.concat_tables(tables), caps(self._fold.attempts.table(ids)))
        counted = rows.group_by(["trial_id", "step"]).aggregate([([], "count_all")])
        for row in counted.filter(pc.field("count_all") > 1).to_pylist()[:_EXAMPLES]:
            self._find(
                "I2", f"{row['trial_id']} has {row['count_all']} live rows at step {row['step']}"
            )


def _ended(code: int) -> bool:
    return tuple(Status)[code].terminal


def _unlike(there: pa.Table, due: pa.Table) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The rows of two tables beside each other, without stretches that are equal (NaN is not)."""
    for first in range(0, min(len(there), len(due)), _STRETCH):
        one, other = there.slice(first, _STRETCH), due.slice(first, _STRETCH)
        if not one.equals(other):
            yield from zip(one.to_pylist(), other.to_pylist(), strict=False)


def _keys(table: pa.Table, names: list[str]) -> set[tuple[Any, ...]]:
    return set(zip(*(table[name].to_pylist() for name in names), strict=True))


def _spans(rows: pa.Table) -> Iterator[tuple[str, int, int, int]]:
    """Per attempt: its last LSN and its highest step."""
    last = rows.group_by(["trial_id", "attempt"]).aggregate([("lsn", "max"), ("step", "max")])
    names = ("trial_id", "attempt", "lsn_max", "step_max")
    return zip(*(last[name].to_pylist() for name in names), strict=True)
