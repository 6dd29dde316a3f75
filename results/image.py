"""What a sweep directory holds, read without changing it: the way in for recovery and readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.results import high_water, layout, snapshot, wal
from raysweep.results.codec import Record, decode
from raysweep.results.fold import Fold
from raysweep.results.high_water import HighWater
from raysweep.results.history import Line, part_lines, read_registry
from raysweep.results.layout import Part
from raysweep.results.snapshot import Snapshot
from raysweep.results.wal import Damage, Log
from raysweep.trials.errors import StoreCorrupt

_TRIES = 5


class Image(NamedTuple):
    """One consistent view of a sweep directory: every record from 1 to `lsn`.

    `parts` cover 1..`compacted`; `snapshot` is the newest usable one, not beyond that; `log` goes
    on from there. `lines(n)` gives the records from `n` on, wherever they stand.
    """

    root: Path
    manifest: Mapping[str, Any]
    parts: list[Part]
    compacted: int
    snapshot: Snapshot | None
    log: Log

    @property
    def lsn(self) -> int:
        """The last record."""
        return max(self.log.records[-1][0] if self.log.records else 0, self.compacted)

    def lines(self, first: int) -> Iterator[Line]:
        """The records from LSN `first` on, in order, exact."""
        start = self.log.records[0][0] if self.log.records else self.lsn + 1
        if first < start:
            for line in part_lines(self.root, self.parts, first):
                if line.record.lsn < start:
                    yield line
        for lsn, payload in self.log.records:
            if lsn >= first:
                yield Line(decode(payload), payload.decode())

    def fold(self) -> tuple[Fold, list[Record]]:
        """The tables as of `lsn`, only rows beyond `compacted` waiting in it, and the records
        that came after the snapshot."""
        registry = read_registry(self.root)
        if self.snapshot:
            lsn, _, extras, _, tables = self.snapshot
            try:
                fold = Fold.of(self.manifest, registry, lsn, tables, extras)
            except (LookupError, ValueError, TypeError) as error:
                raise StoreCorrupt(
                    f"{self.root / layout.MANIFEST} does not fit the snapshot of LSN {lsn} ({error}). "
                    "Restore it from a copy"
                ) from error
        else:
            fold = Fold(self.manifest, registry)
        records = []
        for record, payload in self.lines(fold.lsn + 1):
            fold.apply(*record, payload)
            records.append(record)
            if record.lsn == self.compacted:
                fold.drop_rows()
        return fold, records


def load(root: Path) -> Image:
    """The directory as it stands, also while a driver writes to it.

    Raises:
        StoreFormatError: not a sweep directory, or a newer format.
        StoreCorrupt: records are missing. Damage within the log is left to the caller to judge:
            it is in `log.damage`.
    """
    manifest = layout.read_manifest(root)
    for attempt in range(_TRIES):
        try:
            found = _load(root, manifest)
        except StoreCorrupt:  # a compaction may have swept a file away under our feet
            if attempt + 1 == _TRIES:
                raise
        else:
            damage = found.log.damage
            gone = damage is not None and damage.segment not in found.log.segments
            if not gone or attempt + 1 == _TRIES:
                return found
    raise AssertionError("unreachable")


def _load(root: Path, manifest: Mapping[str, Any]) -> Image:
    """First the mark, then the log, then the snapshot, then the parts: what leaves one is in the
    next by then."""
    mark = high_water.newest(root)
    log = wal.read_log(root)
    last = log.records[-1][0] if log.records else 0
    lsns = snapshot.list_lsns(root)
    newest = snapshot.newest(root, max([last, *lsns]))
    parts = layout.list_parts(root)
    compacted = layout.check_contiguous(root, parts)
    if lsns and lsns[0] > compacted:
        raise StoreCorrupt(
            f"{root / layout.REPORTS}: the parts end at LSN {compacted}, but there is a snapshot of "
            f"LSN {lsns[0]}: the part for {compacted + 1}..{lsns[0]} is missing. Restore it from a copy"
        )
    # A part that a running compaction has just added may go beyond the log that we have read.
    seen = max(last, newest.lsn if newest else 0)
    while log.records and parts and parts[-1].last > seen:
        parts.pop()
    compacted = parts[-1].last if parts else 0
    if log.records and log.records[0][0] > compacted + 1:
        raise StoreCorrupt(
            f"{root / layout.WAL}: the log begins at LSN {log.records[0][0]}, the parts end at "
            f"{compacted}: {compacted + 1}..{log.records[0][0] - 1} are missing. Restore them from a copy"
        )
    found = Image(root, manifest, parts, compacted, newest, log)
    if log.damage is None and (loss := _loss(mark, found)):
        return found._replace(log=log._replace(damage=loss))
    return found


def _loss(mark: HighWater | None, found: Image) -> Damage | None:
    """What must have been in the log and is not there."""
    newest = found.log.segments[-1] if found.log.segments else ""
    if mark is not None and found.lsn < mark.lsn:
        what = f"records {found.lsn + 1}..{mark.lsn} are missing at its end"
        return Damage(mark.segment, mark.size, what)
    if mark is not None and newest < mark.segment:  # a segment goes only once there is a newer one
        what = f"it or its header is gone, with what followed record {mark.lsn}"
        return Damage(mark.segment, 0, what)
    if not newest and found.lsn:
        what = f"no segment of the journal is left, nor what followed record {found.lsn}"
        return Damage("", 0, what)
    return None
