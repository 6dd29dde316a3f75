"""What rules share that are asked every few steps and never pause anybody."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from raysweep.schedulers.base import Promotion
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, RunTo, Stop
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId


class Periodic(ABC):
    """A rule that hears every report and is asked at `first`, first + interval, and so on.

    Args:
        max_t: the step at which a trial is complete; None: when its training code ends.
        first: the first step at which a trial may be stopped.
        interval: steps between two decisions.
    """

    def __init__(self, max_t: int | None, first: int, interval: int) -> None:
        self._max_t = UNBOUNDED if max_t is None else max_t
        self._first, self._interval = first, interval

    def grant(self, trial: TrialId, config: Config) -> int:
        """A new trial may run to the first step at which it may be stopped."""
        return min(self._first, self._max_t)

    def on_report(self, report: Report) -> Decision:
        """Hear every report; decide at the granted steps."""
        self._hear(report)
        if report.step >= self._max_t:
            return Finish(Reason("max_t", self._max_t, report.score))
        beyond = report.step - self._first
        if beyond < 0 or beyond % self._interval:
            return CONTINUE
        stops, why = self._judge(report)
        return Stop(why) if stops else RunTo(min(report.step + self._interval, self._max_t), why)

    @abstractmethod
    def _hear(self, report: Report) -> None:
        """Remember what a later decision needs of this report."""

    @abstractmethod
    def _judge(self, report: Report) -> tuple[bool, Reason]:
        """Whether the trial, just heard, is to be stopped, and why or why not."""

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Nobody is ever paused."""
        return None

    @abstractmethod
    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Forget the trial's own numbers."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything remembered, as plain JSON data."""

    @abstractmethod
    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
