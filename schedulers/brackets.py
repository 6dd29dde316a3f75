"""Several ladders side by side, each with a later first rung: asynchronous HyperBand.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, section 3.2: where
nobody knows how early a trial may be judged, trials are spread over brackets. Ray Tune spreads
them with probabilities in proportion to exp(number of rungs), and so does this; a trial's bracket
depends on its id alone, so it needs no memory and a resume finds it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.rungs import rung_steps
from raysweep.trials.decisions import Decision
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, TrialId


class Brackets:
    """`brackets` schedulers of one kind, the s-th with grace_period · η^s (at most max_t).

    Args:
        make: builds one scheduler from max_t, grace_period, reduction_factor.
        max_t, grace_period, reduction_factor: as of one ladder.
        brackets: how many ladders.
    """

    def __init__(
        self,
        make: Callable[[int, int, int], Scheduler],
        max_t: int,
        grace_period: int,
        reduction_factor: int,
        brackets: int,
    ) -> None:
        first = [min(grace_period * reduction_factor**s, max_t) for s in range(brackets)]
        self._ladders = [make(max_t, grace, reduction_factor) for grace in first]
        sizes = [len(rung_steps(grace, max_t, reduction_factor)) for grace in first]
        self._weights = [math.exp(size - sizes[0]) for size in sizes]

    def _of(self, trial: TrialId) -> Scheduler:
        point = Stream(0, trial, "bracket").uniform(0.0, sum(self._weights))
        for ladder, weight in zip(self._ladders, self._weights, strict=True):
            point -= weight
            if point < 0:
                return ladder
        return self._ladders[0]

    def grant(self, trial: TrialId) -> int:
        """The first rung of the trial's own ladder."""
        return self._of(trial).grant(trial)

    def on_report(self, report: Report) -> Decision:
        """As the trial's own ladder decides."""
        return self._of(report.trial).on_report(report)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """The first ladder's, in the order of their grace periods, that has one."""
        for ladder in self._ladders:
            if promotion := ladder.next_paused(more):
                return promotion
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Told to the trial's own ladder."""
        self._of(trial).on_end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """The ladders' states."""
        return {"ladders": [ladder.state() for ladder in self._ladders]}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        for ladder, saved in zip(self._ladders, state["ladders"], strict=True):
            ladder.load(saved)
