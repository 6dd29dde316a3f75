"""Who may write to a sweep directory: one driver at a time, each with a higher epoch.

The live driver holds a lock that dies with its process. Where that is not enough (a frozen
driver, another host), a successor takes over by creating the next epoch file; the old driver
sees it at its next fsync and stops before any effect follows.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any

from raysweep.results import layout
from raysweep.results.parts import read_meta
from raysweep.results.wal import list_segments
from raysweep.trials.clock import Clock
from raysweep.trials.errors import StoreBusy, StoreCorrupt, StoreFenced

_LOCK = "lock"
_ATTEMPTS, _WAIT_S = 20, 0.02


class Tenure:
    """One driver's right to write: the lock it holds and the epoch it created.

    Args:
        root: the sweep directory.
        clock: for the short wait while a reader probes the lock.
        take_over: go on although another driver holds the lock, and fence that one off.
    """

    def __init__(self, root: Path, clock: Clock, take_over: bool = False) -> None:
        self._folder = root / layout.EPOCHS
        self._folder.mkdir(parents=True, exist_ok=True)
        self._fd = _lock(self._folder, clock, take_over)
        self.epoch = 0

    def begin(self, wall: float) -> int:
        """Create the next epoch; everything that older epochs write from now on is ignored."""
        root = self._folder.parent
        epoch = max(newest(root)[0], _last_written(root)) + 1
        owner = {
            "epoch": epoch,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "boot_id": _boot_id(),
            "wall": wall,
        }
        try:
            fd = os.open(self._folder / _name(epoch), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            raise StoreBusy(f"another driver took over {self._folder.parent} just now") from None
        try:
            layout.write_all(fd, json.dumps(owner).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        layout.fsync_dir(self._folder)
        self.epoch = epoch
        return epoch

    def check(self) -> None:
        """Make sure that no newer driver has taken over.

        Raises:
            StoreFenced: one has.
        """
        epoch, owner = newest(self._folder.parent)
        if epoch > self.epoch:
            raise StoreFenced(
                f"epoch {epoch} of {self._folder.parent} belongs to {_who(owner)}, so this driver "
                f"(epoch {self.epoch}) must stop; what it had not made durable is void"
            )

    def release(self) -> None:
        """Let the next driver in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def newest(root: Path) -> tuple[int, Path | None]:
    """The highest epoch and its file; (0, None) if there is none."""
    *_, last = (0, ""), *layout.numbered(root / layout.EPOCHS, ".json")
    return last[0], root / layout.EPOCHS / last[1] if last[1] else None


def _last_written(root: Path) -> int:
    """The highest epoch that has written a segment or a part: its file may be gone."""
    segments = [name.split("-")[0] for name in list_segments(root)]
    written = [int(epoch) for epoch in segments if epoch.isdecimal()]
    for part in layout.list_parts(root, layout.EVENTS)[-1:]:
        with contextlib.suppress(StoreCorrupt, ValueError, KeyError):  # told when it is read
            written.append(int(json.loads(read_meta(root / layout.EVENTS / part.name))["epoch"]))
    return max(written, default=0)


def held(root: Path) -> bool:
    """Whether a live driver on this machine holds the sweep; takes nothing, writes nothing."""
    try:
        fd = os.open(root / layout.EPOCHS / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _lock(folder: Path, clock: Clock, take_over: bool) -> int:
    """A descriptor that holds the lock.

    Raises:
        StoreBusy: another driver holds it.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(folder / _LOCK, flags, 0o644)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise StoreCorrupt(
            f"{folder / _LOCK} cannot be opened: {error.strerror}. Remove it if no driver is at work"
        ) from None
    for attempt in range(_ATTEMPTS):
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        if attempt + 1 < _ATTEMPTS:
            clock.sleep(_WAIT_S)  # a reader probes the lock for some microseconds
    os.close(fd)
    if take_over:
        return _replace_lock(folder)
    owner = _who(newest(folder.parent)[1])
    raise StoreBusy(
        f"{folder.parent} is being written by {owner}. Wait for it, stop it with `raysweep stop`, "
        "or, if it hangs or is gone, fence it off with take_over=True (`resume --take-over`)"
    )


def _replace_lock(folder: Path) -> int:
    """A lock of our own in place of the one that a driver that we fence off still holds."""
    fresh = folder / f"{_LOCK}.{os.getpid()}"
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fresh.replace(folder / _LOCK)
    return fd


def _who(file: Path | None) -> str:
    """The owner of an epoch, for messages."""
    try:
        owner: dict[str, Any] = json.loads(layout.read_bytes(file)) if file else {}
        return f"the driver with pid {owner['pid']} on host {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another driver"


def _name(epoch: int) -> str:
    return f"{epoch:06d}.json"


def _boot_id() -> str:
    """Linux's id of this boot, by which a recycled pid is told from the owner; "" elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
