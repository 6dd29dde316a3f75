"""Hyper-Tune: asynchronous halving that learns at which rung new trials should first be judged.

Li, Shen, Jiang, Zhang, Li, Liu, Zhang, Cui: "Hyper-Tune: Towards Efficient Hyper-parameter Tuning
at Scale", PVLDB 15 (2022), arXiv:2201.06834.

    r_1 < … < r_K = R   the levels: the steps of the rungs, and max_t
    bracket i           new trials that run to r_i before anybody judges them
    p_i, θ_i            how well level i ranks, and its weight for that (`trials/ranking.py`)
    w_i                 the chance of bracket i, ∝ θ_i / r_i (section 4.1): precise and cheap

Promotion is delayed (D-ASHA, section 4.2): of n trials at a rung, one of the best ⌊n/η⌋ goes on
only if fewer than ⌊n/η⌋ have gone on so far. ASHA lets everybody on who is among them at some time,
so early on, while the ranking still changes, more than a share of 1/η.

All brackets share the rungs, as in the authors' code: a trial is compared with all that have come to
its rung, wherever they began. p_i is measured on the trials that were trained to the end, each of
which has reported at every level on its way; the paper, whose trials do not, asks a surrogate fitted
to level i how it would rank them. Until there are enough of them, brackets get HyperBand's shares.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from raysweep.schedulers.asha import PromotionAsha
from raysweep.schedulers.base import Promotion
from raysweep.schedulers.brackets import hyperband_shares
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import (
    CONTINUE,
    Continue,
    Decision,
    Finish,
    Pause,
    Reason,
    RunTo,
    Stop,
)
from raysweep.trials.goal import WORST
from raysweep.trials.ranking import precision, weights
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId

ENOUGH = 10
"""Full trainings from which chances are learnt: they make 45 pairs."""
_MOST = 200
"""The newest full trainings that count, so that learning costs the same however many there are."""


class _Begun(NamedTuple):
    """Where a trial will first be judged, and the model by which that was drawn."""

    level: int
    model: str


class HyperTune(PromotionAsha):
    """ASHA with delayed promotion whose brackets are drawn by what they have been worth.

    Args:
        seed: the sweep's.
        max_t: R.
        grace_period: r_1.
        reduction_factor: η ≥ 2.
    """

    def __init__(self, seed: int, max_t: int, grace_period: int, reduction_factor: int) -> None:
        super().__init__(max_t, grace_period, reduction_factor, rule="hyper_tune")
        self._seed = seed
        self._levels = [*self._steps, max_t]
        self._begun: dict[TrialId, _Begun] = {}  # of those that nobody has judged yet
        self._curves: dict[TrialId, list[float]] = {}  # scores at the levels, of those that live
        self._full: list[list[float]] = []  # the curves of the newest full trainings
        self._seen = 0  # full trainings ever
        self._gone = [0] * len(self._rungs)  # how many went on from each rung
        self._learn()

    @classmethod
    def of(cls, setting: Setting, **options: int) -> HyperTune:
        """Made for a sweep."""
        return cls(setting.seed, **options)

    def chances(self) -> list[float]:
        """w_1 … w_K, of a sum of 1."""
        return list(self._chances)

    def grant(self, trial: TrialId, config: Config) -> int:
        """A new trial may run to the level at which its bracket begins."""
        point = Stream(self._seed, trial, "bracket").uniform()
        level = bisect_right(list(accumulate(self._chances[:-1])), point)
        self._begun[trial] = _Begun(level, self._model)
        self._curves[trial] = []
        return self._levels[level]

    def on_report(self, report: Report) -> Decision:
        """Nothing before the trial's bracket begins; then as ASHA, with delay."""
        curve, level = self._curves.get(report.trial), bisect_left(self._levels, report.step)
        here = level < len(self._levels) and self._levels[level] == report.step
        if curve is not None and here and len(curve) == level:
            curve.append(report.score)
        begun = self._begun.get(report.trial)
        if begun is not None and report.step < self._levels[begun.level]:
            return CONTINUE
        decision = super().on_report(report)
        if isinstance(decision, RunTo):
            self._gone[level] += 1
        elif isinstance(decision, Finish):
            self._ended_in_full(curve)
        if begun is None or isinstance(decision, Continue):
            return decision
        del self._begun[report.trial]
        return _by(decision, begun.model)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """As ASHA, with delay."""
        promotion = super().next_paused(more)
        if promotion is not None:
            self._gone[bisect_left(self._levels, promotion.step) - 1] += 1
        return promotion

    def _lets_on(self, index: int) -> bool:
        """Whether fewer have gone on from a rung than a share of 1/η of those that came to it."""
        return self._gone[index] < self._rungs[index].peers // self._eta

    def _ended_in_full(self, curve: list[float] | None) -> None:
        """A trial was trained to the end: one more by which to judge the levels."""
        if curve is None or len(curve) < len(self._levels) or curve[-1] == WORST:
            return
        self._full = [*self._full, list(curve)][-_MOST:]
        self._seen += 1
        self._learn()

    def _learn(self) -> None:
        """The chances of the brackets, from the full trainings so far."""
        depths = [len(self._levels) - level for level in range(len(self._levels))]
        shares = hyperband_shares(depths, self._eta)
        if self._seen >= ENOUGH:
            scores = np.array(self._full)
            thetas = weights([precision(level, scores[:, -1]) for level in scores.T])
            shares = [theta / step for theta, step in zip(thetas, self._levels, strict=True)]
        whole = sum(shares)
        self._chances = [share / whole for share in shares]
        said = " ".join(f"{chance:.2f}" for chance in self._chances)
        self._model = f"brackets v{self._seen if self._seen >= ENOUGH else 0}: {said}"

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial that ended waits no longer; what it showed at its rungs stays."""
        super().on_end(trial, outcome)
        self._begun.pop(trial, None)
        self._curves.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """ASHA's, where each trial began, and what was learnt from full trainings."""
        return {
            **super().state(),
            "begun": {trial: list(begun) for trial, begun in self._begun.items()},
            "curves": {trial: list(curve) for trial, curve in self._curves.items()},
            "full": [list(curve) for curve in self._full],
            "seen": self._seen,
            "gone": list(self._gone),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        super().load(state)
        self._begun = {trial: _Begun(*begun) for trial, begun in state["begun"].items()}
        self._curves = {trial: list(curve) for trial, curve in state["curves"].items()}
        self._full = [list(curve) for curve in state["full"]]
        self._seen, self._gone = state["seen"], list(state["gone"])
        self._learn()


def _by(decision: RunTo | Pause | Stop | Finish, model: str) -> Decision:
    """The decision, with the model by which its trial's bracket was drawn."""
    reason: Reason = decision.reason._replace(model=model)
    return decision._replace(reason=reason)
