"""Notices a device on which every trial fails, while the same failure is not met anywhere else."""

from __future__ import annotations

from typing import Any, NamedTuple

from raysweep.orchestrator.slots import Device
from raysweep.trials.actions import Retry

_ALIKE = 3
"""So many failures alike in a row, each before the trial got on, condemn a device."""
_FIRST_S, _LONGEST_S = 60.0, 3600.0
"""How long a device is set aside: doubled each time, up to an hour."""


class Streak(NamedTuple):
    """Failures alike in a row on one device, with what it takes to try their trials again."""

    kind: str
    trials: tuple[Retry, ...]


class BadDevices:
    """Counts failures by device.

    A device is set aside after `_ALIKE` trials in a row have failed alike on it at once, if another
    device has shown that trials can get on there and the failure was not met there.
    """

    def __init__(self) -> None:
        self.opened()

    def opened(self) -> None:
        """A new driver: every device gets another chance."""
        self._streaks: dict[Device, Streak] = {}
        self._good: set[Device] = set()
        self._met: dict[str, set[Device]] = {}
        self._aside: dict[Device, float] = {}
        self._times: dict[Device, int] = {}

    def works(self, device: Device) -> None:
        """A trial has got on there: it reported a step, or ended well."""
        self._good.add(device)
        self._streaks.pop(device, None)

    def failed(self, device: Device, kind: str, trial: Retry | None) -> tuple[Retry, ...]:
        """A trial failed there for good before it got on in this attempt.

        Args:
            device: node and device.
            kind: as of `suspicion.kind_of`.
            trial: to try it again; None if that cannot be done.

        Returns:
            The trials to try again elsewhere if the device is to be set aside; else none.
        """
        self._met.setdefault(kind, set()).add(device)
        streak = self._streaks.get(device)
        before = streak.trials if streak is not None and streak.kind == kind else ()
        trials = (*before, *([trial] if trial else []))
        self._streaks[device] = Streak(kind, trials)
        elsewhere = self._good - {device}
        if len(trials) < _ALIKE or not elsewhere or self._met[kind] != {device}:
            return ()
        del self._streaks[device]
        self._good.discard(device)
        return trials

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
            "streaks": [[*on, each.kind, list(each.trials)] for on, each in self._streaks.items()],
            "good": sorted(map(list, self._good)),
            "met": {kind: sorted(map(list, devices)) for kind, devices in self._met.items()},
            "aside": [[*device, until] for device, until in self._aside.items()],
            "times": [[*device, times] for device, times in self._times.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._streaks = {
            (node, device): Streak(kind, tuple(Retry(*trial) for trial in trials))
            for node, device, kind, trials in state["streaks"]
        }
        self._good = {(node, device) for node, device in state["good"]}
        self._met = {
            kind: {(node, device) for node, device in devices}
            for kind, devices in state["met"].items()
        }
        self._aside = {(node, device): until for node, device, until in state["aside"]}
        self._times = {(node, device): times for node, device, times in state["times"]}
