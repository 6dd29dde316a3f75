"""Percentile stopping: end a trial whose best so far is worse than a percentile of the others.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.2,
whose median rule compares with the 50th percentile of the others' running averages; Optuna's
`PercentilePruner` compares with any percentile of the others' best values so far.

A *percentile* counts from the best: at 25, about the best quarter goes on, whichever way the
metric is better. Every other trial that has come as far counts, ended or not. A report at a
comparison that has no finite value stops its trial whatever came before.
"""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.interpolation import percentile_of
from raysweep.schedulers.ordered import Ordered
from raysweep.schedulers.periodic import Periodic
from raysweep.trials.decisions import Reason
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, TrialId


class PercentileStopping(Periodic):
    """The percentile rule, asked every `interval` steps.

    Args:
        max_t: the step at which a trial is complete; None: when its training code ends.
        grace_period: no trial is stopped before this step.
        interval: steps between two comparisons; memory grows with (max_t / interval) × trials.
        min_trials: how many other trials must have reached the step before it compares.
        percentile: 0 … 100; whoever is worse than it ends.
        against: the others' "bests" or their running "averages".
    """

    _rule = "percentile"

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        interval: int = 1,
        min_trials: int = 3,
        percentile: float = 25.0,
        against: str = "bests",
    ) -> None:
        super().__init__(max_t, grace_period, interval)
        self._min_trials, self._percentile = min_trials, percentile
        self._averages = against == "averages"
        self._shown: dict[int, Ordered] = {}  # step → averages or bests of all that reached it
        self._running: dict[TrialId, list[float]] = {}  # trial → [sum, count, best]

    def _hear(self, report: Report) -> None:
        seen = self._running.setdefault(report.trial, [0.0, 0.0, WORST])
        if report.score != WORST:
            seen[0] += report.score
            seen[1] += 1
            seen[2] = min(seen[2], report.score)

    def _judge(self, report: Report) -> tuple[bool, Reason]:
        total, count, best = self._running[report.trial]
        others = self._shown.get(report.step)
        if others is None:
            others = self._shown[report.step] = Ordered()
        peers, cutoff = len(others), percentile_of(others, self._percentile)
        rank = others.place(best) + 1
        if count:
            others.add(total / count if self._averages else best)
        enough = peers >= self._min_trials and cutoff is not None
        worse = enough and cutoff is not None and best > cutoff
        why = Reason(self._rule, report.step, best, cutoff, rank, peers + 1)
        return report.score == WORST or worse, why

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """What it showed at comparisons stays; its own sums go."""
        self._running.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """What was shown at each step and the sums of those that run."""
        # the name is that of the first release, whose sweeps can be resumed
        means = {str(step): list(values) for step, values in self._shown.items()}
        return {"means": means, "running": self._running}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._shown = {int(step): Ordered(values) for step, values in state["means"].items()}
        self._running = {trial: list(sums) for trial, sums in state["running"].items()}
