"""The one door through which a driver writes: append, commit, compact; open after a crash."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.results import layout, snapshot
from raysweep.results.codec import Record, encode
from raysweep.results.epochs import Tenure
from raysweep.results.fold import Fold, Tables
from raysweep.results.journal import FsyncPolicy, Journal, Owner
from raysweep.results.layout import Part
from raysweep.results.manifest import completed, refuse_occupied
from raysweep.results.parts import publish_part, report_schema, unify
from raysweep.results.recovery import recover
from raysweep.results.snapshot import Snapshot
from raysweep.results.wal import Seal, list_segments
from raysweep.trials.clock import Clock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event
from raysweep.trials.filesystems import named

_RETRY_S = 30.0


class Recovered(NamedTuple):
    """What a resumed sweep starts from: the newest snapshot's state (None: there is none) and the
    records after it, in order."""

    state: dict[str, Any] | None
    records: Iterator[Record]


class Settings(NamedTuple):
    """How careful, and how often, a store writes.

    `fsync` is the journal's policy; a compaction is due after `compact_rows` rows (or as many as
    there are trials, if that is more) or `compact_s` seconds.
    """

    fsync: FsyncPolicy = "group"
    compact_rows: int = 100_000
    compact_s: float = 300.0


class Store:
    """A sweep directory that this process writes to; made by `create` or `open`."""

    def __init__(
        self,
        path: Path,
        manifest: Mapping[str, Any],
        tenure: Tenure,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self.path, self.epoch = path, tenure.epoch
        self._manifest, self._tenure, self._clock, self._settings = (
            manifest,
            tenure,
            clock,
            settings,
        )
        self._compacted, self._snapshotted = 0, 0
        self._compact_after = clock.now() + settings.compact_s
        self._blocked_until = -1.0
        self._crcs: dict[str, int] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        manifest: dict[str, Any],
        *,
        clock: Clock,
        fsync: FsyncPolicy = "group",
        compact_rows: int = 100_000,
        compact_s: float = 300.0,
    ) -> Store:
        """Begin a new sweep at `path`.

        Args:
            path: a directory that does not exist, or is empty.
            manifest: what SWEEP.json keeps: name, seed, spec, metrics, columns, …; `format`, and
                where missing `id` and `created`, are filled in.
            clock, fsync, compact_rows, compact_s: see `Settings`.

        Raises:
            StoreFormatError: there is a sweep, or something else, already.
            StoreBusy: another driver is just creating one there.
        """
        path.mkdir(parents=True, exist_ok=True)
        refuse_occupied(path)
        layout.make_folders(path)
        tenure = Tenure(path, clock)
        try:
            refuse_occupied(path)
            full = completed(manifest, clock)
            layout.publish(
                path, layout.MANIFEST, json.dumps(layout.checksummed(full), indent=1).encode()
            )
            layout.fsync_dir(path.parent)
            tenure.begin(clock.wall())
            store = cls(path, full, tenure, clock, Settings(fsync, compact_rows, compact_s))
            store._begin(Fold(full), None)
        except BaseException:
            tenure.release()
            raise
        return store

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        take_over: bool = False,
        accept_loss: bool = False,
        fsync: FsyncPolicy = "group",
        compact_rows: int = 100_000,
        compact_s: float = 300.0,
    ) -> tuple[Store, Recovered]:
        """Go on with the sweep at `path`, whatever became of its last driver.

        Args:
            path: the sweep directory.
            take_over: fence off a driver that still holds it.
            accept_loss: put damaged parts of the log aside and go on with what precedes them.
            clock, fsync, compact_rows, compact_s: see `Settings`.

        Raises:
            StoreBusy: another driver holds it.
            StoreFormatError: not a sweep directory, or a newer format.
            StoreCorrupt: the log or the parts are damaged or incomplete.
        """
        manifest = layout.read_manifest(path)
        layout.make_folders(path)
        tenure = Tenure(path, clock, take_over)
        try:
            # The epoch comes first: what the old driver commits after this is void, so nothing
            # that it takes for durable can escape the scan.
            tenure.begin(clock.wall())
            image = recover(path, accept_loss)
            fold, records = image.fold()
            store = cls(path, manifest, tenure, clock, Settings(fsync, compact_rows, compact_s))
            store._compacted = image.compacted
            if image.snapshot:
                store._snapshotted, store._crcs = image.snapshot.lsn, image.snapshot.crcs
            store._begin(fold, image.log.tail)
        except BaseException:
            tenure.release()
            raise
        state = image.snapshot.state if image.snapshot else None
        return store, Recovered(state, _consumed(records))

    def append(self, event: Event, verdicts: Sequence[Verdict] = ()) -> int:
        """Record an event and the verdicts taken on it, as one; in memory until `commit`.

        Returns:
            Its position in the journal.

        Raises:
            ReportError: the event is not plain data; nothing was recorded.
        """
        lsn = self._journal.next_lsn
        payload = encode(lsn, event, verdicts)
        self._fold.apply(lsn, event, verdicts, payload)
        self._journal.append(payload)
        return lsn

    def commit(self, *, durable: bool) -> None:
        """Write what was appended; if `durable`, return only when a power cut cannot undo it.

        Raises:
            StoreUnwritable: the disk has taken nothing for a minute.
            StoreFenced: a newer driver has taken this sweep over.
        """
        self._journal.commit(durable=durable)

    def tell_waits(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called with a sentence whenever the disk refuses, and when it works again."""
        self._journal.waits = tell

    @property
    def due(self) -> bool:
        """Whether it is time to compact."""
        now, pending = self._clock.now(), self._fold.pending
        if not pending or now < self._blocked_until:
            return False
        rows = max(self._settings.compact_rows, len(self._fold.trials))
        return pending >= rows or now >= self._compact_after

    def compact(self, state: dict[str, Any] | None) -> None:
        """Turn the journal so far into Parquet, with `state` as of the last appended record.

        Without a state there is no new snapshot: a resume replays what came after the last one.

        A disk that refuses is tried again half a minute later: the journal keeps everything.

        Raises:
            StoreError, StoreFenced: as `commit`.
        """
        self.commit(durable=True)
        try:
            self._compact(state)
        except OSError as error:
            self._blocked_until = self._clock.now() + _RETRY_S
            cause = f"{error.strerror or error} on {named(self.path)}"
            self._journal.waits(
                f"{self.path}: the tables are written {_RETRY_S:.0f} s later ({cause}); the journal "
                "has everything"
            )
        self._compact_after = self._clock.now() + self._settings.compact_s

    def close(self) -> None:
        """Commit and let the next driver in."""
        try:
            self._journal.commit(durable=True)
        finally:
            try:
                self._journal.close()
            finally:
                self._tenure.release()

    def _begin(self, fold: Fold, after: Seal | None) -> None:
        """Open the journal behind `after`."""
        self._fold = fold
        self._journal = Journal(
            self.path,
            Owner(self._manifest["id"], self.epoch),
            self._clock,
            self._settings.fsync,
            after,
            fold.lsn + 1,
            self._tenure.check,
        )

    def _compact(self, state: dict[str, Any] | None) -> None:
        """Each step leaves a directory that `open` and `read` understand."""
        if self._fold.lsn == self._snapshotted:
            return
        if not self._fold.reports.rows and self._fold.pending < self._settings.compact_rows:
            return  # a part without rows would hide all metrics from who reads the first one only
        self._journal.rotate()
        lsn, tables = self._fold.lsn, self._fold.tables()
        part = Part(self._compacted + 1, lsn)
        if part.last >= part.first:
            self._publish(part, tables)
            self._compacted = lsn
            self._fold.drop_rows()
        if state is None:
            return
        rows = (tables.trials, tables.attempts)
        shot = Snapshot(lsn, state, self._fold.extras(), self._crcs, rows)
        snapshot.write(self.path, shot, self._meta(part))
        self._snapshotted = lsn
        self._tenure.check()
        self._drop_segments()

    def _publish(self, part: Part, tables: Tables) -> None:
        """Write one range; the rename of its reports is the commit, so they come last."""
        meta = self._meta(part)
        registry = self._fold.reports.registry.dump()
        file = self.path / layout.SCHEMA
        if not file.exists() or layout.read_bytes(file) != registry:
            layout.publish(self.path, layout.SCHEMA, registry)
        for folder in (layout.EVENTS, layout.DECISIONS, layout.REPORTS):
            if folder == layout.REPORTS:
                self._tenure.check()
            table = getattr(tables, folder)
            if (
                folder == layout.REPORTS
            ):  # every column so far: readers go by the first part they see
                table = unify(table, report_schema(self._fold.reports.registry))
            self._crcs[f"{folder}/{part.name}"] = publish_part(self.path, folder, part, table, meta)

    def _meta(self, part: Part) -> str:
        """The key-value metadata of what this epoch writes."""
        return json.dumps(
            {
                "format": layout.FORMAT,
                "sweep": self._manifest["id"],
                "epoch": self.epoch,
                "first_lsn": part.first,
                "last_lsn": part.last,
            }
        )

    def _drop_segments(self) -> None:
        """Delete the segments that parts and snapshot cover, oldest first."""
        for name in list_segments(self.path):
            if name < self._journal.segment:
                (self.path / layout.WAL / name).unlink(missing_ok=True)
        layout.fsync_dir(self.path / layout.WAL)


def _consumed(records: list[Record]) -> Iterator[Record]:
    """The records one by one, each forgotten once it was given."""
    waiting = deque(records)
    records.clear()
    while waiting:
        yield waiting.popleft()
