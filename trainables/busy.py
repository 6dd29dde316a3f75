"""How busy a process is, with everything that it has started: from the kernel's own books."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _TIMES = 1, slice(11, 15)
"""Places in `/proc/<pid>/stat` after the name: parent; user and system time, own and of children that
were waited for."""


def processor_s(pid: int) -> float | None:
    """Seconds of processor time that `pid` and its living descendants have used so far.

    None where the system does not say.
    """
    times: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    try:
        tick = os.sysconf("SC_CLK_TCK")
        for entry in os.listdir(_PROC):  # noqa: PTH208  # half the time of iterdir
            if entry.isdecimal() and (fields := _stat(entry)):
                times[int(entry)] = sum(map(int, fields[_TIMES])) / tick
                children.setdefault(int(fields[_PARENT]), []).append(int(entry))
    except (OSError, ValueError):
        return None
    total, todo = 0.0, [pid]
    while todo:
        each = todo.pop()
        total += times.get(each, 0.0)
        todo.extend(children.get(each, ()))
    return total if pid in times else None


def _stat(pid: str) -> list[str]:
    """The fields after the name, which may hold anything; none for a process that has gone."""
    try:
        text = (_PROC / pid / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
