"""One slot of the Ray pool: its process, the calls on their way to it, and the trial it runs."""

from __future__ import annotations

import json
import pickle
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from raysweep.cluster.expected import Expected
from raysweep.trainables.wire import Pulse, Wear, decode
from raysweep.trials.actions import Finish, Pause, RunTo, Start, Stop, TrialAction
from raysweep.trials.clock import Clock
from raysweep.trials.errors import AnswerError
from raysweep.trials.events import (
    Ended,
    ErrorClass,
    Event,
    Failed,
    Paused,
    Reported,
    Started,
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

    What a process tells comes with an answer, or by the mailbox if that would take too long; its
    events are numbered, so those that come both ways count once.

    A trial that has told of its end is cleaned up after by the next exchange: that with the next
    trial's start, or one that brings nothing if none is at hand. A process that dies before that
    exchange is answered costs the next trial nothing, unless it has told of that one. A trial that
    has been begun before gets an exchange of its own, so that no doubt is left a second time.

    Args:
        name: unique within the driver's life.
        spawn: makes the process (a Ray actor of `trainables.actor.TrialActor`), given the key
            under which it is known.
        kill: ends a process.
        put: takes answers, in Ray's thread.
        clock: stamps their arrival.
        fresh: whether each trial gets a process of its own.
    """

    def __init__(
        self,
        name: str,
        spawn: Callable[[str], Any],
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
        self._leaving = self._heard = self._used = False
        self._progress_s = self._arrived_s = 0.0
        self._process: Any = None
        self._spawned = 0
        self.starting = True
        self.condemned = False
        """Whether its process was told to end, and says so: it ends once it has cleaned up."""
        self.key = ""
        """Under which its present process is known to the mailbox."""
        self.pulse: Pulse | None = None
        """The last sign of life of its process, if no answer has come since."""
        self._in_flight = self._sent = self._answered = self._cleaned_by = self._next = 0
        self._dirty = self._worn = False
        self._begin()

    def give(self, action: TrialAction) -> bool:
        """Take a command for the next exchange; True if it is the first one waiting."""
        who = (action.trial, action.attempt)
        self._expected.give(action)
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
            self._send(self._before_start(), force=self._dirty)
            self._renew_if_empty()
        else:
            if any(isinstance(c, Start) and c.attempt > 1 for c in self._commands):
                self._send(self._before_start(), force=self._dirty)
            commands, self._commands = self._commands, []
            self._send(commands, force=self._dirty)
        self._keep_training()

    def receive(self, arrival: Arrival) -> list[Event]:
        """What an answer tells of the trials that are still of interest here.

        Raises:
            AnswerError: it cannot be true.
        """
        self._in_flight -= 1
        took_s, self._arrived_s = arrival.at_s - self._arrived_s, arrival.at_s
        self._progress_s = self._clock.now()  # if the driver was away, the process is not to blame
        self.pulse = None
        if self.starting:
            self._came_up(arrival.answer)
            return []
        self.ran = True
        self._answered += 1
        try:
            events = self._opened(arrival.answer, self._answered)
        except AnswerError:
            self._answered -= 1  # what it was to do first, a cleanup, it may not have come to
            raise
        if not (self._in_flight or self._commands or self._dirty):
            self._finishing.clear()
        self._keep_training(2 if self._heard and took_s < _SHORT_S else 1)
        self._renew_if_empty()
        return events

    def receive_mail(self, letter: bytes) -> list[Event]:
        """What its process tells in the middle of an exchange.

        Raises:
            AnswerError: it cannot be true.
        """
        events = self._opened(letter, self._answered + 1)
        if events:
            self._progress_s = self._clock.now()
        return events

    def silent_since(self) -> float | None:
        """When its process was last heard of, if it owes an answer."""
        return self._progress_s if self._in_flight else None

    @property
    def tidying(self) -> bool:
        """Whether its process has a trial to clean up after, or may be doing it."""
        return self._dirty or self._answered < self._cleaned_by

    @property
    def untouched(self) -> bool:
        """Whether the trial that it was given may not have begun here, for no fault of its own."""
        if self.hosted is None or self._heard:
            return False
        waits = any(isinstance(command, Start) for command in self._commands)
        return waits or self._answered < self._cleaned_by

    def is_current(self, process: Any) -> bool:
        """Whether an answer of `process` is one of the present process, not of a former one."""
        return process is self._process

    def end(self) -> None:
        """Kill the process; whatever it still answers is of no interest."""
        self._kill(self._process)
        self._process = None

    def _begin(self) -> None:
        self.starting = True
        self.pulse = None
        self._used = self._dirty = self._worn = False
        self._sent_commands: deque[list[TrialAction]] = deque()  # of exchanges in flight
        self._returned = 0
        self._in_flight = self._sent = self._answered = self._cleaned_by = self._next = 0
        self._early: dict[int, list[Event]] = {}
        self._expected = Expected(self.name)
        for command in self._commands:
            self._expected.give(command)
        self._progress_s = self._arrived_s = self._clock.now()
        self._spawned += 1
        self.key = f"{self.name}.{self._spawned}"
        self._process = self._spawn(self.key)
        self._call(self._process.describe)

    def _came_up(self, answer: Any) -> None:
        """Its process says where it is; the next one may get another device of the node."""
        self.starting = False
        try:
            place = json.loads(answer)
            self.node, self.device = str(place["node"]), str(place["device"])
        except (TypeError, ValueError, LookupError, RecursionError) as error:
            raise AnswerError(f"it does not say where it runs: {error}") from None

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

    def _opened(self, letter: Any, exchange: int) -> list[Event]:
        """The events of a letter that were not told before and are of interest."""
        first, events, pulse, wear = decode(letter)
        if pulse is not None:
            self.pulse = pulse
        if exchange == self._answered:  # else it is mail, in the middle of one
            self._take_back(wear)
        if first > self._next and not self._in_flight:
            raise AnswerError(f"its event {first} follows on {self._next - 1}")
        self._early[first] = events
        told: list[Event] = []
        while (first := min(self._early, default=self._next + 1)) <= self._next:
            new = self._early.pop(first)[self._next - first :]
            self._next += len(new)
            told.extend(event for event in new if self._concerns(event, exchange))
        return told

    def _take_back(self, wear: Wear) -> None:
        """An exchange is answered: commands that it left to another process wait again."""
        commands = self._sent_commands.popleft()
        if wear.returned > len(commands) or (wear.returned and not wear.why):
            raise AnswerError(f"it returns {wear.returned} commands of {len(commands)}")
        self._worn = self._worn or bool(wear.why)
        returned = commands[len(commands) - wear.returned :]
        self._commands[self._returned : self._returned] = returned
        self._returned += len(returned)

    def _concerns(self, event: Any, exchange: int) -> bool:
        """Whether to pass an event on; takes note of how far the hosted trial is."""
        self._expected.check(event)
        who = (event.trial, event.attempt)
        if who != self.hosted:
            return who in self._finishing and not isinstance(event, Started | Paused)
        self._heard = True
        if isinstance(event, Reported):
            self._step = event.steps[-1]
        elif isinstance(event, Ended | Failed | Paused):
            self.hosted = None
            self.condemned = isinstance(event, Failed) and event.error == ErrorClass.INFRA
            if isinstance(event, Ended) and event.saving:
                self._finishing.add(who)
            if self._sent > exchange:
                self._cleaned_by = exchange + 1
            else:
                self._dirty = True
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
        self._sent += 1
        self._sent_commands.append(commands)
        if self._dirty or any(isinstance(c, Stop | Finish) for c in commands):
            self._cleaned_by = self._sent
        turns = [c for c in commands if isinstance(c, Start | Finish)]
        self._dirty = bool(turns) and isinstance(turns[-1], Finish)
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
        if not self._spent() or self._in_flight or self.condemned:
            return
        if self._dirty:
            self._send([], force=True)
        elif self.hosted is None or self._commands:
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


def stamped(event: Any, at: float) -> Event:
    """The event with its time; events that come from processes do not know it."""
    return type(event)(at, *event[1:])  # type: ignore[no-any-return]  # an event again
