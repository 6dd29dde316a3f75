"""The trust region: a box around the best result, which grows with success and shrinks without.

Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization" (TuRBO), arXiv
1910.01739, with one region; read off the order of the results, so nothing has to be stored.
"""

from __future__ import annotations

import numpy as np

from raysweep.searchers.gp_scores import standardised
from raysweep.searchers.history import Floats
from raysweep.searchers.learner import Known

_FIRST, _LEAST, _MOST = 0.8, 0.5**7, 1.6
_SUCCESSES = 3
_BETTER = 1e-3
"""Share of the spread of scores by which a result has to beat the best to count as a success."""


def region(known: Known, axes: int) -> tuple[Floats, Floats]:
    """The box, lowest and highest point, shape (axes,) each; the whole cube before any result."""
    rows = known.done
    if not len(rows):
        return np.zeros(axes), np.ones(axes)
    side, centre = _walk(standardised(known.scores[rows]), max(4, axes // 2))
    middle = known.points[rows[centre]]
    middle = np.where(np.isnan(middle), 0.5, middle)
    low = np.clip(middle - side / 2.0, 0.0, 1.0)
    high = np.clip(middle + side / 2.0, 0.0, 1.0)
    return low, np.maximum(high, low + 1e-9)


def _walk(scores: Floats, patience: int) -> tuple[float, int]:
    """The side after all results, and the position of the best since the region was last begun.

    A region that has shrunk below its least side is begun anew at its first side, around the best
    of the results from then on.
    """
    side, wins, losses = _FIRST, 0, 0
    best, centre, spread = np.inf, 0, float(np.ptp(scores)) or 1.0
    for position, score in enumerate(scores.tolist()):
        won = score < best - _BETTER * spread
        if score < best:
            best, centre = score, position
        wins, losses = (wins + 1, 0) if won else (0, losses + 1)
        if wins >= _SUCCESSES:
            side, wins = min(_MOST, 2.0 * side), 0
        elif losses >= patience:
            side, losses = side / 2.0, 0
        if side < _LEAST:
            side, wins, losses, best = _FIRST, 0, 0, np.inf
    if best == np.inf:
        centre = int(np.argmin(scores))
    return side, centre
