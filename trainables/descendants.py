"""The processes that a process has started, and their end.

Standard library only: the guards, which run as scripts, use it too. Where there is no /proc (it is
Linux's) nothing is found and nothing is ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_ROUND_S = 0.02
_PROC = Path("/proc")


class Process(NamedTuple):
    """A process for as long as it lives: pids are used again, with another start time."""

    pid: int
    started: int


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends: a daemon is lost to sight otherwise."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def process_of(pid: int) -> Process | None:
    """The living process of this pid; None if there is none, or only what waits to be reaped."""
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if fields and fields[0] not in "ZX" else None


def is_childless() -> bool:
    """Whether this process has no child at all, living or not; costs a microsecond."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def descendants(pid: int, spared: Callable[[int], bool] = lambda pid: False) -> set[Process]:
    """What lives below `pid`, without the trees below those that are `spared`."""
    found: set[Process] = set()
    left = _children(pid)
    while left:
        child = left.pop()
        if spared(child):
            continue
        left += _children(child)
        if (process := process_of(child)) is not None:
            found.add(process)
    return found


def end(find: Callable[[], Iterable[Process]], within_s: float = 5.0) -> set[Process]:
    """SIGKILL what `find` finds until it finds nothing.

    Returns:
        All that were found; those that live after `within_s` wait in the kernel and cannot be ended.
    """
    ended: set[Process] = set()
    for _ in range(int(within_s / _ROUND_S)):
        found = set(find())
        if not found:
            break
        ended |= found
        for process in found:
            if process_of(process.pid) == process:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, signal.SIGKILL)
        select.select([], [], [], _ROUND_S)
    return ended


def reap() -> None:
    """Let go of children that have ended: orphans that were adopted have no one else to do it."""
    if is_childless():
        return
    for pid in _children(os.getpid()):
        fields = _stat(pid)
        if fields and fields[0] == "Z":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def name_of(pid: int) -> str:
    """The name of the program that a process runs, "" if it is gone."""
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def command_of(pid: int) -> list[bytes]:
    """The command line of a process, [] if it is gone."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def all_pids() -> list[int]:
    """Every process on the machine that can be seen."""
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir(_PROC) if name.isdecimal()]  # noqa: PTH208 - names
    return []


def parent_of(pid: int) -> int:
    """The parent of a process, 0 if it is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def group_of(pid: int) -> int:
    """The process group of a process, 0 if it is gone."""
    fields = _stat(pid)
    return int(fields[2]) if fields else 0


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on: it, the parent, the group; [19] is the start."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _children(pid: int) -> list[int]:
    """The children of a process: each of its threads has some."""
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # the thread has ended meanwhile
                found += map(int, (thread / "children").read_text().split())
    except FileNotFoundError:  # the process is gone, or a kernel without CONFIG_PROC_CHILDREN
        return [] if not _stat(pid) else [p for p in all_pids() if parent_of(p) == pid]
    except OSError:
        return []
    return found
