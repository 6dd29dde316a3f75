"""Rungs at which trials are compared in several objectives.

Schmucker, Donini, Zafar, Salinas, Archambeau: "Multi-objective Asynchronous Successive Halving",
2021, arXiv:2106.12639, with its EpsNet: the trials of a rung are sorted into fronts (nobody on the
first is dominated, nobody on the second by any but those on the first, and so on), and on each
front by an ε-net, so that if not all of a front go on, those that do are spread over it.

    n   how many trials have come
    W   `WINDOW`

Sorting all n anew for each that comes would cost O(n log n) with two objectives and more with
others. Here a trial is compared with the W that came last and with those before them that nothing
has dominated so far, of which, once they are more than 2W, an ε-net of W stays: with all of them
while n ≤ W, and at a bounded cost however large n is. This bound is ours. Only
the front that is cut through, and that of the trial in question, are put in order.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from raysweep.schedulers.rungs import Standing
from raysweep.trials.goal import WORST
from raysweep.trials.pareto import Floats, Ints, epsilon_net, front, fronts
from raysweep.trials.trial import TrialId

WINDOW = 256
"""So many of the last trials are compared."""


class ParetoRung:
    """The trials at one step, sorted by fronts and ε-nets; the first of equals goes first.

    Args:
        step: where it is.
        objectives: how many.
        reduction_factor: η; of the m that are compared, ⌊m/η⌋ go on.
        least: so many go on in any case.
    """

    def __init__(self, step: int, objectives: int, reduction_factor: int, least: int = 0) -> None:
        self.step, self._eta, self._least = step, reduction_factor, least
        self._trials: list[TrialId] = []  # who is compared, in order of arrival
        self._points: Floats = np.empty((0, objectives))  # their scores; all WORST where one is
        self._fronts: list[Ints] | None = None  # rows front by front, until one more comes
        self._nets: dict[int, Ints] = {}  # those fronts that have been put in order

    def record(self, trial: TrialId, scores: tuple[float, ...]) -> None:
        """Enter a trial's scores, one an objective; forget who is out of the comparison."""
        row = (WORST,) * len(scores) if WORST in scores else scores
        self._trials.append(trial)
        self._points = np.append(self._points, [row], axis=0)
        self._fronts, self._nets = None, {}
        old = len(self._trials) - WINDOW
        if old > 0:
            self._forget(old)

    def _forget(self, old: int) -> None:
        """Keep, of the `old` that came first, who is on the first front of all."""
        undominated = front(self._points) & (self._points[:, 0] != WORST)
        kept = np.flatnonzero(undominated[:old])
        if len(kept) > 2 * WINDOW:  # one at a time would always drop the newest of a tie
            kept = np.sort(kept[epsilon_net(self._points[kept])[:WINDOW]])
        if len(kept) < old:
            rows = np.append(kept, np.arange(old, len(self._trials)))
            self._trials = [self._trials[row] for row in rows.tolist()]
            self._points = self._points[rows]

    @property
    def _keep(self) -> int:
        return max(self._least, len(self._trials) // self._eta)

    def _sorted(self) -> list[Ints]:
        """The rows of each front, best first; those without finite scores are on none."""
        if self._fronts is None:
            rows = np.flatnonzero(self._points[:, 0] != WORST)
            ranks = fronts(self._points[rows])
            rows = rows[np.argsort(ranks, kind="stable")]
            ends = np.cumsum(np.bincount(ranks)).tolist()
            self._fronts = [rows[low:high] for low, high in zip([0, *ends], ends, strict=False)]
        return self._fronts

    def _net(self, number: int) -> Ints:
        """The rows of a front in the order of its ε-net."""
        if number not in self._nets:
            rows = self._sorted()[number]
            self._nets[number] = rows[epsilon_net(self._points[rows])]
        return self._nets[number]

    def newest(self) -> Standing:
        """Where the trial that came last stands; what is not finite is behind all others."""
        before, row, peers = 0, len(self._trials) - 1, len(self._trials)
        for number, rows in enumerate(self._sorted()):
            if row in rows:
                place = int(np.flatnonzero(self._net(number) == row)[0])
                return Standing(before + place + 1, peers, self._keep, None)
            before += len(rows)
        return Standing(peers, peers, self._keep, None)

    def best_of(self, waiting: Collection[TrialId]) -> tuple[TrialId, Standing] | None:
        """Who of those that wait goes on first, and where it stands; None: nobody yet."""
        before, peers, keep = 0, len(self._trials), self._keep
        for number, rows in enumerate(self._sorted()):
            if before >= keep:
                return None
            if any(self._trials[row] in waiting for row in rows.tolist()):
                for place, row in enumerate(self._net(number)[: keep - before].tolist()):
                    if self._trials[row] in waiting:
                        standing = Standing(before + place + 1, peers, keep, None)
                        return self._trials[row], standing
            before += len(rows)
        return None

    def state(self) -> list[list[Any]]:
        """Who is compared, in order of arrival, each with its scores."""
        pairs = zip(self._trials, self._points.tolist(), strict=True)
        return [[trial, *scores] for trial, scores in pairs]

    def load(self, state: list[list[Any]]) -> None:
        """Take back what `state` gave."""
        self._trials = [trial for trial, *_ in state]
        points = [scores for _, *scores in state]
        self._points = np.array(points, dtype=float).reshape(len(points), self._points.shape[1])
        self._fronts, self._nets = None, {}
