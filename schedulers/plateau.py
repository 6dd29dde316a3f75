"""Plateau stopping: end a trial whose smoothed curve has become flat.

Each trial is judged by itself, as Keras's `EarlyStopping` and Ray Tune's `TrialPlateauStopper` do
it. Ray's asks whether the standard deviation of the last values is small, which a curve that
climbs in the wrong direction passes; here it is the improvement over a window that must not be
small, so that what gets worse ends as well:

    e_s   exponential moving average of the scores up to step s (weight `smoothing` of the past)
    stop at s  if  e_(s − window) − e_s ≤ tolerance
"""

from __future__ import annotations

from collections import deque
from typing import Any

from raysweep.schedulers.interpolation import smoothed
from raysweep.schedulers.periodic import Periodic
from raysweep.trials.decisions import Reason
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, TrialId


class Plateau(Periodic):
    """Stop whose curve improves no longer.

    Args:
        max_t: the step at which a trial is complete; None: when its training code ends.
        grace_period: no trial is stopped before this step, nor before a whole window is behind it.
        interval: steps between two decisions.
        window: steps over which a curve must improve; so many numbers are kept of a running trial.
        tolerance: an improvement no larger than this, in the metric's unit, is none.
        smoothing: weight of the past in the moving average, 0 (none) … below 1.
    """

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        interval: int = 1,
        window: int = 4,
        tolerance: float = 0.0,
        smoothing: float = 0.5,
    ) -> None:
        super().__init__(max_t, max(grace_period, window + 1), interval)
        self._window, self._tolerance, self._smoothing = window, tolerance, smoothing
        self._curves: dict[TrialId, deque[float]] = {}  # trial → its last window + 1 averages

    def _hear(self, report: Report) -> None:
        """Lengthen the curve; what has no value repeats the one before, if there is one."""
        curve = self._curves.setdefault(report.trial, self._curve())
        before = curve[-1] if curve else None
        if report.score != WORST:
            curve.append(smoothed(before, report.score, self._smoothing))
        elif before is not None:
            curve.append(before)

    def _curve(self, values: tuple[float, ...] = ()) -> deque[float]:
        return deque(values, maxlen=self._window + 1)

    def _judge(self, report: Report) -> tuple[bool, Reason]:
        curve = self._curves[report.trial]
        if report.score == WORST:
            return True, Reason("plateau", report.step, WORST)
        if len(curve) <= self._window:  # its first values were missing
            return False, Reason("plateau", report.step, curve[-1])
        needed = curve[0] - self._tolerance
        return curve[-1] >= needed, Reason("plateau", report.step, curve[-1], needed)

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Its curve goes."""
        self._curves.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """The curves of those that run."""
        return {"curves": {trial: list(curve) for trial, curve in self._curves.items()}}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._curves = {trial: self._curve(tuple(c)) for trial, c in state["curves"].items()}
