"""Watches which nodes are alive, and says where slots should be."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from raysweep.cluster.outage import OutageWatcher, servers
from raysweep.cluster.resources import Resources
from raysweep.trials.errors import ClusterLost

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 60.0
_JOIN_S = 5.0
Nodes = dict[str, Mapping[str, float]]
"""Living nodes by Ray's id, each with its total resources by name."""


def living_nodes() -> Nodes:
    """The nodes that Ray counts among the living."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()
    return {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}


def cores_are_taken() -> bool:
    """Whether a Ray task of a trial's own would find no core."""
    import ray

    return float(ray.available_resources().get("CPU", 0.0)) < 1.0


class NodeWatcher:
    """Tells `put` about the living nodes every `period_s`, and when Ray itself is gone."""

    def __init__(self, put: Callable[[Nodes | ClusterLost], Any], period_s: float = 1.0):
        self._put, self._period_s = put, period_s
        self._stop = threading.Event()
        self._outage = OutageWatcher(put, servers())
        self._thread = threading.Thread(target=self._watch, name="raysweep-nodes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the threads."""
        self._stop.set()
        self._outage.close()
        self._thread.join(timeout=_JOIN_S)  # without a GCS it does not come back from Ray

    def _watch(self) -> None:
        while not self._stop.wait(self._period_s):
            try:
                nodes = living_nodes()
            except Exception:  # Ray's head does not answer: its own exceptions are many
                continue
            self._put(nodes)


class Seat(NamedTuple):
    """A place for one of the smallest slots: the `number`-th on a node."""

    node: str
    number: int


Block = tuple[Seat, ...]
"""The seats of one slot, all on one node."""


class Seats:
    """Which seats there should be, who shares a slot, and which may be taken now."""

    def __init__(self, resources: Resources, limit: int | None):
        self._resources, self._limit = resources, limit
        self._joined: dict[Seat, Block] = {}
        self._given_up: set[Seat] = set()
        self._failures: dict[Seat, int] = {}
        self._not_before_s: dict[Seat, float] = {}
        self.nodes: Nodes = {}

    def vacant(self, taken: Mapping[Seat, Any], now_s: float) -> list[Block]:
        """Blocks on living nodes that nobody has taken and whose last failure is long enough ago.

        What was given up is wanted again if all else is lost.
        """
        if not taken:
            self._given_up.clear()
        due = []
        room = math.inf if self._limit is None else self._limit - len(taken)
        for node, has in self.nodes.items():
            for number in range(self._resources.fit(has)):
                seat = Seat(node, number)
                block = self._joined.get(seat, (seat,))
                free = seat not in taken and seat not in self._given_up and seat == block[0]
                if free and self._not_before_s.get(seat, 0.0) <= now_s and len(block) <= room:
                    due.append(block)
                    room -= len(block)
        return due

    def reshape(self, seats: Iterable[Seat], sizes: Iterable[int]) -> list[Block]:
        """Deal out the seats of former blocks as blocks of `sizes`; what is over is given up."""
        left, made = deque(seats), []
        for seat in left:
            self._joined.pop(seat, None)
        for size in sizes:
            block = tuple(left.popleft() for _ in range(size))
            made.append(block)
            if size > 1:
                self._joined.update(dict.fromkeys(block, block))
        self._given_up.update(left)
        return made

    def succeeded(self, seat: Seat) -> None:
        """A slot whose first seat this is has worked."""
        self._failures.pop(seat, None)
        self._not_before_s.pop(seat, None)

    def failed(self, seat: Seat, now_s: float) -> None:
        """A slot there has died before it did anything: leave the seat alone for a while."""
        count = self._failures[seat] = self._failures.get(seat, 0) + 1
        delay_s = min(_FIRST_BACKOFF_S * 2 ** min(count - 1, 10), _LONGEST_BACKOFF_S)
        self._not_before_s[seat] = now_s + delay_s
