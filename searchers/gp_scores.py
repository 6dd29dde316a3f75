"""Scores as a Gaussian process takes them: of mean 0 and deviation 1, whatever the worst are.

Power, rank and root transforms (as in HEBO, arXiv 2012.03826, or in copula regression) were measured
and lose (docs/searchers/gp.md): they stretch the differences among the best, and the process then
fits the first basin in ever finer detail. A cap loses nothing there, and without one a single result
of a training that diverged makes all others look the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from raysweep.searchers.history import Floats

_REACHES = 3.0
"""Scores are capped at the median plus so many distances from the best to the median."""
_REACHES_OF_SEVERAL = 30.0
"""The same for each of several metrics: a good trade-off may be bad in one of them."""
_FLAT = 1e-12
"""Scores that differ by less, as a share of the greatest, are equal."""
_SMALL, _LARGE = 1e-100, 1e100
"""Numbers whose squares a float has room for."""


class Standard(NamedTuple):
    """Scores as targets: score = centre + spread · target, but for those that were capped."""

    targets: Floats
    centre: float
    spread: float


def standard(scores: Floats, several: bool = False) -> Standard:
    """Finite scores, capped, with mean 0 and standard deviation 1; all equal ones become 0.

    Args:
        scores: lower is better, shape (n,).
        several: whether they are those of one of several metrics.
    """
    if not len(scores):
        return Standard(np.zeros(0), 0.0, 1.0)
    low = capped(scores, _REACHES_OF_SEVERAL if several else _REACHES)
    greatest = float(np.abs(low).max())
    unit = greatest if greatest and not _SMALL < greatest < _LARGE else 1.0
    scaled = low / unit
    centre, spread = float(scaled.mean()), float(scaled.std())
    if spread <= _FLAT * greatest / unit:
        return Standard(np.zeros(len(scores)), centre * unit, 0.0)
    return Standard((scaled - centre) / spread, centre * unit, spread * unit)


def standardised(scores: Floats) -> Floats:
    """The targets alone, shape (n,)."""
    return standard(scores).targets


def capped(scores: Floats, reaches: float = _REACHES) -> Floats:
    """Finite scores, those cut that lie beyond the median by `reaches` times its way from the best.

    Where half of them or more are as good as the best, the median is that of the others.
    """
    scores = np.asarray(scores, dtype=np.float64)  # an earlier sweep's may be whole numbers
    best = scores.min(initial=np.inf)
    worse = scores[scores > best]
    if not len(worse):
        return scores
    middle = _lower_median(scores)
    if middle <= best:
        middle = _lower_median(worse)
    with np.errstate(over="ignore"):
        return np.asarray(np.minimum(scores, middle + reaches * (middle - best)))


def _lower_median(scores: Floats) -> float:
    """A median that is a score itself: with half of them huge, it is not."""
    return float(np.sort(scores)[(len(scores) - 1) // 2])


def within(values: Floats, reaches: float, bound: float | None = None) -> Floats:
    """Finite values, cut at the quartiles by `reaches` times what lies between these.

    Args:
        values: shape (n,).
        reaches: how many.
        bound: a value that must stay inside with room beyond it, e.g. a limit.
    """
    values = np.clip(values, -_LARGE, _LARGE)
    low, high = (float(q) for q in np.quantile(values, (0.25, 0.75)))
    apart = high - low
    if apart <= 0.0:
        return values
    low, high = low - reaches * apart, high + reaches * apart
    if bound is not None:
        low, high = min(low, bound - apart), max(high, bound + apart)
    return np.asarray(np.clip(values, low, high))
