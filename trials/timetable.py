"""The brackets of HyperBand as a timetable: at which step each trial of a sweep runs, by its number.

    K      the number of levels, the steps r_1 < … < r_K = R, each η times the one before
    s      K − 1, …, 0: the bracket, with n_s = ⌊K / (s + 1)⌋ · η^s trials at its first level
    rung i of bracket s   max(1, ⌊n_s / η^i⌋ ) trials at level K − 1 − s + i (from 0)

The brackets follow each other, and after s = 0 they begin again. Li et al., "Hyperband", JMLR 18
(2018), Algorithm 1; every rung's trials have numbers of their own, as where each evaluation is a
trial (DEHB), not a trial that goes on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Rung(NamedTuple):
    """One rung of one bracket: `size` trials at `level`; `before` had that level, in this round."""

    bracket: int
    rung: int
    level: int
    size: int
    before: int


class Place(NamedTuple):
    """A trial's place.

    Attributes:
        bracket: which one, counted from the beginning of the sweep.
        rung: which one of the bracket, from 0.
        level, step: the index of its level, and the step.
        size: how many trials the rung has.
        turn: how many trials with lower numbers have the same level.
    """

    bracket: int
    rung: int
    level: int
    step: int
    size: int
    turn: int


class Timetable:
    """Places by trial number.

    Args:
        levels: ascending steps, at least one.
        reduction_factor: η ≥ 2.

    Attributes:
        rounds: brackets until they begin again, K.
        populations: by level the most trials that one rung there has.
    """

    def __init__(self, levels: Sequence[int], reduction_factor: int) -> None:
        self._levels = tuple(levels)
        self.rounds = len(self._levels)
        self._rungs = _round(self.rounds, reduction_factor)
        self._ends = list(accumulate(rung.size for rung in self._rungs))
        everywhere = range(self.rounds)
        self._each = [sum(r.size for r in self._rungs if r.level == k) for k in everywhere]
        self.populations = [max(r.size for r in self._rungs if r.level == k) for k in everywhere]

    def place(self, number: int) -> Place:
        """Where the `number`-th trial runs, from 0."""
        again, rest = divmod(number, self._ends[-1])
        at = bisect_right(self._ends, rest)
        rung = self._rungs[at]
        index = rest - (self._ends[at] - rung.size)
        return Place(
            again * self.rounds + rung.bracket,
            rung.rung,
            rung.level,
            self._levels[rung.level],
            rung.size,
            again * self._each[rung.level] + rung.before + index,
        )


def _round(levels: int, reduction_factor: int) -> list[Rung]:
    rungs: list[Rung] = []
    had = [0] * levels
    for bracket in range(levels):
        s = levels - 1 - bracket
        first = levels // (s + 1) * reduction_factor**s
        for i in range(s + 1):
            size = max(1, first // reduction_factor**i)
            rungs.append(Rung(bracket, i, bracket + i, size, had[bracket + i]))
            had[bracket + i] += size
    return rungs
