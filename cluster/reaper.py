"""Ends what an embedded Ray left behind, once the process that started it is gone.

Run as a script of its own, with nothing but the standard library. Ray's daemons die with their
parent on Linux, but its agents hang on for a minute, and a trial's child processes for ever. They
inherit the session's folder in their environment; those that write their title over it (Ray's
agents do, over more or less of it) have a log in the folder open. Where there is no /proc, Ray's own reaper has to do.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import stat
import sys
from pathlib import Path

MARK = "RAYSWEEP_SESSION"
"""The environment variable that holds the session's folder."""
_ROUNDS = 200


def wait_for_end(parent: int) -> None:
    """Return once standard input is closed, or `parent` is no longer our parent."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 1):
            return


def marked(folder: str) -> list[int]:
    """The processes, but for this one and its parent, that belong to the session of `folder`."""
    pids = {int(path.name) for path in Path("/proc").glob("[0-9]*")} - {os.getpid(), os.getppid()}
    return [pid for pid in pids if _inherited(pid, folder) or _writes_to(pid, folder)]


def _inherited(pid: int, folder: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone meanwhile, or somebody else's
        return False
    return f"{MARK}={folder}".encode() in environment.split(b"\0")


def _writes_to(pid: int, folder: str) -> bool:
    """Whether it has a file of the session open for writing, such as its log."""
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            writable = descriptor.lstat().st_mode & stat.S_IWUSR  # how /proc shows the mode
            if writable and Path(folder) in descriptor.readlink().parents:
                return True
        except OSError:
            continue
    return False


def reap(folder: str) -> None:
    """Kill them, those that they start meanwhile too, and remove the folder."""
    for _ in range(_ROUNDS):
        pids = marked(folder)
        if not pids:
            break
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        select.select([], [], [], 0.05)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    wait_for_end(int(sys.argv[2]))
    reap(sys.argv[1])
