"""The one loop: what happened goes into the state, then into the journal, and only then is acted on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, get_args

from raysweep.cluster.pool import Pool
from raysweep.orchestrator.state import SweepState
from raysweep.orchestrator.turn import DURABLE
from raysweep.trials import actions
from raysweep.trials.clock import Clock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import (
    Closed,
    Event,
    Interrupted,
    Opened,
    Retried,
    Silent,
    Suggested,
    Ticked,
    Warned,
)
from raysweep.trials.trial import TrialId

_POOL = (*get_args(actions.TrialAction), actions.Reshape)


class Journal(Protocol):
    """What the loop needs of `results.store.Store`."""

    def append(self, event: Event, verdicts: Sequence[Verdict] = ()) -> int:
        """Buffer one record; its log sequence number."""
        ...

    def commit(self, *, durable: bool) -> None:
        """Write what is buffered; `durable` also waits for the disk."""
        ...

    @property
    def due(self) -> bool:
        """Whether it is time to compact."""
        ...

    def compact(self, state: dict[str, Any] | None) -> None:
        """Move the journal so far into Parquet, with `state` as of now; None: it cannot be had."""
        ...


class NoJournal:
    """Remembers nothing: for simulations whose record nobody wants."""

    due = False

    def append(self, event: Event, verdicts: Sequence[Verdict] = ()) -> int:
        """Forget it."""
        return 0

    def commit(self, *, durable: bool) -> None:
        """Nothing to write."""

    def compact(self, state: dict[str, Any] | None) -> None:
        """Nothing to compact."""


class Loop:
    """Runs a sweep until it comes to rest.

    Args:
        state: the sweep, freshly made or rebuilt from its journal.
        pool: where trials run.
        journal: the write-ahead record.
        clock, origin_s: the sweep's age is `clock.now() - origin_s`.
        propose: asks the searcher for a trial's config; never raises. None: it comes later.
        answers: what came later, stamped with the age that it is given.
        drop: deletes a checkpoint, given its path relative to the sweep directory.
        observe: is shown every event with its verdicts, after it was handled.
        asked_to_stop: who wants the sweep to come to rest, "" for nobody, given its age.
        patience_s: the longest wait in one poll, so that requests to stop are heard.
    """

    def __init__(
        self,
        state: SweepState,
        pool: Pool,
        journal: Journal,
        *,
        clock: Clock,
        origin_s: float,
        propose: Callable[[TrialId, float], Event | None],
        answers: Callable[[float], Sequence[Event]] = lambda at: (),
        drop: Callable[[str], None] = lambda path: None,
        observe: Callable[[Event, Sequence[Verdict]], None] = lambda event, verdicts: None,
        asked_to_stop: Callable[[float], str] = lambda at: "",
        patience_s: float = 0.2,
    ) -> None:
        self._state, self._pool, self._journal = state, pool, journal
        self._clock, self._origin_s = clock, origin_s
        self._propose, self._answers = propose, answers
        self._drop, self._observe = drop, observe
        self._asked_to_stop, self._patience_s = asked_to_stop, patience_s

    def run(self, opened: Opened, retried: Iterable[Retried] = ()) -> Closed:
        """Drive the sweep from `opened` until it closes.

        Args:
            opened: the first event of this driver.
            retried: the failed trials to which this driver gives another attempt.
        """
        closed = self._take([opened], retried)
        while closed is None:
            age_s = self._clock.now() - self._origin_s
            answers = self._answers(age_s)
            wait_s = min(self._patience_s, max(0.0, self._state.deadline() - age_s))
            happened = self._pool.poll(0.0 if answers else wait_s)
            closed = self._take([*answers, *happened, *self._own_events()])
        return closed

    def _own_events(self) -> Iterable[Event]:
        at = self._clock.now() - self._origin_s
        if cause := self._asked_to_stop(at):
            yield Interrupted(at, cause)
        if at >= self._state.deadline():
            yield Ticked(at)

    def _take(self, happened: Iterable[Event], retried: Iterable[Retried] = ()) -> Closed | None:
        """Handle events and what follows from them at once; journal; act."""
        queue, todo, closed, durable = deque(happened), [], None, False
        proposed: deque[Event] = deque()  # before all else: a replay must ask when this one did
        while proposed or queue:
            event = (proposed or queue).popleft()
            if isinstance(event, Silent):
                self._observe(event, ())
                continue
            turn = self._state.handle(event)
            self._journal.append(event, turn.verdicts)
            self._observe(event, turn.verdicts)
            durable |= any(verdict.verb in DURABLE for verdict in turn.verdicts)
            proposed.extend(self._state.advice.news(event.at))
            if isinstance(event, Opened):
                proposed.extend(retried)
            for action in turn.actions:
                if isinstance(action, actions.Suggest):
                    answer = self._propose(action.trial, event.at)
                    if answer is not None:
                        proposed.append(answer)
                elif isinstance(action, actions.Fork):
                    proposed.append(Suggested(event.at, *action))
                elif isinstance(action, actions.Retry):
                    proposed.append(Retried(event.at, *action))
                elif isinstance(action, actions.Warn):
                    proposed.append(Warned(event.at, *action))
                elif not isinstance(action, actions.Close):
                    durable |= isinstance(action, actions.DropCheckpoint)
                    todo.append(action)
                elif closed is None:
                    self._state.advice.can_write()  # if not, that is on record as well
                    proposed.extend(self._state.advice.news(event.at, wait=True))
                    if proposed:  # it closes once it knows of those
                        continue
                    durable = True
                    closed = Closed(event.at, action.reason, action.exit_code)
                    queue.append(closed)
        self._journal.commit(durable=durable)
        self._act(todo)
        if self._journal.due or closed:
            self._journal.compact(self._state.state() if self._state.advice.can_write() else None)
        return closed

    def _act(self, todo: Iterable[actions.Action]) -> None:
        for action in todo:
            if isinstance(action, actions.DropCheckpoint):
                self._drop(action.path)
            elif isinstance(action, _POOL):
                self._pool.do(action)


FOREVER_S = math.inf
"""The patience of a loop on a simulated pool, where nobody can ask it to stop."""
