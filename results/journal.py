"""Writing the write-ahead log: one driver, one segment at a time, and no lie about durability."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from raysweep.results import high_water, layout
from raysweep.results.codec import seal
from raysweep.results.high_water import HighWater
from raysweep.results.wal import Seal, segment_name, segment_number
from raysweep.trials.clock import Clock
from raysweep.trials.errors import StoreUnwritable
from raysweep.trials.filesystems import named

_LOG = logging.getLogger(__name__)
FsyncPolicy = Literal["group", "always", "os"]
GROUP_S = 0.1
PATIENCE_S = 60.0
_RETRY_S = 0.5
_MARK_S = 5.0
_SEGMENT_BYTES = 1 << 26


class Owner(NamedTuple):
    """Whose log it is, as it stands in each segment's header."""

    sweep: str
    epoch: int


class Journal:
    """The log's open end.

    What is appended waits in memory until `commit` hands it to the system in one write. A write
    that fails is taken back and tried again; a descriptor whose fsync failed is never trusted
    again: what it held goes into a new segment.

    Args:
        root: the sweep directory.
        owner: the sweep's id and this driver's epoch.
        clock: for the group period and for patience with a full disk.
        policy: `group` fsyncs durable commits at once and others each 100 ms, `always` every
            commit, `os` none (safe against a killed process, not against a power cut).
        after: where the log ended before.
        next_lsn: the position of the next record.
        guard: called after each fsync; raises if this driver may not write any more.

    Attributes:
        waits: is told, in a sentence, when writing begins to fail and when it works again.
    """

    def __init__(
        self,
        root: Path,
        owner: Owner,
        clock: Clock,
        policy: FsyncPolicy,
        after: Seal | None,
        next_lsn: int,
        guard: Callable[[], None],
    ) -> None:
        self._root, self._owner, self._clock = root, owner, clock
        self._policy, self._guard = policy, guard
        self.next_lsn = next_lsn
        self._buffer: list[bytes] = []
        self._unsynced: list[bytes] = []
        self._failing_since: float | None = None
        self.waits: Callable[[str], None] = _LOG.warning
        self._number = segment_number(after.segment) + 1 if after else 1
        self._fd, self._synced_at = -1, clock.now()
        self._marked_at = clock.now()
        self._end = self._durable = after or Seal("", 0, 0)
        self._open_segment(after)

    @property
    def segment(self) -> str:
        """The name of the segment that is being written."""
        return self._end.segment

    def append(self, payload: str) -> None:
        """Add one record's JSON; it stays in memory until the next commit."""
        self._buffer.append(payload.encode())
        self.next_lsn += 1

    def commit(self, *, durable: bool) -> None:
        """Write what was appended; when this returns and `durable` was asked for, it is safe.

        A commit that need not be durable keeps what it could not write for the next one.

        Raises:
            StoreUnwritable: nothing could be written for a minute.
            StoreFenced: a newer driver has taken over.
        """
        while True:
            try:
                self._flush(durable)
            except OSError as error:
                self._be_patient(error)
                if not durable:
                    return
                self._clock.sleep(_RETRY_S)
            else:
                if self._failing_since is not None:
                    waited_s = self._clock.now() - self._failing_since
                    self._failing_since = None
                    self.waits(
                        f"{self._root} can be written again, after {waited_s:.0f} s; nothing was lost"
                    )
                return

    def rotate(self) -> None:
        """Make everything durable and go on in a new segment."""
        self.commit(durable=True)
        self._roll()

    def close(self) -> None:
        """Let go of the file; what was not committed is lost."""
        if self._fd >= 0:
            if self._end == self._durable:
                self._mark()
            os.close(self._fd)
            self._fd = -1

    def _flush(self, durable: bool) -> None:
        """Write the buffer, fsync where the policy wants it, and look whether we are fenced."""
        if self._fd < 0:
            self._start_over()
        if self._buffer:
            self._write()
        due = self._clock.now() - self._synced_at >= GROUP_S
        if self._policy == "os":
            if durable or due:
                self._synced_at = self._clock.now()
                self._guard()
        elif durable or due or self._policy == "always":
            self._sync()
            self._guard()
        if self._end.size > _SEGMENT_BYTES:
            with contextlib.suppress(OSError):  # the records are safe where they are
                self._roll()

    def _roll(self) -> None:
        """Go on in a new segment.

        Raises:
            OSError: there is none; the old one is still good.
        """
        self._sync()
        old, self._fd = self._fd, -1
        try:
            self._open_segment(self._end)
        except OSError:
            self._fd = old
            raise
        os.close(old)

    def _write(self) -> None:
        """Hand the buffer to the system, or take all of it back."""
        lines, crc = [], self._end.crc
        for payload in self._buffer:
            line, crc = seal(payload, crc)
            lines.append(line)
        data = b"".join(lines)
        try:
            layout.write_all(self._fd, data)
        except OSError:
            self._take_back()
            raise
        self._end = Seal(self._end.segment, self._end.size + len(data), crc)
        if self._policy != "os":
            self._unsynced += self._buffer
        self._buffer = []

    def _take_back(self) -> None:
        """Cut the segment to its last whole record; leave it behind if even that fails."""
        try:
            os.ftruncate(self._fd, self._end.size)
        except OSError:
            self._abandon()

    def _sync(self) -> None:
        """Fsync; after a failure the system may have dropped the pages, so start a new segment."""
        if self._end != self._durable:
            try:
                os.fsync(self._fd)
            except OSError:
                self._abandon()
                raise
        self._unsynced = []
        self._durable = self._end
        self._synced_at = self._clock.now()
        if self._synced_at - self._marked_at >= _MARK_S:
            self._mark()

    def _mark(self) -> None:
        """Say outside of the log how far it reaches; a disk that refuses is asked again later."""
        self._marked_at = self._clock.now()
        mark = HighWater(self.next_lsn - 1 - len(self._buffer), *self._durable[:2])
        with contextlib.suppress(OSError):
            high_water.publish(self._root, self._owner.epoch, mark)

    def _abandon(self) -> None:
        """Give the segment up; what is not known to be on disk goes before the buffer again."""
        os.close(self._fd)
        self._fd = -1
        self._buffer = self._unsynced + self._buffer
        self._unsynced = []
        if self._policy != "os":
            self._end = self._durable

    def _start_over(self) -> None:
        """A new segment after the last byte that is known to be whole."""
        self._open_segment(self._end)

    def _open_segment(self, after: Seal | None) -> None:
        """Create the next segment, its header on disk before any record.

        Raises:
            OSError: it could not be created; `_number` has moved on, nothing else has.
        """
        name = segment_name(self._owner.epoch, self._number)
        self._number += 1
        header = {
            "format": layout.FORMAT,
            "sweep": self._owner.sweep,
            "epoch": self._owner.epoch,
            "first_lsn": self.next_lsn - len(self._buffer),
            "after": after,
        }
        line, crc = seal(json.dumps(header, separators=(",", ":")).encode(), 0)
        folder = self._root / layout.WAL
        fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            layout.write_all(fd, line)
            os.fsync(fd)
            layout.fsync_dir(folder)
        except OSError:
            os.close(fd)
            (folder / name).unlink(missing_ok=True)
            raise
        self._fd = fd
        self._end = self._durable = Seal(name, len(line), crc)
        self._synced_at = self._clock.now()
        self._mark()

    def _be_patient(self, error: OSError) -> None:
        """Raise once writing has failed for too long."""
        now = self._clock.now()
        cause = f"{error.strerror or error} on {named(self._root)}"
        if self._failing_since is None:
            self._failing_since = now
            self.waits(
                f"{self._root} cannot be written: {cause}; waiting up to {PATIENCE_S:.0f} s for "
                "room, then the sweep ends, resumable"
            )
        if now - self._failing_since >= PATIENCE_S:
            raise StoreUnwritable(
                f"{self._root} could not be written for {PATIENCE_S:.0f} s: {cause}. Everything "
                f"acknowledged is safe; make room there and `raysweep resume {self._root}`"
            ) from error
