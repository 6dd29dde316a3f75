"""DEHB's fidelities: each trial runs to the step that HyperBand's brackets have for its number.

Awad, Mallik, Hutter: "DEHB: Evolutionary Hyperband for Scalable, Robust and Efficient Hyperparameter
Optimization", IJCAI 2021, arXiv:2105.09821, section 4. Nobody is promoted: what goes on to a higher
fidelity is a config, as a new trial that starts from its first step, and the searcher `dehb`
chooses it. Both read the same timetable (`trials/timetable.py`), so neither has to tell the other.
"""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion
from raysweep.schedulers.hyperband import brackets
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, Stop
from raysweep.trials.timetable import Timetable
from raysweep.trials.trial import Config, Outcome, Report, TrialId, trial_number


class Dehb:
    """Ends each trial at the step of its place.

    Args:
        max_t: R.
        grace_period: the lowest fidelity is R // η^k for the greatest k with which it is no lower.
        reduction_factor: η ≥ 2.
    """

    def __init__(self, max_t: int, grace_period: int, reduction_factor: int) -> None:
        self._max_t = max_t
        levels = brackets(max_t, grace_period, reduction_factor)[0].steps
        self._table = Timetable(levels, reduction_factor)

    def grant(self, trial: TrialId, config: Config) -> int:
        """The step of its place; max_t for a trial that has no number."""
        number = trial_number(trial)
        return self._max_t if number is None else self._table.place(number).step

    def on_report(self, report: Report) -> Decision:
        """Nothing before that step; there it ends."""
        end = self.grant(report.trial, {})
        if report.step < end:
            return CONTINUE
        if end == self._max_t:
            return Finish(Reason("max_t", self._max_t, report.score))
        return Stop(Reason("dehb fidelity", end, report.score))

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Nobody is ever paused."""
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Nothing is remembered of a trial."""

    def state(self) -> dict[str, Any]:
        """Nothing: the timetable follows from the options."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Take back nothing."""
