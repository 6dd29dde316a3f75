"""Searching among configs that have been recorded: only they can be run, each of them once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.searchers.base import LATER, Answer, Proposal, Searcher
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId


class Pool:
    """Recorded configs, and which of them is the nearest to one that was not recorded.

    Args:
        space: whose unit cube gives the distances.
        configs: of that space, or near it.
    """

    def __init__(self, space: Space, configs: Sequence[Config]) -> None:
        self.configs = tuple(dict(config) for config in configs)
        self._space = space
        self._points: npt.NDArray[np.float64] = np.array([space.encode(c) for c in self.configs])
        self._free = np.ones(len(self.configs), bool)

    def nearest(self, config: Config) -> int | None:
        """The row of the nearest config that is not taken; the first of several, None if all are.

        The distance is Euclidean; a parameter that only one of two configs has counts as 1.
        """
        rows = np.flatnonzero(self._free)
        if not len(rows):
            return None
        point, points = self._space.encode(config), self._points[rows]
        apart = np.where(np.isnan(points) & np.isnan(point), 0.0, (points - point) ** 2)
        return int(rows[np.nan_to_num(apart, nan=1.0).sum(axis=1).argmin()])

    def take(self, row: int) -> None:
        """Nobody else gets this one."""
        self._free[row] = False

    def __len__(self) -> int:
        return int(self._free.sum())


class Among:
    """What `inner` proposes, moved to the nearest recorded config that is not used yet.

    It is told of the recorded config, so it learns nothing that was not so. Without an inner one the
    configs come as they stand. For simulations: an answer is set aside for its trial at once.

    Args:
        pool: the recorded configs.
        inner: proposes; None: nobody does.
        row: the parameter by which a config tells which row of the pool it is.
    """

    def __init__(self, pool: Pool, inner: Searcher | None, row: str) -> None:
        self._pool, self._inner, self._row = pool, inner, row
        self._next = 0

    def ask(self, trial: TrialId, stream: Stream) -> Answer:
        """A recorded config with its row; None once all are used, or `inner` has nothing left."""
        if not len(self._pool):
            return None
        why: dict[str, Any] = {}
        if self._inner is None:
            row, self._next = self._next, self._next + 1
        else:
            answer = self._inner.ask(trial, stream)
            if answer is None or answer is LATER:
                return answer
            config, why, _ = answer if isinstance(answer, Proposal) else Proposal(answer)
            nearest = self._pool.nearest(config)
            assert nearest is not None, "some are left"
            row = nearest
        self._pool.take(row)
        return Proposal({**self._pool.configs[row], self._row: row}, why)

    def suggested(self, trial: TrialId, config: Config) -> None:
        """Passed on, without the row."""
        if self._inner is not None:
            plain = {name: value for name, value in config.items() if name != self._row}
            self._inner.suggested(trial, plain)

    def tell(self, report: Report) -> None:
        """Passed on."""
        if self._inner is not None:
            self._inner.tell(report)

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """Passed on."""
        if self._inner is not None:
            self._inner.end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """What `inner` has learnt; a simulation is never resumed."""
        return self._inner.state() if self._inner is not None else {}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        if self._inner is not None:
            self._inner.load(state)
