"""Median stopping: end a trial whose best so far is worse than the others' median average.

Golovin, Solnik, Moitra, Kochanski, Karro, Sculley: "Google Vizier: A Service for Black-Box
Optimization", KDD 2017, section 3.2.1: stop a pending trial at step s if its best value by s is
strictly worse than the median of the running averages, over steps 1…s, of the other trials. The
paper averages over completed trials; here every trial that has reached s counts, so that the rule
can speak before the first one completes. A report at a comparison that has no finite value stops
its trial whatever came before.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from sortedcontainers import SortedList

from raysweep.schedulers.base import Promotion
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import UNBOUNDED, Outcome, Report, TrialId


class MedianStopping:
    """The median rule, asked every `interval` steps.

    Args:
        max_t: the step at which a trial is complete; None: when its training code ends.
        grace_period: no trial is stopped before this step.
        interval: steps between two comparisons; memory grows with (max_t / interval) × trials.
        min_trials: how many other trials must have reached the step before it compares.
    """

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        interval: int = 1,
        min_trials: int = 3,
    ) -> None:
        self._max_t = UNBOUNDED if max_t is None else max_t
        self._grace_period, self._interval, self._min_trials = grace_period, interval, min_trials
        self._means: dict[int, SortedList] = {}  # step → running means of all that reached it
        self._running: dict[TrialId, list[float]] = {}  # trial → [sum, count, best]

    def grant(self, trial: TrialId) -> int:
        """A new trial may run through its grace period."""
        return min(self._grace_period, self._max_t)

    def on_report(self, report: Report) -> Decision:
        """Average every report; compare at the granted steps."""
        seen = self._running.setdefault(report.trial, [0.0, 0.0, WORST])
        if report.score != WORST:
            seen[0] += report.score
            seen[1] += 1
            seen[2] = min(seen[2], report.score)
        if report.step >= self._max_t:
            return Finish(Reason("max_t", self._max_t, report.score))
        beyond = report.step - self._grace_period
        if beyond < 0 or beyond % self._interval:
            return CONTINUE
        return self._compare(report, seen)

    def _compare(self, report: Report, seen: list[float]) -> Decision:
        others = self._means.setdefault(report.step, SortedList())
        peers, cutoff = len(others), self._median(others)
        rank = others.bisect_left(seen[2]) + 1
        if seen[1]:
            others.add(seen[0] / seen[1])
        why = Reason("median", report.step, seen[2], cutoff, rank, peers + 1)
        enough = peers >= self._min_trials and cutoff is not None
        if report.score == WORST or (enough and cutoff is not None and seen[2] > cutoff):
            return Stop(why)
        return RunTo(min(report.step + self._interval, self._max_t), why)

    @staticmethod
    def _median(means: SortedList) -> float | None:
        if not means:
            return None
        middle = len(means) // 2
        return float(means[middle] if len(means) % 2 else fmean(means[middle - 1 : middle + 1]))

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Nobody is ever paused."""
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Its averages stay; its own sums go."""
        self._running.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """The averages at each step and the sums of those that run."""
        means = {str(step): list(values) for step, values in self._means.items()}
        return {"means": means, "running": self._running}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._means = {int(step): SortedList(values) for step, values in state["means"].items()}
        self._running = {trial: list(sums) for trial, sums in state["running"].items()}
