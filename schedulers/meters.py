"""What a trial has spent: the running value of a metric, seconds of reference hardware, or money.

A meter is told of each new step of a trial once, however often retries repeat it, and keeps what it
needs of the trial in a dict of the trial's own: by device, or for a metric under "".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from raysweep.schedulers.speeds import Speeds
from raysweep.trials.options import is_number
from raysweep.trials.trial import Report

Spent = dict[str, float]
_HOUR_S = 3600.0
_ROUNDING = 1e-9
"""A sum of times may be so far off, relatively; a trial is at 9 s when it is at 8.999999999."""


class Meter(Protocol):
    """How much of a unit a trial has spent."""

    def charge(self, spent: Spent, report: Report) -> str:
        """Add one step to `spent`; says what is wrong if the trial cannot be metered, else ""."""
        ...

    def amount(self, spent: Spent) -> float:
        """What `spent` comes to, in the unit."""
        ...

    def state(self) -> dict[str, Any]:
        """What was learnt, as plain JSON data."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        ...


class OfMetric:
    """The greatest value so far of a metric that counts up, such as samples or tokens.

    A trial's first report must have it; later ones may lack it, or fall back after a restart.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def charge(self, spent: Spent, report: Report) -> str:
        """Take the running maximum."""
        value: Any = report.metrics.get(self._name)
        if is_number(value):
            spent[""] = max(spent.get("", 0.0), float(value))
        elif not spent:
            shown = ", ".join(sorted(report.metrics)[:20]) or "nothing"
            return f"the scheduler's unit is {self._name!r}, and its first report has {shown}"
        return ""

    def amount(self, spent: Spent) -> float:
        """The running maximum."""
        return spent.get("", 0.0)

    def state(self) -> dict[str, Any]:
        """Nothing is learnt."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""


class OfTime:
    """Training seconds of reference hardware: those on each device, times its speed.

    A speed that is learnt better counts for what was spent before, too.
    """

    def __init__(self, speeds: Mapping[str, float]) -> None:
        self._speeds = Speeds(speeds)

    def charge(self, spent: Spent, report: Report) -> str:
        """Add the step's seconds to its device's."""
        spent[report.device] = spent.get(report.device, 0.0) + report.step_s
        self._speeds.heard(report.trial, report.device, report.step_s)
        return ""

    def amount(self, spent: Spent) -> float:
        """Seconds of the reference."""
        normal_s = sum(step_s * self._speeds.of(device) for device, step_s in spent.items())
        return normal_s * (1.0 + _ROUNDING)

    def state(self) -> dict[str, Any]:
        """The speeds, with what they were learnt from."""
        return self._speeds.state()

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._speeds.load(state)


class OfMoney:
    """What the training seconds on each device cost.

    Args:
        prices: dollars an hour of one slot, by device.
        per_dollar: 1 for dollars, 100 for cents.
    """

    def __init__(self, prices: Mapping[str, float], per_dollar: int = 1) -> None:
        self._per_s = {device: per_dollar * price / _HOUR_S for device, price in prices.items()}

    def charge(self, spent: Spent, report: Report) -> str:
        """Add the step's seconds to its device's."""
        if report.device not in self._per_s:
            return (
                f"a slot on {report.device!r} has no price in cluster.prices, which has "
                f"{', '.join(map(repr, self._per_s))}"
            )
        spent[report.device] = spent.get(report.device, 0.0) + report.step_s
        return ""

    def amount(self, spent: Spent) -> float:
        """Dollars or cents."""
        cost = sum(step_s * self._per_s[device] for device, step_s in spent.items())
        return cost * (1.0 + _ROUNDING)

    def state(self) -> dict[str, Any]:
        """Nothing is learnt."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""
