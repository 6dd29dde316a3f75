"""Watches which nodes are alive, and says where slots should be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from raysweep.cluster.resources import Resources

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 60.0
Nodes = dict[str, Mapping[str, float]]
"""Living nodes by Ray's id, each with its total resources by name."""


def living_nodes() -> Nodes:
    """The nodes that Ray counts among the living."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()
    return {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}


class NodeWatcher:
    """Tells `put` about the living nodes every `period_s`, from a thread of its own."""

    def __init__(self, put: Callable[[Nodes], Any], period_s: float = 1.0):
        self._put, self._period_s = put, period_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="raysweep-nodes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _watch(self) -> None:
        while not self._stop.wait(self._period_s):
            try:
                nodes = living_nodes()
            except Exception:  # Ray's head does not answer: its own exceptions are many
                continue
            self._put(nodes)


class Seat(NamedTuple):
    """A place for one slot: the `number`-th on a node."""

    node: str
    number: int


class Seats:
    """Which seats there should be, and which of them may be taken now."""

    def __init__(self, resources: Resources, limit: int | None):
        self._resources, self._limit = resources, limit
        self._failures: dict[Seat, int] = {}
        self._not_before_s: dict[Seat, float] = {}
        self.nodes: Nodes = {}

    def vacant(self, taken: Mapping[Seat, Any], now_s: float) -> list[Seat]:
        """Seats on living nodes that nobody has taken and whose last failure is long enough ago."""
        due = [
            Seat(node, number)
            for node, has in self.nodes.items()
            for number in range(self._resources.fit(has))
            if Seat(node, number) not in taken
            and self._not_before_s.get(Seat(node, number), 0.0) <= now_s
        ]
        return due if self._limit is None else due[: max(self._limit - len(taken), 0)]

    def succeeded(self, seat: Seat) -> None:
        """A slot there has worked."""
        self._failures.pop(seat, None)
        self._not_before_s.pop(seat, None)

    def failed(self, seat: Seat, now_s: float) -> None:
        """A slot there has died before it did anything: leave the seat alone for a while."""
        count = self._failures[seat] = self._failures.get(seat, 0) + 1
        delay_s = min(_FIRST_BACKOFF_S * 2 ** min(count - 1, 10), _LONGEST_BACKOFF_S)
        self._not_before_s[seat] = now_s + delay_s
