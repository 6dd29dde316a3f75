"""PASHA: ASHA whose longest trials are only as long as it takes to rank them.

Bohdal, Balles, Wistuba, Ermis, Archambeau, Zappella: "PASHA: Efficient HPO and NAS with Progressive
Resource Allocation", ICLR 2023, arXiv:2207.06940, Algorithm 1:

    r, η   grace period and reduction factor, as of ASHA
    K      the highest rung that is open, at first the one at rη; nobody runs beyond it
    ε      how far apart two scores are that noise could have swapped (`soft_ranking.py`)

Whenever a trial comes to rung K, the trials there are ranked by what they showed at K and by what
they showed at K − 1. While the two rankings agree up to ε, longer training would tell nothing new;
once they differ, K becomes K + 1. R, the step at which a trial is complete, stays the ceiling.

The paper compares curves epoch by epoch. Here at most eight steps between two rungs are kept of a
curve (`rungs.waypoints`), so that what is remembered of a trial grows with its rungs and not with its
steps.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from raysweep.schedulers.asha import PromotionAsha
from raysweep.schedulers.rungs import waypoints
from raysweep.schedulers.soft_ranking import SoftRanking, points
from raysweep.trials.decisions import Decision, Pause
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, TrialId


class Pasha(PromotionAsha):
    """ASHA with promotion below a highest rung that rises when rankings change.

    Args:
        max_t: R, beyond which no trial runs.
        grace_period: r, the first rung.
        reduction_factor: η ≥ 2.
    """

    def __init__(self, max_t: int, grace_period: int = 1, reduction_factor: int = 3) -> None:
        super().__init__(max_t, grace_period, reduction_factor, rule="pasha")
        self._open = min(1, len(self._rungs))
        self._ranking = SoftRanking()
        self._curves: dict[TrialId, dict[int, float]] = {}  # while a rung is closed

    @property
    def _limited(self) -> bool:
        return self._open < len(self._rungs)

    def on_report(self, report: Report) -> Decision:
        """Remember the curve, then decide as ASHA does below the highest open rung."""
        if self._limited and report.score != WORST and self._kept(report.step):
            self._curves.setdefault(report.trial, {})[report.step] = report.score
        return super().on_report(report)

    def _kept(self, step: int) -> bool:
        """Whether `step` is one of those at which curves are compared; each rung's is."""
        index = bisect_left(self._steps, step)
        if index == len(self._steps):
            return False
        low, high = self._steps[index - 1] if index else 0, self._steps[index]
        return step in waypoints(low, high)

    def _at_rung(self, index: int, report: Report) -> Decision:
        if self._limited and index == self._open and report.score != WORST:
            self._rank(report)
        decision = super()._at_rung(index, report)
        if isinstance(decision, Pause) and index >= self._open:
            return Pause(decision.reason._replace(rule="pasha limit"))
        return decision

    def _lets_on(self, index: int) -> bool:
        """Nobody goes on from the highest open rung."""
        return index < self._open

    def _rank(self, report: Report) -> None:
        """Enter a trial at the highest open rung; open the next one if the rankings differ."""
        step, below = self._steps[self._open], self._steps[self._open - 1]
        curve = dict(self._curves[report.trial])
        if self._ranking.enter(report.trial, curve, step, below):
            return
        self._open += 1
        self._ranking.clear()
        if not self._limited:
            self._curves.clear()

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial that ended waits no longer; what it showed at its rungs stays."""
        super().on_end(trial, outcome)
        self._curves.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """ASHA's, the highest open rung, the ranking there and the curves of those that live."""
        return {
            **super().state(),
            "open": self._open,
            "ranking": self._ranking.state(),
            "curves": {trial: points(curve) for trial, curve in self._curves.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        super().load(state)
        self._open = state["open"]
        self._ranking.load(state["ranking"])
        self._curves = {trial: dict(curve) for trial, curve in state["curves"].items()}
