"""Who waits for a slot, and which configs have been asked for."""

from __future__ import annotations

import heapq
import math
from collections import deque
from typing import Any

from raysweep.trials.decisions import Reason
from raysweep.trials.trial import TrialId, trial_id


class Waiting:
    """Trials to be continued, trials to be started, and suggestions under way.

    `deferred` says that the searcher wants to learn more before it is asked again; `fresh` holds
    the trials that were suggested and never started; `issued` counts the trials that the sweep has
    asked its searcher for, which is what its budget of trials limits, and `children` those that
    were made of others: by its scheduler, or to replicate them.
    """

    def __init__(self) -> None:
        self.fresh: deque[TrialId] = deque()
        self._ready: deque[tuple[TrialId, Reason]] = deque()
        self._delayed: list[tuple[float, TrialId]] = []  # heap
        self._asked: dict[TrialId, None] = {}  # in the order asked
        self._unanswered: deque[TrialId] = deque()  # asked of a driver that died too soon
        self._next_number = 0
        self.deferred = False
        self.issued = self.children = 0

    def __bool__(self) -> bool:
        unanswered = self._unanswered and not self.deferred
        return bool(self.fresh or self._ready or self._delayed or self._asked or unanswered)

    @property
    def under_way(self) -> int:
        """How many configs this driver has asked for and not been given yet."""
        return len(self._asked)

    @property
    def new(self) -> bool:
        """Whether some that never ran will come."""
        return bool(self.fresh or self._asked or self._unanswered)

    @property
    def resuming(self) -> int:
        """How many trials that have run before want a slot."""
        return len(self._ready) + len(self._delayed)

    @property
    def made(self) -> int:
        """How many trials were made, or spent on failed suggestions; not those never answered."""
        return self.issued + self.children - len(self._unanswered)

    @property
    def due(self) -> float:
        """The sweep's age at which the next delayed trial may go on."""
        return self._delayed[0][0] if self._delayed else math.inf

    def again(self, trial: TrialId, why: Reason, not_before: float = 0.0) -> None:
        """A trial that has run before wants a slot, perhaps only later."""
        if not_before:
            heapq.heappush(self._delayed, (not_before, trial))
        else:
            self._ready.append((trial, why))

    def wake(self, at: float) -> None:
        """Those whose delay is over by `at` may go on."""
        while self.due <= at:
            self._ready.append((heapq.heappop(self._delayed)[1], Reason("retry")))

    def pop_ready(self) -> tuple[TrialId, Reason] | None:
        """The first trial that may go on now."""
        return self._ready.popleft() if self._ready else None

    def ask(self, *, new: bool) -> TrialId | None:
        """The id of the next trial to ask a config for: one never answered, else a new one."""
        if self.deferred:
            return None
        if self._unanswered:
            trial = self._unanswered.popleft()
        elif new:
            trial = self.next_id
            self._next_number += 1
            self.issued += 1
        else:
            return None
        self._asked[trial] = None
        return trial

    @property
    def next_id(self) -> TrialId:
        """The id of the next trial to be made."""
        return trial_id(self._next_number)

    def child(self) -> TrialId:
        """The id of a new trial that no budget counts and no searcher is asked for."""
        trial = self.next_id
        self._next_number += 1
        self.children += 1
        return trial

    def answered(self, trial: TrialId) -> None:
        """A suggestion came, or failed to."""
        self._asked.pop(trial, None)

    def defer(self, trial: TrialId) -> None:
        """The searcher has nothing for `trial` now: it comes first once something was learnt."""
        if trial in self._asked:
            del self._asked[trial]
            self._unanswered.append(trial)
        self.deferred = True

    def forget_asked(self) -> None:
        """No suggestion will come any more, so those under way were never issued."""
        self.issued -= len(self._asked) + len(self._unanswered)
        self._asked.clear()
        self._unanswered.clear()

    def reopen(self) -> None:
        """A new driver: ask again for what the last one left unanswered; nobody waits yet."""
        self._unanswered.extend(self._asked)
        self._asked.clear()
        self.deferred = False
        self.fresh.clear()
        self._ready.clear()
        self._delayed.clear()

    def state(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "fresh": list(self.fresh),
            "ready": [[trial, list(why)] for trial, why in self._ready],
            "delayed": [list(entry) for entry in self._delayed],
            "next_number": self._next_number,
            "issued": self.issued,
            "children": self.children,
            "asked": list(self._asked),
            "unanswered": list(self._unanswered),
            "deferred": self.deferred,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._next_number = state["next_number"]
        self.issued, self.children = state["issued"], state.get("children", 0)
        self._asked = dict.fromkeys(state["asked"])
        self._unanswered = deque(state["unanswered"])
        self.deferred = state.get("deferred", False)
        self.fresh = deque(state["fresh"])
        self._ready = deque((trial, Reason(*why)) for trial, why in state["ready"])
        self._delayed = [(at, trial) for at, trial in state["delayed"]]
