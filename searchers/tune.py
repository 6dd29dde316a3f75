"""Our searchers as Ray Tune's: `tune.TuneConfig(search_alg=TPESearch())`.

Every option that a spec may give the searcher of the same name is an argument here as well:
`GPSearch(acquisition="ucb")`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raysweep.searchers.tune_searcher import TuneSearcher
from raysweep.trials.space import Space

__all__ = [
    "AutoSearch", "BOHBSearch", "CMAESSearch", "DESearch", "EvolutionSearch", "GPSearch",
    "GridSearch", "HyperTuneSearch", "LHSSearch", "MobsterSearch", "NSGA2Search", "PriorSearch",
    "RandomSearch", "SobolSearch", "TPESearch", "TransferSearch", "TuneSearcher",
]  # fmt: skip


class RandomSearch(TuneSearcher):
    """Independent draws; a space of few configs is covered almost without repeats."""

    name = "random"


class SobolSearch(TuneSearcher):
    """Scrambled Sobol points, which cover the space more evenly than chance does."""

    name = "sobol"


class LHSSearch(TuneSearcher):
    """Latin hypercubes of `points` configs each."""

    name = "lhs"


class GridSearch(TuneSearcher):
    """Every combination once, then the search ends; set `num_samples=-1`.

    Args:
        points: how many values to take of ranges: one number for all, or by name.
        shuffle: walk the grid in a random order.
        space, metric, mode, points_to_evaluate, seed: as for `TuneSearcher`.
    """

    name = "grid"

    def __init__(
        self,
        space: Mapping[str, Any] | Space | None = None,
        metric: str | None = None,
        mode: str | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int = 0,
        points: int | Mapping[str, int] | None = None,
        shuffle: bool = False,
    ) -> None:
        super().__init__(
            space, metric, mode, points_to_evaluate, seed, points=points, shuffle=shuffle
        )


class _Learning(TuneSearcher):
    """One that looks at results, and therefore needs to know the metric."""

    needs_goal = True


class AutoSearch(_Learning):
    """Chooses the method by the space and by what is known so far."""

    name = "auto"


class TPESearch(_Learning):
    """Tree-structured Parzen estimators, multivariate."""

    name = "tpe"


class BOHBSearch(_Learning):
    """Parzen estimators on the deepest rung that has enough results."""

    name = "bohb"


class GPSearch(_Learning):
    """Bayesian optimisation with a Gaussian process."""

    name = "gp"


class MobsterSearch(_Learning):
    """A Gaussian process over config and rung together."""

    name = "mobster"


class HyperTuneSearch(_Learning):
    """A Gaussian process for each rung, weighted by how well the rung ranks."""

    name = "hyper_tune"


class PriorSearch(_Learning):
    """A Gaussian process that starts from what the user believes (`prior={"lr": 3e-4}`)."""

    name = "prior"


class TransferSearch(_Learning):
    """Starts from what earlier sweeps learnt (`sweeps=[path, ...]`)."""

    name = "transfer"


class CMAESSearch(_Learning):
    """Covariance matrix adaptation, with margins for discrete parameters."""

    name = "cmaes"


class DESearch(_Learning):
    """Differential evolution, one trial at a time."""

    name = "de"


class EvolutionSearch(_Learning):
    """Regularised evolution: a population that ages."""

    name = "evolution"


class NSGA2Search(_Learning):
    """Non-dominated sorting genetic search."""

    name = "nsga2"
