"""The book of one stock Ray Tune run: what Tune tells, as our events, in a sweep directory.

Tune knows no attempts, so they are counted here: each start of a trial, and each return to a step
that was reported before, opens the next one. A trial that goes on after it had ended, as a restored
run may ask for, is entered as a new trial, `<id>-2`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysweep.results.layout import is_sweep
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.trials.clock import Clock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import (
    Checkpointed,
    Closed,
    Ended,
    Event,
    Failed,
    Opened,
    Paused,
    Reported,
    SlotUp,
    Started,
    Suggested,
    Ticked,
)
from raysweep.trials.trial import Status

RULE = "tune"
"""The rule that verdicts name: Tune tells callbacks what was decided, not why."""
_COMMIT_S = 2.0


@dataclass
class Line:
    """One trial: our id of it, its newest attempt, the last step, and where it runs ("": nowhere)."""

    trial: str
    attempt: int = 0
    step: int = 0
    slot: str = ""
    ended: bool = False
    began_s: float = 0.0
    confirmed: bool = False
    """Whether the newest attempt has shown where it runs and at which step it began."""
    path: str | None = None
    saved: int = 0

    @property
    def open(self) -> bool:
        """Whether an attempt is under way."""
        return bool(self.slot)


class Book:
    """Writes one run into `store`.

    Args:
        store: a sweep directory that is open for writing.
        clock: of the events.
        lines: the trials that are in it already, by Tune's ids.
        at: the age in seconds that the sweep had when the last driver left.
    """

    def __init__(
        self, store: Store, clock: Clock, lines: dict[str, Line] | None = None, at: float = 0.0
    ) -> None:
        self._store, self._clock = store, clock
        self._lines = lines or {}
        self._origin_s = clock.now() - at
        self._committed_s, self._dirty = clock.now(), False
        self._running: dict[str, None] = {}
        self._free, self._slots = list[str](), 0
        self._add(Opened(at, store.epoch, clock.wall(), socket.gethostname()))

    @classmethod
    def begin(cls, path: Path, manifest: dict[str, Any], clock: Clock, resumed: bool) -> Book:
        """A new book at `path`, or the one that is there if the run is `resumed`.

        Raises:
            StoreError: the directory cannot be used.
        """
        if not (resumed and is_sweep(path)):
            return cls(Store.create(path, manifest, clock=clock), clock)
        found = read(path, accept_loss=True)
        lines, at = _lines(found.arrow("trials").to_pylist()), found.status()["elapsed_s"]
        # Restoring is the user's word that the last driver is gone; if it is not, it is fenced off.
        store, _ = Store.open(path, clock=clock, take_over=True, accept_loss=True)
        return cls(store, clock, lines, at)

    @property
    def path(self) -> Path:
        """The sweep directory."""
        return self._store.path

    def line(self, theirs: str) -> Line | None:
        """The trial that Tune calls `theirs`; None: it was never seen."""
        return self._lines.get(theirs)

    def running(self) -> list[str]:
        """Tune's ids of the trials with an attempt under way."""
        return list(self._running)

    def waiting(self) -> list[str]:
        """Tune's ids of the trials that have run, do not, and have not ended."""
        return [
            theirs
            for theirs, line in self._lines.items()
            if line.attempt and not line.open and not line.ended
        ]

    def seen(self, theirs: str, config: dict[str, Any]) -> None:
        """Tune has a trial with this config; one that has ended is about to run again."""
        known = self._lines.get(theirs)
        if known is not None and not known.ended:
            return
        trial = theirs if known is None else _again(known.trial)
        self._lines[theirs] = Line(trial)
        self._add(Suggested(self._at, trial, config))

    def started(self, theirs: str, step: int) -> None:
        """An attempt begins at `step`; the one before it, if it was under way, was paused."""
        line = self._lines[theirs]
        if line.open:
            self.paused(theirs)
        line.attempt, line.step, line.confirmed = line.attempt + 1, step, False
        line.slot, line.began_s = self._slot(), self._clock.now()
        self._running[theirs] = None
        self._add(Started(self._at, line.trial, line.attempt, step, line.slot, "", 0.0))

    def reported(
        self,
        theirs: str,
        step: int,
        elapsed_s: float,
        metrics: Mapping[str, Any],
        node: str = "",
        step_s: float = 0.0,
    ) -> None:
        """A result; `step_s` is how long this step took, `node` where it was made."""
        line = self._lines[theirs]
        if not line.open:
            self.started(theirs, step - 1)
        elif line.confirmed and step <= line.step:
            self.started(theirs, step - 1)  # it went back, as population based training does
        if not line.confirmed:
            setup_s = max(0.0, self._clock.now() - line.began_s - step_s)
            line.confirmed, line.step = True, min(line.step, step - 1)
            started = Started(
                self._at, line.trial, line.attempt, line.step, line.slot, node, setup_s
            )
            self._add(started)
        line.step = step
        columns = {name: [value] for name, value in metrics.items()}
        self._add(Reported(self._at, line.trial, line.attempt, [step], [elapsed_s], columns))

    def checkpointed(self, theirs: str, path: str) -> None:
        """A checkpoint of the last step stands at `path`, relative to the sweep directory."""
        line = self._lines[theirs]
        if line.open:
            line.path, line.saved = path, line.step
            self._add(Checkpointed(self._at, line.trial, line.attempt, line.step, path))

    def paused(self, theirs: str) -> None:
        """The trial has yielded its slot."""
        line = self._lines[theirs]
        if line.open:
            path = line.path if line.saved == line.step else None
            self._add(Paused(self._at, line.trial, line.attempt, line.step, path))
            self._leave(theirs)

    def failed(
        self, theirs: str, error: str, message: str, traceback: str, *, retried: bool
    ) -> None:
        """An attempt failed; if `retried`, Tune runs the trial again."""
        line = self._lines[theirs]
        if line.ended or (retried and not line.open):
            return
        self._reopen(theirs)
        event = Failed(self._at, line.trial, line.attempt, error, message, traceback)
        self._add(event, *([self._verdict(line, "retry")] if retried else ()))
        self._leave(theirs)
        line.ended = not retried
        self._store.commit(durable=True)

    def ended(self, theirs: str, verb: str) -> None:
        """The trial is over: "end" (by itself), "finish" (as far as it was to run), "stop", "fail".

        One that never ran stays pending.
        """
        line = self._lines[theirs]
        if line.ended or not line.attempt:
            return
        self._reopen(theirs)
        if verb == "end":
            self._add(Ended(self._at, line.trial, line.attempt, line.step))
        else:
            self._add(Ticked(self._at), self._verdict(line, verb))
        self._leave(theirs)
        line.ended = True
        self._store.commit(durable=True)

    def tick(self) -> None:
        """Write what has gathered, safe from a power cut every two seconds; compact when due."""
        now = self._clock.now()
        if self._dirty:
            durable = now - self._committed_s >= _COMMIT_S
            self._store.commit(durable=durable)
            if durable:
                self._committed_s, self._dirty = now, False
        if self._store.due:
            self._store.compact({})

    def close(self, reason: str, exit_code: int) -> None:
        """The run is over."""
        self._add(Closed(self._at, reason, exit_code))
        try:
            self._store.compact({})
        finally:
            self._store.close()

    @property
    def _at(self) -> float:
        return self._clock.now() - self._origin_s

    def _add(self, event: Event, *verdicts: Verdict) -> None:
        self._store.append(event, verdicts)
        self._dirty = True

    def _verdict(self, line: Line, verb: str) -> Verdict:
        return Verdict(line.trial, line.attempt, line.step, verb, RULE)

    def _slot(self) -> str:
        """A slot that is free; as many are made as trials ever ran at once."""
        if not self._free:
            self._free.append(f"tune-{self._slots}")
            self._slots += 1
            self._add(SlotUp(self._at, self._free[0], "", ""))
        return self._free.pop()

    def _reopen(self, theirs: str) -> None:
        """An attempt of no length for what ends a trial between two of them."""
        line = self._lines[theirs]
        if not line.open:
            self.started(theirs, line.step)

    def _leave(self, theirs: str) -> None:
        line = self._lines[theirs]
        self._free.append(line.slot)
        self._running.pop(theirs)
        line.slot = ""


def _lines(rows: Iterable[Mapping[str, Any]]) -> dict[str, Line]:
    """The trials of a sweep directory by Tune's ids; where one was entered twice, the newest."""
    lines = {}
    for row in rows:
        trial = row["trial_id"]
        ended = Status(row["status"]).terminal
        lines[trial.partition("-")[0]] = Line(trial, row["attempts"], row["steps"], ended=ended)
    return lines


def _again(trial: str) -> str:
    name, _, number = trial.partition("-")
    return f"{name}-{int(number or 1) + 1}"
