"""What a model of learning curves knows of the trials: least scores at rungs, paces, configs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.trials.goal import WORST
from raysweep.trials.trial import Report

Array = npt.NDArray[np.float64]


class Curve:
    """One trial's.

    Args:
        point: its config in the unit cube, an axis each; None: the axis is inactive.

    Attributes:
        least: its best score so far, `WORST` if it has none.
        rungs: its best score up to each rung that it has reached.
    """

    __slots__ = ("_attempt", "_elapsed_s", "_seconds", "_steps", "least", "point", "rungs")

    def __init__(self, point: list[float | None]) -> None:
        self.point = point
        self.least = WORST
        self.rungs: list[float] = []
        self._steps, self._seconds = 0, 0.0
        self._attempt, self._elapsed_s = 0, 0.0

    def hear(self, report: Report) -> None:
        """Take in one step."""
        self.least = min(self.least, report.score)
        before_s = self._elapsed_s if report.attempt == self._attempt else 0.0
        self._steps += 1
        self._seconds += max(0.0, report.elapsed_s - before_s)
        self._attempt, self._elapsed_s = report.attempt, report.elapsed_s

    @property
    def pace_s(self) -> float:
        """Seconds of a step; 0: nobody measured them."""
        return self._seconds / self._steps if self._steps else 0.0

    def state(self) -> list[Any]:
        """As plain JSON data."""
        return [getattr(self, name) for name in _FIELDS]

    @classmethod
    def of(cls, state: list[Any]) -> Curve:
        """The curve that gave this `state`."""
        made = cls([])
        for name, value in zip(_FIELDS, state, strict=True):
            setattr(made, name, value)
        return made


_FIELDS = ("point", "least", "rungs", "_steps", "_seconds", "_attempt", "_elapsed_s")


def scores_of(curves: Iterable[Curve], rungs: int) -> Array:
    """Their least scores up to each rung, shape (n, rungs), NaN where none of it was reached."""
    return np.array(
        [curve.rungs + [np.nan] * (rungs - len(curve.rungs)) for curve in curves]
    ).reshape(-1, rungs)


def points_of(curves: Iterable[Curve]) -> Array:
    """Their configs, shape (n, d), NaN where an axis is inactive."""
    rows = [curve.point for curve in curves]
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)
