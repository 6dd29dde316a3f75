"""What the Gaussian processes of a sweep are made of: which results, as which targets.

A fit depends on the first results in their order alone, so a resumed sweep fits the same. Of many
results a process sees some, so that its cost stays flat (`gp_subset`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_fit import fit
from raysweep.searchers.gp_model import Process, Surrogate
from raysweep.searchers.gp_scores import standard, standardised, within
from raysweep.searchers.gp_subset import AT_LEVELS, MOST, Pace, thinned, thinned_by_level
from raysweep.searchers.history import Fate, Floats, Ints
from raysweep.searchers.learner import Known
from raysweep.trials.goal import WORST

_REACHES = 3.0
"""A limited metric is cut so many times the distance between its quartiles beyond them."""
_FEWEST = 3
"""Results from which there is anything to estimate of the noise, of a limited metric, of costs."""
VARYING = "varying"
"""The `noise` that is estimated."""


class Beliefs(NamedTuple):
    """The processes of one moment.

    Attributes:
        rows: the results behind `objectives`, one for each observation.
        objectives: a process of each objective, standardised, to be minimised.
        values: their standardised targets, shape (observations, m).
        centre, spread: of the first objective: score = centre + spread · target.
        feasible: a process of 1 for success and 0 for failure; None: nothing has failed.
        limits: of each limited metric its process and the standardised limit.
        seconds: a process of the standardised log of the cost; None: costs do not count.
        noises: of each objective a process of the log of its noise; None: no such estimate.
    """

    rows: Ints
    objectives: Sequence[Process]
    values: Floats
    centre: float
    spread: float
    feasible: Surrogate | None
    limits: list[tuple[Surrogate, float]]
    seconds: Surrogate | None
    noises: list[Surrogate | None]


class Learning:
    """Makes `Beliefs` out of a history.

    Args:
        axes: of the space.
        limits: by metric the greatest value that a config may lead to.
        per_second: whether costs count.
        by_level: whether results at the scheduler's levels are learnt from, with the level as one
            more axis, in the place of each trial's best score.
        warp: whether numbers are stretched where the score changes quickly (`gp_warp`).
        noise: the metric that holds the standard error of each score; "varying": the noise is
            estimated at every place; None: it is the same everywhere.
        most: results that a process sees at most.
    """

    def __init__(
        self,
        axes: Axes,
        limits: Mapping[str, float],
        per_second: bool = False,
        by_level: bool = False,
        warp: bool = False,
        noise: str | None = None,
        most: int = MOST,
    ) -> None:
        self._axes, self._limits = axes, dict(limits)
        self._per_second, self._by_level, self._noise, self._most = (
            per_second,
            by_level,
            noise,
            most,
        )
        self.owner = np.r_[axes.owner, axes.count] if by_level else axes.owner
        self._warps = np.r_[axes.plain, [False] * by_level] if warp else None
        self._pace = AT_LEVELS if by_level else Pace()
        self._depth = 1.0  # at which the next config is chosen
        self._fitted: tuple[int, Beliefs] | None = None
        self._current: tuple[int, Beliefs] | None = None

    def columns(self, points: Floats, depth: Floats | None = None) -> Floats:
        """Points as the processes take them; if levels count, at `depth` (1: a full training).

        Without one at the deepest level that as many trials as there are parameters have come to, as
        BOHB and Klein et al. choose theirs. Deeper, the process knows next to nothing, and what a
        trial shows at its first rung would not change that: the same config would look as promising
        as before.
        """
        columns = self._axes.embed(points)
        if not self._by_level:
            return columns
        depth = np.array(self._depth) if depth is None else depth
        return np.column_stack([columns, np.broadcast_to(depth, len(points))])

    def under_way(self, known: Known) -> Floats:
        """The columns of the trials that nothing is known of yet."""
        return self.columns(known.silent if self._by_level else known.busy)

    def results(self, known: Known) -> int:
        """How many results there are to learn from."""
        return len(self._results(known, self._count(known))[0])

    def beliefs(self, known: Known) -> Beliefs:
        """What follows from everything that is known."""
        count = self._count(known)
        if self._current is None or self._current[0] != count:
            last = self._pace.due(count)
            if self._fitted is None or self._fitted[0] != last:
                self._fitted = last, self._learn(known, last, None)
            current = (
                self._fitted[1] if last == count else self._learn(known, count, self._fitted[1])
            )
            self._current = count, current
        return self._current[1]

    def _count(self, known: Known) -> int:
        return len(known.arrivals) if self._by_level else len(known.ended)

    def _learn(self, known: Known, count: int, fitted: Beliefs | None) -> Beliefs:
        """From the first `count` results; the kernels of `fitted`, or new ones."""
        rows, scores, depth = self._results(known, count)
        if self._by_level:
            depths, there = np.unique(depth, return_counts=True)
            enough = depths[there >= max(3, self._axes.count)]
            self._depth = float(enough[-1] if len(enough) else depths[0]) if len(depths) else 1.0
        chosen = (
            thinned_by_level(scores[:, 0], depth, self._most)
            if self._by_level
            else thinned(scores[:, 0], self._most)
        )
        rows, scores, depth = rows[chosen], scores[chosen], depth[chosen]
        columns = self.columns(known.points[rows], depth)
        several = scores.shape[1] > 1
        first, *others = [standard(column, several) for column in scores.T]
        targets = np.column_stack([first.targets, *(other.targets for other in others)])
        objectives, noises = [], []
        for j, target in enumerate(targets.T):
            like = (fitted.objectives[j], fitted.noises[j]) if fitted else None
            process, noise = self._objective(known, rows, columns, target, like)
            objectives.append(process)
            noises.append(noise)
        return Beliefs(
            rows,
            objectives,
            targets,
            first.centre,
            first.spread,
            self._feasible(known, rows, columns, fitted.feasible if fitted else None, count),
            self._limited(known, rows, columns),
            self._costly(known, rows, columns),
            noises,
        )

    def _objective(
        self,
        known: Known,
        rows: Ints,
        columns: Floats,
        targets: Floats,
        like: tuple[Process, Surrogate | None] | None,
    ) -> tuple[Surrogate, Surrogate | None]:
        """The process of one objective, and that of its noise where it is estimated.

        The estimate is one round of Kersting et al., "Most Likely Heteroscedastic Gaussian Process
        Regression" (2007), with residuals at points that were left out.
        """
        kernel, noise = like if like else (None, None)
        if self._noise is None:
            return self._process(columns, targets, kernel), None
        if self._noise != VARYING:
            errors = known.values[rows, known.watched.index(self._noise)]
            logs = np.log(np.abs(errors), out=np.full(len(rows), np.nan), where=errors != 0.0)
            return self._process(columns, targets, kernel, _weights(2.0 * logs)), None
        if len(targets) < _FEWEST:
            return self._process(columns, targets, kernel), None
        if noise is None:
            means, _ = self._process(columns, targets, None).left_out()
            noise = fit(columns, self.owner, np.log((targets - means) ** 2 + 1e-6))
        weights = _weights(noise.predict(columns)[0])
        return self._process(columns, targets, kernel, weights), noise

    def _process(
        self,
        columns: Floats,
        targets: Floats,
        like: Process | None,
        weights: Floats | None = None,
    ) -> Surrogate:
        """With the kernel of `like`, or one of its own."""
        if like is None:
            return fit(columns, self.owner, targets, weights, self._warps)
        return Surrogate(like.kernel, columns, self.owner, targets, weights)

    def _results(self, known: Known, count: int) -> tuple[Ints, Floats, Floats]:
        """Rows, scores (o, m) and depths of the first `count` results that have a score."""
        if self._by_level:
            arrived = np.array(known.arrivals[:count], dtype=np.int64).reshape(-1, 2)
            rows, levels = arrived[:, 0], arrived[:, 1]
            scores = known.rungs[rows, levels]
            depths = np.log1p(np.array(known.levels)) / np.log1p(known.levels[-1])
            good = np.isfinite(scores)
            return rows[good], scores[good, None], depths[levels[good]]
        ended = np.array(known.ended[:count], dtype=np.int64)
        rows = ended[known.fates[ended] == Fate.DONE]
        objectives = known.objectives[rows]
        good = (objectives < WORST).all(1)
        return rows[good], objectives[good], np.ones(int(good.sum()))

    def _feasible(
        self, known: Known, rows: Ints, columns: Floats, like: Surrogate | None, count: int
    ) -> Surrogate | None:
        ended = np.array(known.ended[:count], dtype=np.int64)
        failed = ended[known.fates[ended] == Fate.INFEASIBLE][-self._most // 2 :]
        if not len(failed):
            return None
        labels = np.r_[np.ones(len(rows)), np.zeros(len(failed))]
        both = np.vstack([columns, self.columns(known.points[failed])])
        return self._process(both, labels, like)

    def _limited(self, known: Known, rows: Ints, columns: Floats) -> list[tuple[Surrogate, float]]:
        made = []
        for metric, most in self._limits.items():
            values = known.values[rows, known.watched.index(metric)]
            there = np.isfinite(values)
            if there.sum() < _FEWEST:
                continue
            seen = within(values[there], _REACHES, most)
            centre, spread = float(seen.mean()), float(seen.std()) or 1.0
            process = fit(columns[there], self.owner, (seen - centre) / spread)
            made.append((process, (most - centre) / spread))
        return made

    def _costly(self, known: Known, rows: Ints, columns: Floats) -> Surrogate | None:
        costs = known.costs_s[rows]
        there = costs > 0
        if not self._per_second or there.sum() < _FEWEST:
            return None
        logs = np.log(costs[there])
        process = fit(columns[there], self.owner, standardised(logs))
        process.scale = float(logs.std())
        return process


def _weights(logs: Floats) -> Floats:
    """Log variances as multiples of the median one, within a factor of a hundred; NaN as 1."""
    there = np.isfinite(logs)
    middle = float(np.median(logs[there])) if there.any() else 0.0
    off = np.where(there, np.clip(logs - middle, -math.log(100.0), math.log(100.0)), 0.0)
    return np.asarray(np.exp(off))
