"""The seam between the sweep and the place where its trials run."""

from __future__ import annotations

from typing import Protocol

from raysweep.trials.actions import PoolAction
from raysweep.trials.events import Event


class Pool(Protocol):
    """Where trials run: `RayPool` on a cluster, `SimulatedPool` on a heap and a manual clock.

    A pool announces slots (`SlotUp`, `SlotDown`), carries out actions on them in order, and
    returns what came of it. `do` may defer an action until the next `poll`, so that everything
    for one slot travels together. When a slot dies, the pool tells of its trial first (`Failed`)
    and of the slot after that. `Reshape` names free slots, on which nothing is being written; their
    `SlotDown` is no loss, and if it cannot be carried out those that live come up again by their
    names. `Event.at` is stamped by the pool with `clock.now() - origin`.
    """

    def do(self, action: PoolAction) -> None:
        """Carry out `action`, at the latest when `poll` is next called."""
        ...

    def poll(self, timeout_s: float) -> list[Event]:
        """What has happened; waits up to `timeout_s` for the first event, never for a second."""
        ...

    def close(self) -> None:
        """Let go of everything; running trials are lost where they are."""
        ...
