"""One slot of the Ray pool: its process, the calls on their way to it, and the trial it runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from raysweep.trials.actions import Finish, Pause, RunTo, Start, Stop, TrialAction
from raysweep.trials.clock import Clock
from raysweep.trials.events import (
    Checkpointed,
    Ended,
    Event,
    Failed,
    Finished,
    Paused,
    Reported,
)
from raysweep.trials.trial import TrialId

_SHORT_S = 1.0
"""Exchanges shorter than this are kept two in flight; for longer ones a round trip is nothing."""


class Arrival(NamedTuple):
    """A call that came back, with its answer or with what Ray raised instead."""

    slot: Slot
    process: Any
    answer: Any
    error: BaseException | None
    at_s: float


class Slot:
    """Keeps one process supplied with commands, in order, and makes sense of what comes back.

    While the trial has a grant that it has not reached, there is an exchange in flight: one, so
    that the end of the grant is heard of as soon as it is there; two once the trial has shown
    that it takes longer than one exchange, so that it never waits for the driver.

    Args:
        name: unique within the driver's life.
        spawn: makes the process (a Ray actor of `trainables.actor.TrialActor`).
        kill: ends a process.
        put: takes answers, in Ray's thread.
        clock: stamps their arrival.
        fresh: whether each trial gets a process of its own.
    """

    def __init__(
        self,
        name: str,
        spawn: Callable[[], Any],
        kill: Callable[[Any], None],
        put: Callable[[Arrival], Any],
        clock: Clock,
        fresh: bool,
    ):
        self.name = name
        self.node = self.device = ""
        self.ready = False
        """Whether its process has answered, ever: it was announced then."""
        self.ran = False
        """Whether any trial came as far as an answer; a slot that never did is backed off from."""
        self.hosted: tuple[TrialId, int] | None = None
        """The trial (and attempt) of which news is expected."""
        self._spawn, self._kill = spawn, kill
        self._put, self._clock, self._fresh = put, clock, fresh
        self._commands: list[TrialAction] = []
        self._finishing: set[tuple[TrialId, int]] = set()
        self._step = self._granted = 0
        self._leaving = self._heard = self._used = self._worn = False
        self._in_flight = 0
        self._progress_s = self._arrived_s = 0.0
        self.starting = True
        self._process: Any = None
        self._begin()

    def give(self, action: TrialAction) -> bool:
        """Take a command for the next exchange; True if it is the first one waiting."""
        who = (action.trial, action.attempt)
        if isinstance(action, Start):
            self.hosted = who
            self._step, self._granted = action.step, action.run_to
            self._leaving = self._heard = False
        elif who == self.hosted:
            self._note(action)
        self._commands.append(action)
        return len(self._commands) == 1

    def flush(self) -> None:
        """Send the commands that wait, and what keeps the trial training."""
        if self._spent() and self._commands:
            self._send(self._before_start())
            self._renew_if_empty()
        else:
            commands, self._commands = self._commands, []
            self._send(commands)
        self._keep_training()

    def receive(self, arrival: Arrival) -> list[Event]:
        """What an answer tells of the trials that are still of interest here."""
        self._in_flight -= 1
        took_s, self._arrived_s = arrival.at_s - self._arrived_s, arrival.at_s
        self._progress_s = self._clock.now()  # if the driver was away, the process is not to blame
        if self.starting:
            self.starting = False
            return []
        self.ran = True
        told, worn, returned = pickle.loads(arrival.answer)
        self._worn = self._worn or bool(worn)
        self._commands = returned + self._commands
        events = [event for event in told if self._concerns(event)]
        if not (self._in_flight or self._commands):
            self._finishing.clear()
        self._keep_training(2 if self._heard and took_s < _SHORT_S else 1)
        self._renew_if_empty()
        return events

    def silent_since(self) -> float | None:
        """When its process was last heard of, if it owes an answer."""
        return self._progress_s if self._in_flight else None

    def is_current(self, process: Any) -> bool:
        """Whether an answer of `process` is one of the present process, not of a former one."""
        return process is self._process

    def end(self) -> None:
        """Kill the process; whatever it still answers is of no interest."""
        self._kill(self._process)
        self._process = None

    def _begin(self) -> None:
        self.starting = True
        self._used = self._worn = False
        self._in_flight = 0
        self._progress_s = self._arrived_s = self._clock.now()
        self._process = self._spawn()
        self._call(self._process.describe)

    def _note(self, action: TrialAction) -> None:
        """Keep track of the hosted trial's grant and of whether news of it is still wanted."""
        if isinstance(action, RunTo):
            self._granted = max(self._granted, action.step)
        elif isinstance(action, Pause):
            self._leaving = True
        elif isinstance(action, Stop | Finish):
            if isinstance(action, Finish) and self.hosted is not None:
                self._finishing.add(self.hosted)
            self.hosted = None

    def _concerns(self, event: Any) -> bool:
        """Whether to pass an event on; takes note of how far the hosted trial is."""
        who = (event.trial, event.attempt)
        if who != self.hosted:
            return isinstance(event, Reported | Checkpointed | Finished) and who in self._finishing
        self._heard = True
        if isinstance(event, Reported):
            self._step = event.steps[-1]
        elif isinstance(event, Ended | Failed | Paused):
            self.hosted = None
        return True

    def _training(self) -> bool:
        return self.hosted is not None and not self._leaving and self._step < self._granted

    def _keep_training(self, wanted: int = 1) -> None:
        while self._in_flight < wanted and self._training() and not (self._commands or self._worn):
            self._send([], force=True)

    def _send(self, commands: list[TrialAction], force: bool = False) -> None:
        if not commands and not force:
            return
        self._used = self._used or any(isinstance(c, Start) for c in commands)
        if not self._in_flight:
            self._progress_s = self._arrived_s = self._clock.now()
        self._call(self._process.exchange, pickle.dumps(commands, pickle.HIGHEST_PROTOCOL))

    def _before_start(self) -> list[TrialAction]:
        """Take the waiting commands that are meant for the process as it is."""
        at = next((i for i, c in enumerate(self._commands) if isinstance(c, Start)), None)
        before = self._commands[:at]
        self._commands = self._commands[at:] if at is not None else []
        return before

    def _renew_if_empty(self) -> None:
        """Make the next process once this one, which can run no further trial, has nothing to do."""
        if not self._spent() or self._in_flight:
            return
        if self.hosted is None or self._commands:
            self._kill(self._process)
            self._begin()
            commands, self._commands = self._commands, []
            self._send(commands)

    def _spent(self) -> bool:
        """Whether the next trial needs another process: each does, or the last one wore this out."""
        return self._worn or (self._fresh and self._used)

    def _call(self, method: Any, *arguments: Any) -> None:
        process, put, now = self._process, self._put, self._clock.now

        def arrived(future: Future[Any]) -> None:
            error = future.exception()
            answer = None if error is not None else future.result()
            put(Arrival(self, process, answer, error, now()))

        self._in_flight += 1
        method.remote(*arguments).future().add_done_callback(arrived)
