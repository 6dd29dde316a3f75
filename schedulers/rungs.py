"""Rungs: the steps at which trials are compared, and the standings at each of them.

    g   grace period, the first rung's step
    η   reduction factor: of n trials at a rung, ⌊n/η⌋ are good enough for the next
    R   max_t, the step at which a trial is complete

Rung steps are g, gη, gη², … below R, multiplied as integers: the usual ⌊log(R/g)/log η⌋ + 1 loses
a rung whenever the logarithm comes out a hair below a whole number, as for R = 1000, η = 10.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from raysweep.schedulers.ordered import Key, Ordered
from raysweep.trials.decisions import Reason
from raysweep.trials.goal import WORST


def rung_steps(grace_period: int, max_t: int, reduction_factor: int) -> list[int]:
    """The steps of all rungs strictly below `max_t`, ascending.

    Example:
        >>> rung_steps(1, 27, 3)
        [1, 3, 9]
    """
    steps = []
    step = grace_period
    while step < max_t:
        steps.append(step)
        step *= reduction_factor
    return steps


_POINTS = 8


def waypoints(low: int, high: int) -> range:
    """Where curves are looked at between rung `low` and rung `high`, which is the last of them.

    They are evenly spread and at most eight, so that what is remembered of a trial grows with its
    rungs only.

    Example:
        >>> list(waypoints(9, 27))
        [12, 15, 18, 21, 24, 27]
    """
    apart = -(-(high - low) // _POINTS)
    return range(low + 1 + (high - low - 1) % apart, high + 1, apart)


class Standing(NamedTuple):
    """Where a trial stands at a rung: `rank` from 1, among `peers`, `keep` of whom go on.

    `cutoff` is the worst score that goes on, None while nobody's does.
    """

    rank: int
    peers: int
    keep: int
    cutoff: float | None


class Rung:
    """The scores of all trials that have reached one step, in order; first come wins a tie.

    Recording and looking up cost O(log n).
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self._scores = Ordered()
        self._place = 0  # of the newest
        self._last_kept: tuple[int, Key] | None = None  # if so many are kept, until one more comes

    @property
    def peers(self) -> int:
        """How many have reached it."""
        return len(self._scores)

    def record(self, score: float) -> Key:
        """Enter a score; returns the key under which `standing` finds it."""
        key = (score, len(self._scores))
        self._place = self._scores.add(score)
        self._last_kept = None
        return key

    def standing(self, key: Key, reduction_factor: int, least: int = 0) -> Standing:
        """How the entry `key` stands when max(least, ⌊n/η⌋) of the n here go on."""
        peers = len(self._scores)
        keep = max(least, peers // reduction_factor)
        cutoff = self._kept(keep)[0] if keep else None
        if cutoff == WORST:
            cutoff = None
        place = self._place if key[1] == peers - 1 else self._scores.place(*key)
        return Standing(place + 1, peers, keep, cutoff)

    def survives(self, key: Key, reduction_factor: int) -> bool:
        """Whether the entry `key` is among the best ⌊n/η⌋ of the n here."""
        keep = len(self._scores) // reduction_factor
        return keep > 0 and key <= self._kept(keep)

    def _kept(self, keep: int) -> Key:
        """The last of the best `keep`; several decisions may ask before another trial comes."""
        if self._last_kept is None or self._last_kept[0] != keep:
            self._last_kept = (keep, self._scores.key(keep - 1))
        return self._last_kept[1]

    def state(self) -> list[float]:
        """All scores in order of arrival."""
        return self._scores.arrivals()

    def load(self, state: list[float]) -> None:
        """Take back what `state` gave."""
        self._scores, self._last_kept = Ordered(state), None
        self._place = self._scores.place(state[-1], len(state) - 1) if state else 0


def reason(rule: str, rung: Rung, score: float, standing: Standing) -> Reason:
    """The reason of a decision taken from a standing."""
    return Reason(rule, rung.step, score, standing.cutoff, standing.rank, standing.peers)


def plan(steps: list[int], max_t: int, reduction_factor: int, trials: int) -> list[dict[str, Any]]:
    """How many of `trials` reach each rung if every comparison is clear, lowest rung first."""
    rows, left = [], trials
    for step in [*steps, max_t]:
        rows.append({"step": step, "trials": left})
        left //= reduction_factor
    return rows


def reached_steps(grace_period: int, reduction_factor: int, trials: int) -> list[int]:
    """The rungs that any of `trials` reach where rungs go on without end.

    ⌊n/η⌋ of n go on, so the highest is the one at which fewer than η are left.

    Example:
        >>> reached_steps(1, 3, 20)
        [1, 3, 9]
    """
    steps, step = [], grace_period
    while trials:
        steps.append(step)
        step, trials = step * reduction_factor, trials // reduction_factor
    return steps
