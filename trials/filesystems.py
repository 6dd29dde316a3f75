"""File systems that take no writes: which errors mean that, and how to name the one concerned."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

_PROBE_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSING = _FULL | {errno.EROFS, errno.EIO, errno.ESTALE}


def is_full(error: BaseException | None) -> bool:
    """Whether an exception, or what caused it, says that there is no space or no quota left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False


def refuses_writes(folder: Path) -> OSError | None:
    """What a small write below `folder` meets now; None: it succeeds, or fails for other reasons.

    Libraries raise errors of their own when a disk is full (torch a RuntimeError), so after a
    save that failed the file system itself is asked.
    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            written = os.write(fd, bytes(_PROBE_BYTES))
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return error if error.errno in _REFUSING else None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    if written < _PROBE_BYTES:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return None


def named(path: Path) -> str:
    """The file system that `path` is on, for a message: where it is mounted, type, and free space."""
    here = path
    with contextlib.suppress(OSError, RuntimeError):  # links that lead to themselves
        here = path.resolve()
    while not here.is_mount() and here != here.parent:
        here = here.parent
    text = f"the file system at {here}{_kind(here)}"
    with contextlib.suppress(OSError):
        room = os.statvfs(here)
        text += f", {room.f_bavail * room.f_frsize / 1e6:,.0f} MB free"
    return text


def _kind(mount: Path) -> str:
    """` (type, device)` as the kernel lists them; "" where it does not."""
    found = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
            device, where, kind = line.split(" ")[:3]
            if where == str(mount).replace(" ", "\\040"):
                found = f" ({kind}, {device})"  # the last one mounted there is the one in use
    return found
