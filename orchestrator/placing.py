"""Which slot a trial gets, and which slots are joined or parted for those that find none.

A trial wants a slot of its size. If none is free, free slots of one device are joined to one, or a
larger one is parted. If too few are free there, the trial *reserves* the device on which enough
will be free first: what becomes free there is kept for it. A trial whose patience is over takes
whatever slot is free, so that nothing waits for ever, and no slot is kept idle for longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from raysweep.orchestrator.shares import Shares
from raysweep.orchestrator.slots import Device, Slots
from raysweep.trials.actions import Reshape
from raysweep.trials.decisions import Reason
from raysweep.trials.trial import TrialId

Left = Callable[[TrialId], int]
"""How many steps a running trial may still run before it asks."""


class Wait:
    """A trial that waits for a slot of `size`; `until` when, in the sweep's age.

    It may have reserved a `device`; slots that are being made for it are `coming`.
    """

    __slots__ = ("coming", "device", "patient", "size", "trial", "until", "why")

    def __init__(self, trial: TrialId, why: Reason, size: int, until: float) -> None:
        self.trial, self.why, self.size, self.until = trial, why, size, until
        self.device: Device | None = None
        self.coming, self.patient = False, True

    def to_json(self) -> list[Any]:
        """Everything as plain data."""
        return [
            self.trial, list(self.why), self.size, self.until,
            self.device, self.coming, self.patient,
        ]  # fmt: skip

    @classmethod
    def from_json(cls, data: list[Any]) -> Wait:
        """The one that `to_json` described."""
        trial, why, size, until, device, coming, patient = data
        wait = cls(trial, Reason(*why), size, until)
        wait.device = (device[0], device[1]) if device else None
        wait.coming, wait.patient = coming, patient
        return wait


class Served(NamedTuple):
    """A slot was found for a trial that waited."""

    trial: TrialId
    why: Reason
    slot: str


class Placing:
    """Finds slots.

    Args:
        slots: all that there are; slots that are to be joined or parted leave it.
        shares: what trials want, and their patience.
    """

    def __init__(self, slots: Slots, shares: Shares) -> None:
        self.slots, self.shares = slots, shares
        self._waits: list[Wait] = []

    def __len__(self) -> int:
        return len(self._waits)

    @property
    def due(self) -> float:
        """The sweep's age at which somebody's patience is over."""
        return min((wait.until for wait in self._waits if wait.patient), default=float("inf"))

    @property
    def room(self) -> int:
        """How many more trials of size 1 could start; what is kept for somebody does not count."""
        if self.shares.fixed:
            return self.slots.free
        kept = self._reserved()
        return sum(place.size for _, place in self.slots.open() if place.on not in kept)

    def find(self, size: int) -> str | None:
        """A free slot of just that size, kept for nobody."""
        return self._exact(size, self._reserved())

    def size(self, run_to: int, claimants: int | None = None) -> int:
        """How large a slot a trial wants that may run up to `run_to`.

        Args:
            run_to: its grant.
            claimants: how many trials share out all the room; None: new ones may come.
        """
        size = self.shares.size(run_to)
        if claimants is None:
            return size
        units = self.slots.units()
        largest = max(units.values(), default=1)
        return max(size, self.shares.survivors(claimants, units.total(), largest))

    def wait(self, trial: TrialId, why: Reason, size: int, at: float) -> None:
        """`trial` waits for a slot of `size` from now on."""
        self._waits.append(Wait(trial, why, size, at + self.shares.patience_s))

    def tire(self, at: float) -> None:
        """The patience of those who have waited long enough is over."""
        for wait in self._waits:
            if wait.patient and wait.until <= at:
                wait.patient, wait.device, wait.coming = False, None, False

    def served(self) -> Iterator[Served]:
        """Those of the waiting for whom there is a slot now, each with its slot, still free."""
        for wait in sorted(self._waits, key=lambda wait: not wait.coming):
            kept = self._reserved(wait)
            slot = self._exact(wait.size, kept)
            if slot is None and not wait.patient:
                slot = self._any(wait.size, kept)
            if slot is not None:
                self._waits.remove(wait)
                yield Served(wait.trial, wait.why, slot)

    def plan(self, at: float, left: Left) -> list[Reshape]:
        """What to join and part for those who wait; who cannot have that yet reserves a device."""
        made = []
        for wait in self._waits:
            if wait.coming or not wait.patient:
                continue
            kept, units = self._reserved(wait), self.slots.units()
            able = [on for on, there in units.items() if there >= wait.size and on not in kept]
            free = self._free_units(able)
            enough = [on for on in able if free[on] >= wait.size]
            if enough:
                on = min(enough, key=lambda on: (on != wait.device, free[on], on))
                made.append(self._reshape(on, wait.size, at))
                wait.device, wait.coming = None, True
                wait.until = at + self.shares.patience_s
            elif wait.device not in able:
                wait.device = min(
                    able, key=lambda on: (self._steps_until(on, wait.size, left), on), default=None
                )
        return made

    def spare(self, at: float) -> list[Reshape]:
        """Give back the slots of nodes on which nothing runs: nobody will come to want them."""
        used = {place.node for _, place in self.slots.held()}
        writing = set(self.slots.finishing.values())
        idle: dict[Device, list[str]] = {}
        for slot, place in self.slots.open():
            if used and place.node not in used and slot not in writing:
                idle.setdefault(place.on, []).append(slot)
        for slots in idle.values():
            for slot in slots:
                self.slots.down(slot, at)
        return [Reshape(tuple(slots), ()) for slots in idle.values()]

    def _reserved(self, wait: Wait | None = None) -> set[Device]:
        """The devices that are kept for others than `wait`."""
        return {other.device for other in self._waits if other.device and other is not wait}

    def _exact(self, size: int, kept: set[Device]) -> str | None:
        slots = (s for s, place in self.slots.open() if place.size == size and place.on not in kept)
        return next(slots, None)

    def _any(self, size: int, kept: set[Device]) -> str | None:
        """The free slot that comes nearest to `size`, from below if there is one."""
        free = [(place.size, slot) for slot, place in self.slots.open() if place.on not in kept]
        below = [entry for entry in free if entry[0] < size]
        return max(below)[1] if below else min(free)[1] if free else None

    def _reshapable(self, on: Device) -> list[tuple[int, str]]:
        """Size and name of the free slots of a device on which nothing is being written."""
        writing = set(self.slots.finishing.values())
        free = self.slots.open()
        return [(place.size, s) for s, place in free if place.on == on and s not in writing]

    def _free_units(self, devices: list[Device]) -> dict[Device, int]:
        return {on: sum(size for size, _ in self._reshapable(on)) for on in devices}

    def _reshape(self, on: Device, size: int, at: float) -> Reshape:
        """Join or part free slots of a device so that one of them is of `size`."""
        free = sorted(self._reshapable(on), reverse=True)
        small = [entry for entry in free if entry[0] < size]
        if sum(there for there, _ in small) < size:
            small = [min(entry for entry in free if entry[0] > size)]
        chosen, total = [], 0
        for there, slot in small:
            if total < size:
                chosen.append(slot)
                total += there
        for slot in chosen:
            self.slots.down(slot, at)
        self.slots.reshaping[on] += total
        return Reshape(tuple(chosen), (size,) * (total // size) + (1,) * (total % size))

    def _steps_until(self, on: Device, size: int, left: Left) -> int:
        """Steps until enough of a device is free, if all that run there leave when they must ask."""
        short = size - sum(place.size for _, place in self.slots.open() if place.on == on)
        leaving = sorted(
            (left(trial), place.size) for trial, place in self.slots.held() if place.on == on
        )
        for steps, freed in leaving:
            if short <= 0:
                return 0
            short -= freed
            if short <= 0:
                return steps
        return 1 << 60 if short > 0 else 0

    def reset(self) -> None:
        """A new driver: nobody waits."""
        self._waits.clear()

    def state(self) -> list[Any]:
        """Who waits, as plain data."""
        return [wait.to_json() for wait in self._waits]

    def load(self, state: list[Any]) -> None:
        """Take back what `state` gave."""
        self._waits = [Wait.from_json(data) for data in state]
