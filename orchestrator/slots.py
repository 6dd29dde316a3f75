"""Which slots there are, where and how large they are, and who holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from raysweep.trials.trial import TrialId

Device = tuple[str, str]
"""Node and device; slots of one device can be joined."""


class Place(NamedTuple):
    """Where a slot is, how many of the sweep's smallest slots it is as large as, and on which kind of
    hardware; "" if that was never told."""

    node: str = ""
    device: str = ""
    size: int = 1
    kind: str = ""

    @property
    def on(self) -> Device:
        """The device that it shares with others."""
        return self.node, self.device


class Slots:
    """The slots that the pool has announced, each free or held by one trial."""

    def __init__(self) -> None:
        self.reset(0.0)

    def reset(self, at: float) -> None:
        """There are no slots any more, since the sweep's age `at`."""
        self._holder: dict[str, TrialId | None] = {}
        self._place: dict[str, Place] = {}
        self._free: list[str] = []
        self._aside: dict[str, None] = {}  # free slots of devices that are set aside
        self._devices_aside: set[Device] = set()
        self.busy = self.busy_units = 0
        self.reshaping: Counter[Device] = Counter()
        """Units of each device whose slots are being joined or parted."""
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

    def open(self) -> Iterator[tuple[str, Place]]:
        """The free slots, the one that was freed last first: its process is the warmest."""
        return ((slot, self._place[slot]) for slot in reversed(self._free))

    def held(self) -> Iterator[tuple[TrialId, Place]]:
        """Who runs where."""
        return (
            (trial, self._place[slot]) for slot, trial in self._holder.items() if trial is not None
        )

    def units(self) -> Counter[Device]:
        """Smallest slots by device, all that are there or are being made."""
        units = self.reshaping.copy()
        for place in self._place.values():
            units[place.on] += place.size
        return units

    def up(self, slot: str, place: Place = Place()) -> None:  # noqa: B008 - immutable
        """A new slot, free; or one whose next process has come up elsewhere on its node."""
        if slot in self._holder:
            self._place[slot] = place
            if slot in self._free or slot in self._aside:
                self._aside.pop(slot, None)
                self._free = [other for other in self._free if other != slot]
                self._offer(slot)
            return
        self._holder[slot], self._place[slot] = None, place
        self._offer(slot)
        if self.reshaping:
            self.reshaping[place.on] -= place.size
            self.reshaping = +self.reshaping
        self.none_since = None

    def down(self, slot: str, at: float) -> TrialId | None:
        """The slot is gone; returns who still held it."""
        self.finishing = {trial: at for trial, at in self.finishing.items() if at != slot}
        self._aside.pop(slot, None)
        if slot in self._free:
            self._free.remove(slot)
        holder = self._holder.pop(slot, None)
        place = self._place.pop(slot, None)
        if holder is not None and place is not None:
            self._leave(place)
        if not self._holder and self.none_since is None:
            self.none_since = at
        return holder

    def kind(self, slot: str | None) -> str:
        """What kind of hardware the slot is on; "" if that was never told."""
        place = self._place.get(slot or "")
        return place.kind if place else ""

    def take(self, trial: TrialId, slot: str) -> None:
        """Give `trial` the free `slot`."""
        if self._free[-1] == slot:
            self._free.pop()
        else:
            self._free.remove(slot)
        self._holder[slot] = trial
        self.busy += 1
        self.busy_units += self._place[slot].size

    def release(self, slot: str, *, usable: bool = True) -> None:
        """Its trial has left; `usable` is False if its process died with the trial."""
        self._holder[slot] = None
        self._leave(self._place[slot])
        if usable:
            self._offer(slot)

    def device(self, slot: str) -> Device:
        """Node and device of a slot."""
        return self._place[slot].on

    def set_aside(self, device: Device) -> None:
        """Start no trial on this device for now; those that run there go on."""
        self._devices_aside.add(device)
        for slot in [slot for slot in self._free if self._place[slot].on == device]:
            self._free.remove(slot)
            self._aside[slot] = None

    def bring_back(self, device: Device) -> None:
        """Use a device again that was set aside."""
        self._devices_aside.discard(device)
        for slot in [slot for slot in self._aside if self._place[slot].on == device]:
            del self._aside[slot]
            self._free.append(slot)

    def _offer(self, slot: str) -> None:
        if self._place[slot].on in self._devices_aside:
            self._aside[slot] = None
        else:
            self._free.append(slot)

    def _leave(self, place: Place) -> None:
        self.busy -= 1
        self.busy_units -= place.size

    def state(self) -> dict[str, Any]:
        """Holders, places and the order of the free ones, as plain data."""
        return {
            "holder": self._holder,
            "place": self._place,
            "reshaping": [[*on, units] for on, units in self.reshaping.items()],
            "free": self._free,
            "aside": list(self._aside),
            "devices_aside": sorted(map(list, self._devices_aside)),
            "busy": self.busy,
            "finishing": self.finishing,
            "none_since": self.none_since,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._holder, self._free = dict(state["holder"]), list(state["free"])
        places = state.get("place", {})  # a snapshot of 0.1 has none
        self._place = {slot: Place(*places.get(slot, ())) for slot in self._holder}
        reshaping = state.get("reshaping", [])
        self.reshaping = Counter({(node, device): units for node, device, units in reshaping})
        self._aside = dict.fromkeys(state.get("aside", ()))
        self._devices_aside = {(node, on) for node, on in state.get("devices_aside", ())}
        self.busy, self.finishing = state["busy"], dict(state["finishing"])
        self.busy_units = sum(place.size for _, place in self.held())
        self.none_since = state["none_since"]
