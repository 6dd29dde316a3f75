"""Everything that a searcher was told, in columns: the one memory of all searchers that learn.

Notation: n trials in the order in which they were suggested, d axes of the unit cube (`Space.dims`),
L levels (steps at which trials are compared), k watched metrics. Arrays that properties give are
views of the first n rows: read them, do not keep or change them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.trials.goal import WORST, Goal
from raysweep.trials.space import Space
from raysweep.trials.trial import Config, Outcome, Report, Status, TrialId

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Fate(IntEnum):
    """What has become of a trial, as the column `fates` holds it."""

    PENDING = 0
    """Suggested, and not ended; it may have reported."""
    DONE = 1
    """Ended with a score, at whatever step."""
    INFEASIBLE = 2
    """Failed, or ended without one finite score."""


class History:
    """The trials of one sweep by row, in the order of their suggestion.

    Args:
        space: what their configs are of.
        goal: whose metrics, if there are several, are kept for each trial; None: scores only.
        levels: steps at which a trial's best score so far is kept, ascending.
        watch: further metrics to keep for each trial, e.g. of outcome constraints.
    """

    def __init__(
        self,
        space: Space,
        goal: Goal | None = None,
        levels: Sequence[int] = (),
        watch: Iterable[str] = (),
    ) -> None:
        self.space, self.goal, self.levels = space, goal, tuple(levels)
        names = [name for name, _ in goal.metrics] if goal and len(goal.metrics) > 1 else []
        self.watched = tuple(dict.fromkeys([*names, *watch]))
        self.ids: list[TrialId] = []
        self.ended: list[int] = []
        """The rows of the trials that have ended, in the order in which they did."""
        self.arrivals: list[tuple[int, int]] = []
        """Row and level of each result at a level, in the order in which they came."""
        self._live: dict[TrialId, int] = {}
        self._seen: set[bytes] = set()
        self._ranked: Ints = np.empty(0, dtype=np.int64)
        self._finished = 0
        self._reserve(64)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def points(self) -> Floats:
        """The configs in the unit cube, shape (n, d); NaN on inactive axes."""
        return self._points[: len(self.ids)]

    @property
    def fates(self) -> npt.NDArray[np.int8]:
        """What has become of each (`Fate`), shape (n,)."""
        return self._fates[: len(self.ids)]

    @property
    def scores(self) -> Floats:
        """The best score of each so far, shape (n,); `WORST` for none."""
        return self._scores[: len(self.ids)]

    @property
    def steps(self) -> Ints:
        """The last step of each, shape (n,); 0 before the first report."""
        return self._steps[: len(self.ids)]

    @property
    def costs_s(self) -> Floats:
        """Training seconds of each so far, shape (n,)."""
        return self._costs[: len(self.ids)]

    @property
    def rungs(self) -> Floats:
        """The best score of each up to each level it came to, shape (n, L); NaN beyond."""
        return self._rungs[: len(self.ids)]

    @property
    def values(self) -> Floats:
        """The watched metrics at the last report of each, shape (n, k); NaN where missing."""
        return self._values[: len(self.ids)]

    @property
    def objectives(self) -> Floats:
        """The goal's metrics, each to be minimised, shape (n, m); `WORST` where missing.

        With one metric these are the scores.
        """
        if self.goal is None or len(self.goal.metrics) < 2:
            return self.scores[:, None]
        columns = [self.watched.index(name) for name, _ in self.goal.metrics]
        signs = np.array([-1.0 if mode == "max" else 1.0 for _, mode in self.goal.metrics])
        values = self.values[:, columns] * signs
        return np.where(np.isfinite(values), values, WORST)

    @property
    def done(self) -> Ints:
        """The rows that ended with a score, in the order in which they ended."""
        return self._done[: self._finished]

    @property
    def ranked(self) -> Ints:
        """The rows of `done`, the best score first; of equal ones, the first to end."""
        if len(self._ranked) != self._finished:
            done, behind = self.done, self._finished - len(self._ranked)
            if behind == 1:  # what a sort would give, without sorting all again
                row = done[-1]
                place = self.scores[self._ranked].searchsorted(self._scores[row], side="right")
                self._ranked = np.concatenate([self._ranked[:place], [row], self._ranked[place:]])
            else:
                self._ranked = done[np.argsort(self.scores[done], kind="stable")]
        return self._ranked

    @property
    def pending(self) -> Ints:
        """The rows that have not ended, in the order of their suggestion."""
        return np.flatnonzero(self.fates == Fate.PENDING)

    def seen(self, config: Config) -> bool:
        """Whether `config` has been suggested before."""
        return key_of(self.space.encode(config)) in self._seen

    def suggested(self, trial: TrialId, config: Config) -> None:
        """`trial` was given `config`: a new pending row."""
        row = len(self.ids)
        if row == len(self._points):
            self._reserve(2 * row)
        self._points[row] = self.space.encode(config)
        self.ids.append(trial)
        self._live[trial] = row
        self._seen.add(key_of(self._points[row]))

    def tell(self, report: Report) -> None:
        """A trial reported a step; one that nobody knows changes nothing."""
        row = self._live.get(report.trial)
        if row is None:
            return
        best = self._scores[row] = min(self._scores[row], report.score)
        for level in range(bisect_right(self.levels, report.step)):
            if math.isnan(self._rungs[row, level]):
                self._rungs[row, level] = best
                self.arrivals.append((row, level))
        self._steps[row] = max(self._steps[row], report.step)
        self._costs[row] = max(self._costs[row], report.elapsed_s)
        for column, name in enumerate(self.watched):
            value = report.metrics.get(name)
            known = isinstance(value, (int, float)) and math.isfinite(value)
            self._values[row, column] = value if known else math.nan

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial ended for good."""
        row = self._live.pop(trial, None)
        if row is None:
            return
        self._scores[row] = min(self._scores[row], outcome.score)
        failed = outcome.status is Status.FAILED or self._scores[row] == WORST
        self._fates[row] = Fate.INFEASIBLE if failed else Fate.DONE
        self.ended.append(row)
        if not failed:
            self._done[self._finished] = row
            self._finished += 1

    def state(self) -> dict[str, Any]:
        """All rows, as plain JSON data; NaN and infinities stand as null."""
        n = len(self.ids)
        return {
            "ids": list(self.ids),
            "ended": list(self.ended),
            "arrivals": [list(one) for one in self.arrivals],
            "fates": self._fates[:n].tolist(),
            "steps": self._steps[:n].tolist(),
            **{name: _plain(getattr(self, f"_{name}")[:n]) for name in _FLOATS},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.ids, self.ended = list(state["ids"]), list(state["ended"])
        self.arrivals = [(row, level) for row, level in state["arrivals"]]
        n = len(self.ids)
        self._reserve(max(64, n))
        self._fates[:n], self._steps[:n] = state["fates"], state["steps"]
        for name, missing in _FLOATS.items():
            column = getattr(self, f"_{name}")
            if n and column[:n].size:
                given = np.array(state[name], dtype=np.float64)
                column[:n] = np.where(np.isnan(given), missing, given)
        self._live = {self.ids[row]: int(row) for row in self.pending}
        self._seen = {key_of(point) for point in self.points}
        done = [row for row in self.ended if self._fates[row] == Fate.DONE]
        self._done[: len(done)], self._finished = done, len(done)
        self._ranked = np.empty(0, dtype=np.int64)

    def _reserve(self, rows: int) -> None:
        """Room for `rows` trials; what is there is kept."""
        shapes = {
            "points": len(self.space.dims),
            "rungs": len(self.levels),
            "values": len(self.watched),
        }
        for name, missing in _FLOATS.items():
            width = shapes.get(name)
            room = np.full((rows,) if width is None else (rows, width), missing)
            self._move(f"_{name}", room)
        self._move("_fates", np.zeros(rows, dtype=np.int8))
        self._move("_steps", np.zeros(rows, dtype=np.int64))
        self._move("_done", np.zeros(rows, dtype=np.int64))

    def _move(self, name: str, room: npt.NDArray[Any]) -> None:
        n = min(len(self.ids), len(getattr(self, name, ())))
        if n:
            room[:n] = getattr(self, name)[:n]
        setattr(self, name, room)

    _points: Floats
    _scores: Floats
    _costs: Floats
    _rungs: Floats
    _values: Floats
    _fates: npt.NDArray[np.int8]
    _steps: Ints
    _done: Ints


_FLOATS = {
    "points": math.nan, "scores": WORST, "costs": 0.0, "rungs": math.nan, "values": math.nan,
}  # fmt: skip
"""The columns of floats and what stands in them before anything is known."""


def key_of(point: Floats) -> bytes:
    """The same for equal configs; rounded, as a continuous value may come back a hair off."""
    return (np.round(point, 12) + 0.0).tobytes()


def _plain(column: Floats) -> list[Any]:
    if np.isfinite(column).all():
        listed: list[Any] = column.tolist()
        return listed
    return [
        _plain(row) if np.ndim(row) else (float(row) if math.isfinite(row) else None)
        for row in column
    ]
