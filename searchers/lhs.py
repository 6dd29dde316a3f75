"""Latin hypercubes: of n configs each parameter takes each n-th of its range exactly once.

McKay, Beckman & Conover (1979), as `scipy.stats.qmc.LatinHypercube` has it.
"""

from __future__ import annotations

from typing import Any

from raysweep.searchers.history import Floats
from raysweep.searchers.sequence import SequenceSearcher
from raysweep.searchers.setting import Setting
from raysweep.trials.streams import Stream

_POINTS = 64
"""The size of a hypercube where neither the option nor the budget says it."""


class Hypercubes:
    """One hypercube after the other, each of `size` configs and with a seed of its own."""

    def __init__(self, setting: Setting, size: int) -> None:
        self._space, self._seed, self._size = setting.space, setting.seed, size
        self._drawn: tuple[int, Floats] | None = None

    def entry(self, index: int) -> dict[str, Any] | None:
        """The config at the `index`-th point; None if it violates a constraint."""
        cube, row = divmod(index, self._size)
        if self._drawn is None or self._drawn[0] != cube:
            from scipy.stats import qmc

            seed = Stream(self._seed, "lhs", cube).integer(0, 1 << 62)
            points = qmc.LatinHypercube(max(1, len(self._space.dims)), rng=seed).random(self._size)
            self._drawn = cube, points[:, : len(self._space.dims)]
        config = self._space.decode(self._drawn[1][row])
        return config if self._space.allows(config) else None


def build(setting: Setting, points: int | None) -> SequenceSearcher:
    """The searcher `lhs`: hypercubes of `points` configs, by default as many as the budget has."""
    return SequenceSearcher(Hypercubes(setting, points or setting.trials or _POINTS))
