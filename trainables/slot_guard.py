"""A process beside a slot's process: it ends what that one leaves behind when it dies.

Ray learns of a process's death by its sockets, which forked helpers go on holding; so a trial that
is killed with such helpers would be missed for ever, and they would run beside the next one. A
parent-death signal is no way out: it comes when the *thread* that forked ends, or never, if that
thread was quicker than the helper's call.

Run as a script by file name, with the standard library only: `slot_guard.py PID FOLDER`, with the
reading end of a pipe as standard input. It leaves its parent at once, so that no trial finds it
among its children. A helper belongs to the slot if

- Python forked it: `announce_forks` writes its pid into the pipe;
- it was seen below the slot's process or below another helper, which are looked at once a second;
- it is of the process group of the slot, or has the mark `RAYSWEEP_SLOT=PID-START` in its environment.

Once a second it also cuts the log of the slot's trial, a file below FOLDER, if that is too long.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__ != "__main__":
    from raysweep.trainables import descendants, log
    from raysweep.trainables.descendants import Process
else:
    sys.path.append(str(Path(__file__).parent))
    import descendants
    import log
    from descendants import Process

MARK = "RAYSWEEP_SLOT"
_LOOK_S = 1.0
_SPARES = str(Path(__file__).with_name("program_guard.py")).encode()
"""Another guard, which ends its program by itself, in its own time."""


def begin_guarding(logs: Path) -> None:
    """Have this process guarded, for as long as it lives."""
    this = descendants.process_of(os.getpid())
    if this is None:
        return  # no /proc
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    command = [sys.executable, "-I", "-S", __file__, str(this.pid), str(logs)]
    subprocess.run(
        command, stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    os.close(reading)
    os.environ[MARK] = _mark(this)  # noqa: TID251 - for the processes that a trial starts
    _announce_forks(writing)
    descendants.adopt_orphans()


def _mark(process: Process) -> str:
    return f"{process.pid}-{process.started}"


def _announce_forks(pipe: int) -> None:
    def announce() -> None:
        try:
            os.write(pipe, b"%d\n" % os.getpid())
        except OSError:  # the guard is gone, or cannot keep up: it looks by itself, too
            return

    os.register_at_fork(after_in_child=announce)


class Guard:
    """What is known of a slot's process and of its helpers.

    Args:
        slot: the process.
        logs: the folder of the logs that are cut.
    """

    def __init__(self, slot: Process, logs: str) -> None:
        self._slot, self._logs = slot, logs
        self._mark = f"{MARK}={_mark(slot)}".encode()
        self._known: set[Process] = set()
        self._log = ""

    def watch(self) -> None:
        """Return when the slot's process has died."""
        try:
            slot = os.pidfd_open(self._slot.pid)
        except ProcessLookupError:
            return
        if descendants.process_of(self._slot.pid) != self._slot:
            return
        poll = select.poll()
        poll.register(slot, select.POLLIN)
        poll.register(0, select.POLLIN)
        while not any(fd == slot for fd, _ in self._poll(poll)):
            self._known = {p for p in self._known if descendants.process_of(p.pid) == p}
            self._known |= descendants.descendants(self._slot.pid, _is_spared)
            self._cut_log()
        self._hear()

    def clear(self) -> None:
        """End the helpers, and cut the log a last time."""
        descendants.end(self._helpers)
        self._cut_log()
        if self._log:
            log.tidy(Path(self._log))

    def _poll(self, poll: select.poll) -> list[tuple[int, int]]:
        """Wait for the death or for the next look; what is announced is taken in meanwhile."""
        for _ in range(100):  # a trial that forks without end must not keep us from looking
            ready = poll.poll(_LOOK_S * 1000)
            if not ready or any(fd != 0 for fd, _ in ready):
                return ready
            if not self._hear():
                poll.unregister(0)
        return []

    def _hear(self) -> bool:
        """Take in the pids that were announced; False at the end of the pipe."""
        try:
            text = os.read(0, 1 << 16)
        except BlockingIOError:
            return True
        for line in text.split():
            if line.isdigit() and (process := descendants.process_of(int(line))) is not None:
                self._known.add(process)
        return bool(text)

    def _helpers(self) -> set[Process]:
        found = {p for p in self._known if descendants.process_of(p.pid) == p}
        for pid in descendants.all_pids():
            if descendants.group_of(pid) == self._slot.pid or self._has_mark(pid):
                process = descendants.process_of(pid)
                found |= {process} if process is not None and not _is_spared(pid) else set()
        for process in list(found):
            found |= descendants.descendants(process.pid, _is_spared)
        self._known |= found
        return {p for p in found if p.pid not in (os.getpid(), self._slot.pid)}

    def _has_mark(self, pid: int) -> bool:
        try:
            return self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def _cut_log(self) -> None:
        try:
            now = str(Path(f"/proc/{self._slot.pid}/fd/1").readlink())
        except OSError:
            now = self._log  # the slot's process is gone
        if now.startswith(self._logs):
            self._log = now
            log.cut(Path(now))


def _is_spared(pid: int) -> bool:
    return _SPARES in descendants.command_of(pid)


def main() -> None:
    """Watch the process of the first argument from a process of its own."""
    slot = descendants.process_of(int(sys.argv[1]))
    if os.fork() or slot is None:
        os._exit(0)
    os.setsid()
    os.chdir("/")
    guard = Guard(slot, sys.argv[2])
    guard.watch()
    guard.clear()


if __name__ == "__main__":
    main()
