"""The process of a slot, as one trial after another finds it: what a trial leaves in it is undone."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import TextIO

from raysweep.trainables import descendants
from raysweep.trainables.descendants import Process
from raysweep.trainables.process_state import ProcessState
from raysweep.trainables.termination import Termination
from raysweep.trainables.torch_state import TorchState
from raysweep.trials.clock import Clock
from raysweep.trials.global_chance import Generators

GROWN_BYTES = 64 << 20
LONG_S = 10.0
"""Reference cycles are looked for when the process has grown by so much since the last time, or when
a trial took so long that the look, some tenths of a second, is nothing beside it."""
_DEPTH = 1000
"""What this may need of Python's stack; a trial may have left less."""
_SETTLE_S = 0.2
"""What a trial has let go of, such as the workers of a data loader, may take so long to end."""
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_LIBRARIES_OWN = {"wandb-core"}
"""Programs that a library runs for all that its process does, trial after trial."""


class TrialProcess:
    """Brings this process back to where it was before its first trial, after each.

    Args:
        clock: tells how long a trial took.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._generators = Generators()
        self._state: ProcessState | None = None
        self._torch = TorchState()
        self._termination = Termination()
        self._before: set[Process] = set()
        self._began_s = 0.0
        self._resident = 0

    def imported(self) -> None:
        """The training code is imported: what the process is now, each trial will find."""
        self._generators.imported()
        self._state, self._torch = ProcessState(), TorchState()
        self._resident = _resident_bytes()

    def begin(self) -> None:
        """A trial begins."""
        if self._state is None:
            self.imported()
        self._before = _below()
        self._termination.listen()
        self._began_s = self._clock.now()

    def is_terminated(self) -> bool:
        """Whether the process was told to end (SIGTERM), whatever training code makes of that."""
        return self._termination.received()

    def end(self, log: TextIO) -> str | None:
        """A trial has ended and let go of what it had; undo what it left.

        Args:
            log: the trial's, where a word on processes that were ended is written.

        Returns:
            Why the process cannot run another trial, None if it can.
        """
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEPTH))
        told = "it was told to end (SIGTERM)" if self.is_terminated() else None
        # Torch's handler raises, wherever the process is, once a worker of a data loader was killed.
        handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        left = self._end_helpers(log)
        descendants.reap()
        if (
            self._clock.now() - self._began_s > LONG_S
            or _resident_bytes() - self._resident > GROWN_BYTES
        ):
            gc.collect()
            self._resident = _resident_bytes()
        changed = self._state.restore() if self._state is not None else None
        changed = self._torch.restore() or changed
        self._generators.restore()
        worn = told or left or changed
        if worn is None and (self._state is None or _is_of_torch(handler)):
            signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)  # torch sets it only once
        return worn

    def _end_helpers(self, log: TextIO) -> str | None:
        """End the processes that the trial has left running.

        An object that stands for one of them (a pool that a module keeps) may still be used by the
        next trial, and would fail it: so whoever leaves any has the process replaced.
        """
        if descendants.is_childless() or not self._left():
            return None
        gc.collect()  # an executor or a data loader in a cycle ends its workers when it is freed
        for _ in range(int(_SETTLE_S / 0.01)):
            if not self._left():
                return None
            self._clock.sleep(0.01)
        left = self._left()
        named = ", ".join(f"{descendants.name_of(p.pid)} ({p.pid})" for p in sorted(left)[:10])
        descendants.end(self._left)
        with suppress(OSError, ValueError):
            log.write(f"raysweep: ended what the trial had left running: {named}\n")
        return f"it left processes running: {named}" if left else None

    def _left(self) -> set[Process]:
        return _below() - self._before


def _is_of_torch(handler: object) -> bool:
    return getattr(handler, "__module__", "").startswith("torch.")


def _below() -> set[Process]:
    """The processes below this one, but for those that a library keeps for all of its uses."""
    if descendants.is_childless():
        return set()
    kept = _compile_workers()
    found = descendants.descendants(
        os.getpid(), lambda pid: pid in kept or descendants.name_of(pid) in _LIBRARIES_OWN
    )
    return {process for process in found if not _is_keeper(process.pid)}


def _is_keeper(pid: int) -> bool:
    """Whether a process is one of the two that `multiprocessing` (or joblib) makes for its own use."""
    words = descendants.command_of(pid)
    main = any(
        b"resource_tracker import main" in w or b"forkserver import main" in w for w in words
    )
    return main and words != descendants.command_of(descendants.parent_of(pid))  # not forked by it


def _compile_workers() -> set[int]:
    pools = getattr(sys.modules.get("torch._inductor.async_compile"), "_pool_set", ())
    made = [getattr(pool, "process", None) for pool in pools]  # none of a pool of threads
    return {process.pid for process in made if process is not None}


def _resident_bytes() -> int:
    try:
        file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(file, 256).split()[1]) * _PAGE_BYTES
    finally:
        os.close(file)
