"""The second thread of a trial's process: hands reports over while a step is long, and shows signs of life."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from raysweep.trainables.busy import processor_s
from raysweep.trainables.outbox import Outbox
from raysweep.trainables.wire import Pulse, encode
from raysweep.trials.clock import Clock
from raysweep.trials.trial import TrialId

_LOOK_S = 0.05
"""How often it looks while nothing is held."""
_AGAIN_S = 1.0
"""How soon it tries again after what it sent has not arrived."""


class Phase(NamedTuple):
    """What the thread that trains is at, with which trial, and since when."""

    doing: str
    trial: TrialId
    attempt: int
    since_s: float


class Courier:
    """Delivers from an outbox while the thread that trains cannot.

    It sleeps but for the time between `begin` and `end`, and sends nothing as long as whatever is
    reported leaves with an answer in time.

    Args:
        outbox: whose.
        phase: what the thread that trains is at; None: at nothing.
        send: delivers a letter, and returns once it has arrived; raises if it has not.
        clock: the process's.
        hold_s: how long a report may be held.
        pulse_s: how long a phase lasts before a first sign of life, and between two.
        cleanup_s: a sign of life is due when a cleanup has taken so long, too.
    """

    def __init__(
        self,
        outbox: Outbox,
        phase: Callable[[], Phase | None],
        send: Callable[[bytes], None],
        clock: Clock,
        hold_s: float,
        pulse_s: float,
        cleanup_s: float,
    ):
        self._outbox, self._phase, self._send, self._clock = outbox, phase, send, clock
        self._hold_s, self._pulse_s, self._cleanup_s = hold_s, pulse_s, cleanup_s
        self._at_work = threading.Event()
        self._not_before_s = 0.0
        self._seen: Phase | None = None
        self._used: tuple[float, float] | None = None  # when, and processor time by then
        self._due_s = 0.0
        threading.Thread(target=self._run, name="raysweep-courier", daemon=True).start()

    def begin(self) -> None:
        """The other thread is at work from now on."""
        self._at_work.set()

    def end(self) -> None:
        """The other thread is about to answer."""
        self._at_work.clear()

    def _run(self) -> None:
        while True:
            self._at_work.wait()
            self._clock.sleep(self._look(self._clock.now()))

    def _look(self, now_s: float) -> float:
        """Do what is due; how long to sleep."""
        pulse = self._pulse(now_s)
        oldest_s = self._outbox.oldest_s
        due_s = None if oldest_s is None else max(oldest_s + self._hold_s, self._not_before_s)
        if pulse is not None or (due_s is not None and due_s <= now_s):
            self._deliver(pulse)
            return 0.0
        return _LOOK_S if due_s is None else min(_LOOK_S, due_s - now_s)

    def _deliver(self, pulse: Pulse | None) -> None:
        first, events = self._outbox.show()
        try:
            self._send(encode(first, events, pulse))
        except Exception:  # Ray's errors are many; what was shown stays in the outbox
            now_s = self._clock.now()
            self._not_before_s = now_s + _AGAIN_S
            if events and self._outbox.oldest_s is None:
                self._outbox.oldest_s = now_s
            return
        self._outbox.arrived(first + len(events))

    def _pulse(self, now_s: float) -> Pulse | None:
        """A sign of life if one is due."""
        phase = self._phase()
        if phase is None:
            return None
        if phase is not self._seen:
            self._seen, self._used = phase, None
            self._due_s = phase.since_s + self._first_s(phase)
        if self._used is None and now_s >= phase.since_s + self._first_s(phase) / 3:
            self._used = (now_s, processor_s(os.getpid()) or 0.0)
        if now_s < self._due_s or self._used is None:
            return None
        self._due_s = now_s + self._pulse_s
        before, self._used = self._used, (now_s, processor_s(os.getpid()) or 0.0)
        spent_s, passed_s = self._used[1] - before[1], now_s - before[0]
        cores = max(0.0, spent_s / passed_s) if self._used[1] and passed_s > 0 else None
        return Pulse(phase.doing, phase.trial, phase.attempt, now_s - phase.since_s, cores)

    def _first_s(self, phase: Phase) -> float:
        soonest = self._cleanup_s if phase.doing == "cleanup" else self._pulse_s
        return min(soonest, self._pulse_s)
