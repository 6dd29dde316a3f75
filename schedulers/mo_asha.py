"""MO-ASHA: asynchronous successive halving in several objectives.

Schmucker, Donini, Zafar, Salinas, Archambeau: "Multi-objective Asynchronous Successive Halving",
2021, arXiv:2106.12639: ASHA (`asha.py`) in which "among the best ⌊n/η⌋" is decided by
non-dominated sorting and ε-nets (`pareto_rung.py`), and not by one score. In its `stopping` form a
trial goes on at once if it is among the best max(1, ⌊n/η⌋) so far, and is stopped otherwise.

A trial with any objective that is missing or not finite never passes a rung.
"""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion
from raysweep.schedulers.ladder import Ladder
from raysweep.schedulers.pareto_rung import ParetoRung
from raysweep.schedulers.rungs import Standing
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import Decision, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, TrialId


class MoAsha(Ladder):
    """ASHA for goals of two metrics or more.

    Args:
        setting: its goal has the metrics, which all count alike.
        max_t, grace_period, reduction_factor: as of `Ladder`.
        form: "promotion" pauses whom it cannot promote yet; "stopping" ends it.
    """

    def __init__(
        self,
        setting: Setting,
        max_t: int | None = None,
        grace_period: int = 1,
        reduction_factor: int = 3,
        form: str = "promotion",
    ) -> None:
        super().__init__(max_t, grace_period, reduction_factor)
        goal = setting.goal
        assert goal is not None, "the catalogue asks for it"
        self._goal, self._pauses = goal, form == "promotion"
        count, least = len(goal.metrics), 0 if self._pauses else 1
        self._rungs = [ParetoRung(step, count, reduction_factor, least) for step in self._steps]
        self._waiting: list[dict[TrialId, float]] = [{} for _ in self._rungs]  # trial → score
        self._nobody = True  # is promotable, until one more trial comes to a rung

    def _at_rung(self, index: int, report: Report) -> Decision:
        rung, self._nobody = self._rungs[index], False
        scores = self._goal.vector(report.metrics)
        rung.record(report.trial, scores)
        standing = rung.newest()
        score = WORST if WORST in scores else scores[0]
        why = self._reason("mo_asha", index, score, standing)
        if score != WORST and standing.rank <= standing.keep:
            return RunTo(self._above(index), why)
        if score == WORST or not self._pauses:
            return Stop(why)
        self._waiting[index][report.trial] = score
        return Pause(why)

    def _reason(self, rule: str, index: int, score: float, standing: Standing) -> Reason:
        return Reason(rule, self._steps[index], score, None, standing.rank, standing.peers)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """The best promotable trial of the highest rung that has one."""
        if self._nobody:
            return None
        for index in reversed(range(len(self._rungs))):
            waiting = self._waiting[index]
            found = self._rungs[index].best_of(waiting) if waiting else None
            if found is not None:
                trial, standing = found
                why = self._reason("mo_asha promotion", index, waiting.pop(trial), standing)
                return Promotion(trial, self._above(index), why)
        self._nobody = True
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial that ended waits no longer; what it showed at its rungs stays."""
        for waiting in self._waiting:
            waiting.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """Who is compared at each rung with which scores, and who waits there."""
        return {"rungs": [rung.state() for rung in self._rungs], "waiting": self._waiting}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        for rung, saved in zip(self._rungs, state["rungs"], strict=True):
            rung.load(saved)
        self._waiting = [dict(waiting) for waiting in state["waiting"]]
        self._nobody = False
