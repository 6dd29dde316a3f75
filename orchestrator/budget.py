"""What a sweep may spend, and what it has spent."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

_ROUNDING_S = 1e-6
"""A deadline computed from a rate, and the sum at that deadline, may differ by this much."""


class Budget(NamedTuple):
    """The limits of a sweep; None: no limit.

    `wall_time_s` counts time during which a driver was at work; `gpu_hours` counts the GPU
    fraction of a trial's slot for as long as the trial holds it.
    """

    trials: int | None = None
    steps: int | None = None
    wall_time_s: float | None = None
    gpu_hours: float | None = None


class Spend:
    """What has been spent so far (trials are counted where they are issued: `Waiting`).

    Args:
        budget: the limits.
        gpu: the GPU fraction of the smallest slot.
    """

    def __init__(self, budget: Budget, gpu: float) -> None:
        self.budget = budget
        self.steps = 0
        self.at = 0.0
        self.gpu_s = 0.0
        self._gpu = gpu

    def adopt(self, budget: Budget, gpu: float) -> None:
        """Go by other limits, and another GPU fraction, from now on."""
        self.budget, self._gpu = budget, gpu

    def pass_time(self, at: float, busy: int) -> None:
        """Charge the time since the last event to slots as large as `busy` smallest ones."""
        if at > self.at:
            self.gpu_s += (at - self.at) * busy * self._gpu
            self.at = at

    def exhausted(self) -> str | None:
        """The limit that ends the sweep now, in words; the number of trials is none of them."""
        budget = self.budget
        if budget.steps is not None and self.steps >= budget.steps:
            return f"the budget of {budget.steps:,} steps is used up"
        if budget.wall_time_s is not None and self.at >= budget.wall_time_s:
            return f"the wall-time budget of {budget.wall_time_s:g} s is used up"
        if budget.gpu_hours is not None and self.gpu_s >= budget.gpu_hours * 3600 - _ROUNDING_S:
            return f"the budget of {budget.gpu_hours:g} GPU-hours is used up"
        return None

    def deadline(self, busy: int) -> float:
        """The sweep's age at which a limit in time is reached if so much stays busy."""
        deadline = math.inf
        if self.budget.wall_time_s is not None:
            deadline = self.budget.wall_time_s
        if self.budget.gpu_hours is not None and busy and self._gpu:
            left_s = self.budget.gpu_hours * 3600 - self.gpu_s
            deadline = min(deadline, self.at + left_s / (busy * self._gpu))
        return deadline

    def state(self) -> dict[str, Any]:
        """The counters as plain data."""
        return {"steps": self.steps, "at": self.at, "gpu_s": self.gpu_s}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.steps, self.at, self.gpu_s = state["steps"], state["at"], state["gpu_s"]
