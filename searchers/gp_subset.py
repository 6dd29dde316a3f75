"""Which of many results a Gaussian process sees, and when its kernel is fitted anew.

Both follow from the results in their order alone, so that a resumed sweep sees and fits the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from raysweep.searchers.history import Floats, Ints

MOST = 400
"""Results that a process sees at most; its cost grows with their cube."""
MOST_AT_LEVELS = 128
"""The same for results at rungs: there are several a trial, and trials are short."""
_FIT_MS, _GROWTH = 1_100.0, 2.6
"""Processor time of a fit to `MOST` results of 5 parameters, and the power by which it grows with
their number (`python -m benchmarks.suggest`)."""


class Pace(NamedTuple):
    """How often a kernel is fitted: after each of the first results, then by parts of their number.

    Attributes:
        each: so many results lead to a fit each.
        part: beyond, one of so many parts more does.
    """

    each: int = 60
    part: int = 20

    def due(self, count: int) -> int:
        """After how many of `count` results a kernel was last due to be fitted."""
        last = min(count, self.each)
        while last >= self.each and last + last // self.part <= count:
            last += last // self.part
        return last


AT_LEVELS = Pace(20, 8)
"""The pace for results at rungs."""


def most_within(budget_ms: float) -> int:
    """To how many results a fit takes about `budget_ms` of one core.

    A count in the place of a clock, so that a replay ends where the first run did.
    """
    return max(20, min(MOST, int(MOST * (budget_ms / _FIT_MS) ** (1.0 / _GROWTH))))


def thinned(scores: Floats, most: int) -> Ints:
    """At most `most` of the results: half of these the best, the others evenly over time."""
    if len(scores) <= most:
        return np.arange(len(scores))
    order = np.argsort(scores, kind="stable")
    best, others = order[: most // 2], np.sort(order[most // 2 :])
    picked = others[np.linspace(0, len(others) - 1, most - len(best)).astype(np.int64)]
    return np.sort(np.concatenate([best, picked]))


def thinned_by_level(scores: Floats, levels: Floats, most: int) -> Ints:
    """At most `most` of the results at several levels, each level thinned by itself.

    Beginning with the level that has fewest, each may have an equal share of what is left: so the
    few results of deep levels are all there, and shallow levels share what these do not need.

    Args:
        scores, levels: of each result, shape (n,).
        most: how many; at least one for each level.
    """
    if len(scores) <= most:
        return np.arange(len(scores))
    chosen: list[Ints] = []
    left = most
    names, counts = np.unique(levels, return_counts=True)
    for at, level in enumerate(names[np.argsort(counts, kind="stable")]):
        there = np.flatnonzero(levels == level)
        kept = there[thinned(scores[there], left // (len(names) - at))]
        chosen.append(kept)
        left -= len(kept)
    return np.sort(np.concatenate(chosen))
