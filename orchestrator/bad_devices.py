"""Notices a device on which every trial fails, while the same failure is not met on others."""

from __future__ import annotations

from typing import Any, NamedTuple

from raysweep.orchestrator.slots import Device
from raysweep.trials.actions import Retry

_ALIKE = 3
"""So many failures alike in a row, each before the trial got on, condemn a device."""
_FIRST_S, _LONGEST_S = 60.0, 3600.0
"""How long a device is set aside: doubled each time, up to an hour."""


class Streak(NamedTuple):
    """Failures alike in a row on one device since `since`, with what it takes to retry their trials."""

    kind: str
    since: float
    trials: tuple[Retry, ...]


class BadDevices:
    """Counts failures by device.

    A device is set aside after `_ALIKE` trials in a row have failed alike on it at once, if others
    are *sound* and have not met that failure: a trial has got on there, or has run there since before
    the first of these failures. Where the failure has been met on several devices, as when a node goes
    bad, those that are sound must be on other nodes, or outnumber them; a bug is met everywhere.
    """

    def __init__(self) -> None:
        self.opened()

    def opened(self) -> None:
        """A new driver: every device gets another chance."""
        self._streaks: dict[Device, Streak] = {}
        self._good: set[Device] = set()
        self._begun: dict[Device, float] = {}  # the first attempt there since the last failure
        self._met: dict[str, set[Device]] = {}
        self._aside: dict[Device, float] = {}
        self._times: dict[Device, int] = {}

    def began(self, device: Device, at: float) -> None:
        """An attempt begins there."""
        self._begun.setdefault(device, at)

    def works(self, device: Device) -> None:
        """A trial has got on there: it reported a step, or ended well."""
        self._good.add(device)
        self._streaks.pop(device, None)

    def failed(
        self, device: Device, kind: str, trial: Retry | None, at: float, there: set[Device]
    ) -> tuple[Retry, ...]:
        """A trial failed there for good before it got on in this attempt.

        Args:
            device: node and device.
            kind: as of `suspicion.kind_of`.
            trial: to try it again; None if that cannot be done.
            at: the sweep's age.
            there: all devices that have slots.

        Returns:
            The trials to try again elsewhere if the device is to be set aside; else none.
        """
        self._begun.pop(device, None)
        self._met.setdefault(kind, set()).add(device)
        streak = self._streaks.get(device)
        if streak is None or streak.kind != kind:
            streak = Streak(kind, at, ())
        trials = (*streak.trials, *([trial] if trial else []))
        streak = self._streaks[device] = streak._replace(trials=trials)
        if len(trials) < _ALIKE or not self._others_are_sound(device, streak, there):
            return ()
        del self._streaks[device]
        self._good.discard(device)
        return trials

    def _others_are_sound(self, device: Device, streak: Streak, there: set[Device]) -> bool:
        met = self._met[streak.kind]
        running = {on for on, begun in self._begun.items() if begun < streak.since}
        sound = ((self._good | running) & there) - met - self._aside.keys()
        elsewhere = any(node != device[0] for node, _ in sound)
        one_node = all(node == device[0] for node, _ in met)
        return len(sound) >= len(met) or (elsewhere and one_node)

    def set_aside(self, device: Device, at: float) -> float:
        """Use the device no more; the sweep's age until which."""
        times = self._times[device] = self._times.get(device, 0) + 1
        until = self._aside[device] = at + min(_LONGEST_S, _FIRST_S * 2.0 ** (times - 1))
        return until

    @property
    def due(self) -> float:
        """The sweep's age at which the next device gets another chance."""
        return min(self._aside.values(), default=float("inf"))

    def back(self, at: float) -> list[Device]:
        """The devices whose time is over by `at`; they may be used again."""
        found = [device for device, until in self._aside.items() if until <= at]
        for device in found:
            del self._aside[device]
            for devices in self._met.values():
                devices.discard(device)
        return found

    def state(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "streaks": [[*on, *each[:2], list(each.trials)] for on, each in self._streaks.items()],
            "begun": [[*device, at] for device, at in self._begun.items()],
            "good": sorted(map(list, self._good)),
            "met": {kind: sorted(map(list, devices)) for kind, devices in self._met.items()},
            "aside": [[*device, until] for device, until in self._aside.items()],
            "times": [[*device, times] for device, times in self._times.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._streaks = {
            (node, device): Streak(kind, since, tuple(Retry(*trial) for trial in trials))
            for node, device, kind, since, trials in state["streaks"]
        }
        self._begun = {(node, device): at for node, device, at in state.get("begun", ())}
        self._good = {(node, device) for node, device in state["good"]}
        self._met = {
            kind: {(node, device) for node, device in devices}
            for kind, devices in state["met"].items()
        }
        self._aside = {(node, device): until for node, device, until in state["aside"]}
        self._times = {(node, device): times for node, device, times in state["times"]}
