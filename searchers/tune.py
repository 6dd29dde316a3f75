"""Our searchers as Ray Tune's: `tune.TuneConfig(search_alg=SobolSearch())`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raysweep.searchers.tune_searcher import TuneSearcher
from raysweep.trials.space import Space

__all__ = ["GridSearch", "RandomSearch", "SobolSearch", "TuneSearcher"]


class RandomSearch(TuneSearcher):
    """Independent draws; a space of few configs is covered almost without repeats."""

    name = "random"


class SobolSearch(TuneSearcher):
    """Scrambled Sobol points, which cover the space more evenly than chance does."""

    name = "sobol"


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
