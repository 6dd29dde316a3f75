"""A pool whose slots are runners in this process: real trainables, real checkpoints, no Ray.

Every slot in turn trains to the end of its grant; one second passes per turn. So the same seed
gives the same sweep, and what a child starts from is what its parent wrote.
"""

from __future__ import annotations

import math
from collections import deque

from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trials.actions import PoolAction, Reshape, TrialAction
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import RaysweepError
from raysweep.trials.events import Event, SlotUp


class InProcessPool:
    """`Pool` over runners.

    Args:
        host: what they run, and where checkpoints go.
        workers: how many there are.
        clock: moved ahead by `poll`; the sweep's age is what it shows.
    """

    def __init__(self, host: HostSpec, workers: int, clock: ManualClock) -> None:
        self._clock = clock
        self._slots = {f"s{n:05d}": Runner(host, clock) for n in range(workers)}
        self._commands: dict[str, list[TrialAction]] = {slot: [] for slot in self._slots}
        self._turns = deque(self._slots)
        self._news: list[Event] = [SlotUp(clock.now(), slot, "here", "") for slot in self._slots]

    def do(self, action: PoolAction) -> None:
        """Carried out when its slot is next due."""
        if not isinstance(action, Reshape):  # the slots are all alike, and stay so
            self._commands[action.slot].append(action)

    def poll(self, timeout_s: float) -> list[Event]:
        """What the next slot with something to do has to tell."""
        news, self._news = self._news, []
        for _ in range(len(self._turns)):
            if news:
                return news
            slot = self._turns[0]
            self._turns.rotate(-1)
            commands, self._commands[slot] = self._commands[slot], []
            if commands:
                self._clock.jump_to(self._clock.now() + 1.0)
                found = self._slots[slot].exchange(commands, math.inf)
                news = [event._replace(at=self._clock.now()) for event in found]
        if not news and timeout_s == math.inf:
            raise RaysweepError("nothing is left to happen, and the sweep goes on waiting")
        if not news:
            self._clock.jump_to(self._clock.now() + timeout_s)
        return news

    def close(self) -> None:
        """Nothing outlives the sweep."""
