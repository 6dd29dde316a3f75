"""Tree-structured Parzen estimators over all parameters together; and `bohb`, on partial results.

Notation: n results; l is the density of the best γ(n) of them, g that of all others. A proposal is
the one among draws from l for which l/g is greatest (Bergstra et al., "Algorithms for
Hyper-Parameter Optimization", NeurIPS 2011; multivariate kernels as in Falkner, Klein & Hutter,
"BOHB", ICML 2018; choices that matter: Watanabe, arXiv 2304.11127).

Trials without a result count as bad, so that workers spread (constant liar); infeasible ones do
too. With several metrics the best are the first fronts, and of the last one that does not fit, the
least crowded (Ozaki et al., "Multiobjective tree-structured Parzen estimator", JAIR 2022, with
crowding for their hypervolume).

What the user believes is one more component of l, of weight β/n against all others together, and
the first trials are drawn from it (after Hvarfner et al., "πBO", arXiv 2204.11051, where it is a
factor; a component leaves the rest of l as it is where the belief is wrong).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.belief import Belief
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.history import Fate, Floats, Ints
from raysweep.searchers.learner import Design, Known, Learner
from raysweep.searchers.parzen import Parzen
from raysweep.searchers.setting import Setting
from raysweep.trials.pareto import by_front
from raysweep.trials.streams import Stream

_MOST_GOOD = 25
_WIDE = 1.5
"""Bandwidth of the good ones' kernels, in Scott's; narrower ones dig in too early (measured)."""
_MOST_BAD = 200
"""Bad results that the density is made of at most, evenly from better to worse: what it costs."""
_NEWEST = 1000
"""Results with several metrics that are sorted by fronts, besides the first front: so, too."""


class ParzenEstimators:
    """The method of `tpe`.

    Args:
        setting: the sweep.
        gamma: the share of results that counts as good, up to 25 of them.
        candidates: draws among which one is chosen.
        initial: Sobol points before the first model.
        by_level: whether to learn from the deepest level with enough results (`bohb`) in the place
            of each trial's best score.
        random_share: the share of proposals that are drawn at random, for what a model misses.
        belief: where the user expects good configs.
    """

    def __init__(
        self,
        setting: Setting,
        gamma: float = 0.1,
        candidates: int = 24,
        initial: int = 10,
        by_level: bool = False,
        random_share: float = 0.0,
        belief: Belief | None = None,
    ) -> None:
        self._setting, self._gamma, self._candidates = setting, gamma, candidates
        self._by_level, self._random_share, self._belief = by_level, random_share, belief
        self._axes = Axes(setting.space)
        self._design, self._initial = Design(setting.space, setting.seed), initial

    def propose(self, known: Known, stream: Stream) -> Proposal:
        """A first point while little is known, then the best of the draws."""
        rows, level = self._ranked(known)
        if known.issued < self._initial or len(rows) < min(4, self._initial):
            return self._first(known, stream)
        if self._random_share and stream.uniform() < self._random_share:
            return Proposal(self._setting.space.sample(stream), {"model": "random"})
        good = min(_MOST_GOOD, max(2, math.ceil(self._gamma * len(rows))))
        best, rest = rows[:good], rows[good:]
        lies = known.busy if not self._by_level else known.busy[: _MOST_BAD // 2]
        failed = np.flatnonzero(known.fates == Fate.INFEASIBLE)
        bad = np.vstack([known.points[_spread(np.concatenate([rest, failed]))], lies])
        return self._pick(known, best, bad, stream, level)

    def _first(self, known: Known, stream: Stream) -> Proposal:
        if self._belief is None:
            return self._design.propose(known.issued)
        point = self._axes.settle(self._belief.sample(stream.generator(), 1))[0]
        why = {"model": "prior", "note": "drawn from the prior"}
        return Proposal(self._setting.space.decode(point), why)

    def _trust(self, known: Known, good: int) -> float:
        """The belief's weight beside `good` kernels and the uniform one."""
        if self._belief is None:
            return 0.0
        climbing = np.flatnonzero(np.isfinite(known.rungs).any(axis=1))
        results = len(np.union1d(known.done, climbing))
        return (good + 1.0) * self._belief.weight / max(1, results)

    def _pick(
        self, known: Known, best: Ints, bad: Floats, stream: Stream, level: int | None
    ) -> Proposal:
        generator = stream.generator()
        trust = self._trust(known, len(best))
        likely = Parzen(
            self._axes, known.points[best], width=_WIDE, belief=self._belief, trust=trust
        )
        unlikely = Parzen(self._axes, bad)
        drawn = self._axes.settle(likely.sample(generator, self._candidates))
        space = self._setting.space
        if space.constraints:
            kept = [space.allows(space.decode(point)) for point in drawn]
            drawn = drawn[kept] if any(kept) else drawn
        ratio = likely.log_density(drawn) - unlikely.log_density(drawn)
        top = int(ratio.argmax())
        why: dict[str, Any] = {
            "model": "tpe",
            "acquisition": "log l/g",
            "value": round(float(ratio[top]), 6),
            "n": len(known.done),
            "parents": [known.ids[int(row)] for row in best[:3]],
        }
        if level is not None:
            why["note"] = f"results at step {level}"
        return Proposal(space.decode(drawn[top]), why)

    def _ranked(self, known: Known) -> tuple[Ints, int | None]:
        """The rows to learn from, the best first, and the level if there is one."""
        if self._by_level and known.levels:
            enough = max(self._axes.count + 2, self._initial)
            reached = (~np.isnan(known.rungs)).sum(0)
            deep = np.flatnonzero(reached >= enough)
            if len(deep):
                scores = known.rungs[:, deep[-1]]
                rows = np.flatnonzero(np.isfinite(scores))
                order = np.argsort(scores[rows], kind="stable")
                return rows[order], known.levels[int(deep[-1])]
        if known.goal is not None and len(known.goal.metrics) > 1:
            return known.done[by_front(known.objectives[known.done], _NEWEST)], None
        if known.levels:
            rows = known.done
            depth = (~np.isnan(known.rungs[rows])).sum(1)
            return rows[np.lexsort((known.scores[rows], -depth))], None
        return known.ranked, None


def _spread(rows: Ints) -> Ints:
    """At most `_MOST_BAD` of `rows`, evenly over them."""
    if len(rows) <= _MOST_BAD:
        return rows
    return rows[np.arange(_MOST_BAD) * (len(rows) - 1) // (_MOST_BAD - 1)]


def build(setting: Setting, prior: Mapping[str, Any] | None = None, **options: Any) -> Searcher:
    """The searcher `tpe`, or `bohb` with `by_level`."""
    belief = Belief(setting.space, prior) if prior else None
    return Learner(setting, ParzenEstimators(setting, belief=belief, **options))
