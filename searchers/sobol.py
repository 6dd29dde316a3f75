"""Scrambled Sobol points: a fixed sequence that fills the space more evenly than chance does.

Sobol' (1967) with Owen scrambling (Owen, "Scrambling Sobol' and Niederreiter-Xing points", 1998),
as `scipy.stats.qmc.Sobol` has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.searchers.sequence import SequenceSearcher
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

_BLOCK = 256
_POINTS = 1 << 30


class SobolSequence:
    """Configs at the points of one scrambled Sobol sequence.

    Args:
        space: what the points of the unit cube stand for; conditions and steps are kept.
        seed: the seed of the scrambling. The `index`-th entry depends on `(seed, index)` alone.

    A space has fewer parameters than scipy has direction numbers for (21,201; Joe & Kuo 2008).
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed
        self._engine: Any = None
        self._block = -1
        self._points: npt.NDArray[np.float64] = np.empty((0, len(space.dims)))

    def entry(self, index: int) -> dict[str, Any] | None:
        """The config at the `index`-th point; None if it violates a constraint."""
        if index >= _POINTS:
            raise IndexError(index)
        block, row = divmod(index, _BLOCK)
        if block != self._block:
            self._draw(block)
        config = self._space.decode(self._points[row])
        return config if self._space.allows(config) else None

    def _draw(self, block: int) -> None:
        """Points of one block, shape (256, d); walking on costs nothing, going back a rewind."""
        dims = len(self._space.dims)
        if dims == 0:
            self._points, self._block = np.empty((_BLOCK, 0)), block
            return
        if self._engine is None:
            from scipy.stats import qmc

            scramble = Stream(self._seed, "sobol", "scramble").integer(0, 1 << 62)
            self._engine = qmc.Sobol(dims, scramble=True, rng=scramble)
        if block * _BLOCK < self._engine.num_generated:
            self._engine.reset()
        ahead = block * _BLOCK - self._engine.num_generated
        if ahead:
            self._engine.fast_forward(ahead)
        self._points, self._block = self._engine.random(_BLOCK), block


def sobol(space: Space, seed: int) -> SequenceSearcher:
    """A searcher along a Sobol sequence; points that violate a constraint are skipped."""
    return SequenceSearcher(SobolSequence(space, seed))
