"""Patience: end a trial that has not improved on its best for a number of steps.

Each trial is judged by itself, as by Keras's `EarlyStopping(patience, min_delta)`; Optuna wraps the
same in `PatientPruner`. Prechelt, "Early Stopping - But When?", 1998, compares such criteria.

    e_s     exponential moving average of the scores up to step s (weight `smoothing` of the past)
    best    the last e_s that was an improvement: e_s < best and e_s ≤ best − min_delta
    stop at s  if  s − (the step of best) ≥ patience

An improvement of less than `min_delta` leaves best where it is, so that several small ones count
once they add up to it.
"""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion
from raysweep.schedulers.interpolation import smoothed
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId

_NOW, _BEST, _SINCE, _GRANTED = range(4)


class Patience:
    """Stop who has not improved for `patience` steps.

    A trial is asked only at the first step at which its patience can have run out.

    Args:
        max_t: the step at which a trial is complete; None: when its training code ends.
        grace_period: no trial is stopped before this step.
        patience: steps without an improvement after which a trial ends.
        min_delta: the least improvement, in the metric's unit.
        smoothing: weight of the past in the moving average, 0 (none) … below 1.
    """

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        patience: int = 5,
        min_delta: float = 0.0,
        smoothing: float = 0.0,
    ) -> None:
        self._max_t = UNBOUNDED if max_t is None else max_t
        self._first = min(max(grace_period, patience + 1), self._max_t)
        self._patience, self._min_delta, self._smoothing = patience, min_delta, smoothing
        self._curves: dict[TrialId, list[Any]] = {}  # trial → [e_s, best, its step, granted]

    def grant(self, trial: TrialId, config: Config) -> int:
        """A new trial may run until its first value can be old enough."""
        return self._first

    def on_report(self, report: Report) -> Decision:
        """Follow the curve; decide at the granted step."""
        curve = self._curves.setdefault(report.trial, [None, None, 0, self._first])
        if report.score != WORST:
            self._follow(curve, report)
        if report.step >= self._max_t:
            return Finish(Reason("max_t", self._max_t, report.score))
        if report.step < curve[_GRANTED]:
            return CONTINUE
        if report.score == WORST:
            return Stop(Reason("patience", report.step, WORST))
        why = Reason("patience", report.step, curve[_NOW], curve[_BEST] - self._min_delta)
        out_of_patience = curve[_SINCE] + self._patience
        if report.step >= out_of_patience:
            return Stop(why)
        curve[_GRANTED] = min(out_of_patience, self._max_t)
        return RunTo(curve[_GRANTED], why)

    def _follow(self, curve: list[Any], report: Report) -> None:
        now = curve[_NOW] = smoothed(curve[_NOW], report.score, self._smoothing)
        best = curve[_BEST]
        if best is None or (now < best and now <= best - self._min_delta):
            curve[_BEST], curve[_SINCE] = now, report.step

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Nobody is ever paused."""
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Its numbers go."""
        self._curves.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """The numbers of those that run."""
        return {"curves": self._curves}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._curves = {trial: list(curve) for trial, curve in state["curves"].items()}
