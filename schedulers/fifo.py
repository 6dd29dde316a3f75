"""First in, first out: every trial runs to its end."""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId


class Fifo:
    """Stop nobody.

    Args:
        max_t: the step at which a trial is complete; None: when its training code ends.
    """

    def __init__(self, max_t: int | None = None) -> None:
        self._max_t = UNBOUNDED if max_t is None else max_t

    def grant(self, trial: TrialId, config: Config) -> int:
        """All the way."""
        return self._max_t

    def on_report(self, report: Report) -> Decision:
        """Finish at max_t."""
        if report.step < self._max_t:
            return CONTINUE
        return Finish(Reason("max_t", self._max_t, report.score))

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Nobody is ever paused."""
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Nothing to forget."""

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""
