"""A Gaussian process for each rung, and all of them as one: what `hyper_tune` learns by.

    M_k   the process of the results at level k, standardised there, of mean μ_k and variance σ_k²
    θ_k   its weight: how well it ranks the results of the deepest level (`trials/ranking.py`)

The ensemble predicts μ = Σ θ_k μ_k and σ² = Σ θ_k² σ_k², as in Hyper-Tune (Li et al., PVLDB 15
(2022), arXiv:2201.06834, section 4.3). The process of the deepest level is judged with each result
left out, as it has seen them. While a level has too few results it has no process, and the deepest
one that has is the one that all are judged by; the deepest itself counts nothing until it has
`_JUDGED` results, unless there is no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_beliefs import Beliefs, Learning
from raysweep.searchers.gp_model import Kernel, Surrogate
from raysweep.searchers.gp_scores import standard, standardised
from raysweep.searchers.gp_subset import thinned
from raysweep.searchers.history import Floats
from raysweep.searchers.learner import Known
from raysweep.trials.ranking import precision, weights
from raysweep.trials.streams import Generator

_LEAST = 4
"""Results from which a level has a process."""
_JUDGED = 10
"""Results from which the deepest level's own process can be judged by leaving them out."""


class Ensemble:
    """Weighted processes over the same columns.

    Args:
        members: a process of each level that has one, the deepest last.
        thetas: θ, of a sum of 1.
    """

    def __init__(self, members: list[Surrogate], thetas: list[float]) -> None:
        self.members, self.thetas = members, thetas

    @property
    def kernel(self) -> Kernel:
        """That of the member that counts most."""
        return self.members[int(np.argmax(self.thetas))].kernel

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, shapes (m,)."""
        mean, variance = np.zeros(len(columns)), np.zeros(len(columns))
        for member, theta in zip(self.members, self.thetas, strict=True):
            if theta > 0.0:
                own, sd = member.predict(columns)
                mean += theta * own
                variance += (theta * sd) ** 2
        return mean, np.sqrt(variance)

    def condition(self, columns: Floats, targets: Floats) -> Ensemble:
        """The same with further observations, at all levels."""
        return Ensemble([m.condition(columns, targets) for m in self.members], self.thetas)

    def path(self, generator: Generator) -> Callable[[Floats], Floats]:
        """One draw: the weighted sum of one of each member."""
        paths = [member.path(generator) for member in self.members]

        def drawn(columns: Floats) -> Floats:
            parts = [theta * path(columns) for theta, path in zip(self.thetas, paths, strict=True)]
            return np.asarray(np.sum(parts, axis=0))

        return drawn


class EnsembleLearning(Learning):
    """Learns an `Ensemble` in the place of one process over config and level.

    Args:
        axes: of the space.
        most: results that all processes together see at most.
    """

    def __init__(self, axes: Axes, most: int) -> None:
        super().__init__(axes, {}, by_level=True, most=most)
        self.owner = axes.owner

    def columns(self, points: Floats, depth: Floats | None = None) -> Floats:
        """Points as the processes take them; each level has its own, so depth is no column."""
        return self._axes.embed(points)

    def _learn(self, known: Known, count: int, fitted: Beliefs | None) -> Beliefs:
        rows, scores, depths = self._results(known, count)
        levels = np.unique(depths)
        there = [np.flatnonzero(depths == level) for level in levels]
        there = [at for at in there if len(at) >= _LEAST] or [np.arange(len(rows))]
        share = max(_LEAST, self._most // len(there))
        there = [at[thinned(scores[at, 0], share)] for at in there]
        before = _members(fitted)
        members = []
        for k, at in enumerate(there):
            columns = self.columns(known.points[rows[at]])
            targets = standardised(scores[at, 0])
            like = before[k] if len(before) == len(there) else None
            members.append(self._process(columns, targets, like))
        deepest = there[-1]
        targets, centre, spread = standard(scores[deepest, 0])
        process = Ensemble(members, judged(members, targets))
        failures = self._feasible(
            known, rows[deepest], members[-1].columns, fitted and fitted.feasible, count
        )
        return Beliefs(
            rows[deepest], [process], targets[:, None], centre, spread, failures, [], None, [None]
        )


def judged(members: list[Surrogate], targets: Floats) -> list[float]:
    """θ of each member, by how it ranks `targets`, the observations of the last one."""
    if len(members) == 1:
        return [1.0]
    last = members[-1]
    right = [precision(member.predict(last.columns)[0], targets) for member in members[:-1]]
    right.append(precision(last.left_out()[0], targets) if len(targets) >= _JUDGED else 0.0)
    return weights(right) if math.fsum(right) > 0.0 else [1.0 / len(members)] * len(members)


def _members(fitted: Beliefs | None) -> Sequence[Surrogate]:
    ensemble = fitted.objectives[0] if fitted else None
    return ensemble.members if isinstance(ensemble, Ensemble) else ()
