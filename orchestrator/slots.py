"""Which slots there are and who holds them."""

from __future__ import annotations

from typing import Any

from raysweep.trials.trial import TrialId


class Slots:
    """The slots that the pool has announced, each free or held by one trial."""

    def __init__(self) -> None:
        self.reset(0.0)

    def reset(self, at: float) -> None:
        """There are no slots any more, since the sweep's age `at`."""
        self._holder: dict[str, TrialId | None] = {}
        self._kind: dict[str, str] = {}  # of hardware, by slot
        self._free: list[str] = []
        self.busy = 0
        self.finishing: dict[TrialId, str] = {}
        """Trials that have given up their slot but may still write a last checkpoint on it."""
        self.none_since: float | None = at
        """The sweep's age since which there is no slot; None: there is one."""

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing is being written."""
        return not (self.busy or self.finishing)

    def __len__(self) -> int:
        return len(self._holder)

    @property
    def free(self) -> int:
        """How many slots wait for a trial."""
        return len(self._free)

    def up(self, slot: str, kind: str = "") -> None:
        """A new slot, free, on that kind of hardware."""
        self._holder[slot] = None
        self._kind[slot] = kind
        self._free.append(slot)
        self.none_since = None

    def down(self, slot: str, at: float) -> TrialId | None:
        """The slot is gone; returns who still held it."""
        self.finishing = {trial: at for trial, at in self.finishing.items() if at != slot}
        if slot in self._free:
            self._free.remove(slot)
        holder = self._holder.pop(slot, None)
        self._kind.pop(slot, None)
        self.busy -= holder is not None
        if not self._holder and self.none_since is None:
            self.none_since = at
        return holder

    def kind(self, slot: str | None) -> str:
        """What kind of hardware the slot is on; "" if that was never told."""
        return self._kind.get(slot or "", "")

    def take(self, trial: TrialId) -> str:
        """Give `trial` the slot that was freed last: its process is the warmest."""
        slot = self._free.pop()
        self._holder[slot] = trial
        self.busy += 1
        return slot

    def release(self, slot: str, *, usable: bool = True) -> None:
        """Its trial has left; `usable` is False if its process died with the trial."""
        self._holder[slot] = None
        self.busy -= 1
        if usable:
            self._free.append(slot)

    def state(self) -> dict[str, Any]:
        """Holders and the order of the free ones, as plain data."""
        return {
            "holder": self._holder,
            "kind": self._kind,
            "free": self._free,
            "busy": self.busy,
            "finishing": self.finishing,
            "none_since": self.none_since,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._holder, self._free = dict(state["holder"]), list(state["free"])
        self._kind = dict(state.get("kind", {}))  # snapshots of 0.1 have none
        self.busy, self.finishing = state["busy"], dict(state["finishing"])
        self.none_since = state["none_since"]
