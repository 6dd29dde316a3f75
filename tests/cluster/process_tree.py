"""The processes below another one, as the system lists them."""

from __future__ import annotations

import threading
from pathlib import Path

from raysweep.trials.clock import SystemClock


def descendants(pid: int) -> list[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for parent in found:
        found.extend(child for child, of in parents.items() if of == parent)
    return found[1:]


def wait_until_gone(pids: list[int], patience_s: float = 60.0) -> list[int]:
    clock = SystemClock()
    deadline_s = clock.now() + patience_s
    while left := [pid for pid in pids if alive(pid)]:
        if clock.now() > deadline_s:
            return left
        threading.Event().wait(0.2)
    return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
