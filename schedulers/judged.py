"""What a rule with rungs judges a trial by: its last score, its best one, or a smoothed one.

A rung compares single reports, and these are noisy. `Judged` stands between the reports and the
rule and gives every report the score that the trial is judged by:

    x_s     the score of the s-th report with a finite value; lower is better
    best    min(x_1, …, x_s)
    e_s     exponential moving average with weight β of the past, bias-corrected as in Kingma & Ba,
            "Adam", ICLR 2015, section 3, so that e_1 = x_1 and the start is not pulled to 0:
            m_s = β m_(s-1) + (1 − β) x_s,  e_s = m_s / (1 − β^s)

computed as e_s = (1 − a) e_(s-1) + a x_s with a = (1 − β) / (1 − β^s), which is the same and leaves a
constant curve exactly constant, so that its ties stay ties.

A report that is missing its value, or whose value is not finite, is judged `WORST` at every setting:
it never survives a rung, whatever the trial had shown before. It changes neither best nor average,
so that a trial which recovers by its next rung is judged by its finite reports alone. Equal scores
rank by arrival at the rung, the first comes first, as without `Judged`.
"""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.interpolation import between
from raysweep.trials.decisions import Decision
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.trial import Config, Outcome, Report, TrialId

_Seen = list[float]
"""Of a trial: how many finite reports it has made, then what it is judged by, one per metric."""


class Judged:
    """A scheduler that sees another score of each report.

    Args:
        inner: the rule.
        smoothing: β, 0 … below 1; None: the best score counts.
        goal: for a rule that looks at several metrics, these, each of which is smoothed; None: the
            rule looks at the score alone.
    """

    def __init__(self, inner: Scheduler, smoothing: float | None, goal: Goal | None = None) -> None:
        self._inner, self._smoothing, self._goal = inner, smoothing, goal
        self._seen: dict[TrialId, _Seen] = {}

    def grant(self, trial: TrialId, config: Config) -> int:
        """As the rule says."""
        return self._inner.grant(trial, config)

    def on_report(self, report: Report) -> Decision:
        """As the rule decides on the score that counts."""
        goal = self._goal
        scores = (report.score,) if goal is None else goal.vector(report.metrics)
        if WORST in scores:
            return self._inner.on_report(report)
        before = self._seen.get(report.trial)
        seen = self._seen[report.trial] = self._take(before, scores)
        report = report._replace(score=seen[1])
        if goal is not None:
            judged = {
                name: -score if mode == "max" else score
                for (name, mode), score in zip(goal.metrics, seen[1:], strict=True)
            }
            report = report._replace(metrics={**report.metrics, **judged})
        return self._inner.on_report(report)

    def _take(self, before: _Seen | None, scores: tuple[float, ...]) -> _Seen:
        """What a trial is judged by after one more finite report."""
        if before is None:
            return [1, *scores]
        count, beta = before[0] + 1, self._smoothing
        if beta is None:
            return [count, *map(min, before[1:], scores)]
        share = (1 - beta) / (1 - beta**count)
        pairs = zip(before[1:], scores, strict=True)
        return [count, *(between(old, new, share) for old, new in pairs)]

    def next_paused(self, more: bool = True) -> Promotion | None:
        """As the rule says."""
        return self._inner.next_paused(more)

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Its numbers go."""
        self._seen.pop(trial, None)
        self._inner.on_end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """The rule's state, and the numbers of the trials that live."""
        return {"inner": self._inner.state(), "seen": self._seen}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._inner.load(state["inner"])
        self._seen = {trial: list(seen) for trial, seen in state["seen"].items()}
