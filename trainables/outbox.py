"""What a process has to tell of its trials and has not delivered: numbered, so that nothing counts twice."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from raysweep.trainables.batch import Batch
from raysweep.trials.events import Event
from raysweep.trials.trial import TrialId


class Outbox:
    """Events in the order in which they happened, the first ever has number 0.

    The thread that trains puts in; it takes everything out with each answer, and a second thread
    may show what waits to somebody else meanwhile. What was shown stays until it is known to have
    arrived, so it may arrive twice: by its number the receiver knows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batch = Batch()
        self._of: tuple[TrialId, int] = ("", 0)
        self._events: list[Event] = []
        self._made = 0
        self.oldest_s: float | None = None
        """When the oldest of what was neither taken nor shown was put in; None: there is nothing."""

    def begin(self, trial: TrialId, attempt: int) -> None:
        """Reports are those of this attempt from now on."""
        with self._lock:
            self._gather()
            self._batch, self._of = Batch(), (trial, attempt)

    def report(self, now_s: float, step: int, elapsed_s: float, row: Mapping[str, Any]) -> None:
        """Put in one report of the attempt.

        Raises:
            ReportError: as of `Batch.add`.
        """
        with self._lock:
            self._batch.add(step, elapsed_s, row)
            if self.oldest_s is None:
                self.oldest_s = now_s

    def tell(self, now_s: float, event: Event) -> None:
        """Put in an event, after the reports before it."""
        with self._lock:
            self._gather()
            self._events.append(event)
            self._made += 1
            if self.oldest_s is None:
                self.oldest_s = now_s

    def take(self) -> tuple[int, list[Event]]:
        """Everything that is not known to have arrived, and the number of the first; it is empty then."""
        with self._lock:
            self._gather()
            events, self._events, self.oldest_s = self._events, [], None
            return self._made - len(events), events

    def show(self) -> tuple[int, list[Event]]:
        """The same, and it stays."""
        with self._lock:
            self._gather()
            self.oldest_s = None
            return self._made - len(self._events), list(self._events)

    @property
    def taken(self) -> int:
        """How many events have been made so far; right after `take`, all of them are taken."""
        return self._made

    def arrived(self, end: int) -> None:
        """What has a number below `end` has arrived."""
        with self._lock:
            del self._events[: max(0, end - (self._made - len(self._events)))]

    def _gather(self) -> None:
        """Make one event of the reports since the last time."""
        reported = self._batch.take(*self._of)
        if reported is not None:
            self._events.append(reported)
            self._made += 1
