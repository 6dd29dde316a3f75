"""What "better" means: the only place where a sign is flipped and where NaN is ranked last."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Mode = Literal["min", "max"]
WORST = math.inf
"""The score of a report that has no finite value; it loses against every finite score."""
_LARGEST = sys.float_info.max


class Goal(NamedTuple):
    """The metrics that a sweep optimises, first the one that ranks trials.

    A *score* is always to be minimised: the metric itself for `min`, its negative for `max`, and
    `WORST` for what is missing, not a number, or infinite.
    """

    metrics: tuple[tuple[str, Mode], ...]

    @property
    def metric(self) -> str:
        """The name of the metric that ranks trials."""
        return self.metrics[0][0]

    @property
    def mode(self) -> Mode:
        """Which way the ranking metric is better."""
        return self.metrics[0][1]

    def score(self, metrics: Mapping[str, object]) -> float:
        """The score of one report: lower is better, `WORST` if there is no finite value."""
        return self.scores([metrics.get(self.metrics[0][0])])[0]

    def vector(self, metrics: Mapping[str, object]) -> tuple[float, ...]:
        """The scores of one report in all metrics, the ranking one's first."""
        return tuple(_score(metrics.get(name), mode) for name, mode in self.metrics)

    def scores(self, column: Sequence[object]) -> list[float]:
        """The scores of values of the ranking metric; quick where they are floats, as most are."""
        sign = -1.0 if self.metrics[0][1] == "max" else 1.0
        return [
            sign * value
            if type(value) is float and -_LARGEST <= value <= _LARGEST
            else _score(value, self.mode)
            for value in column
        ]

    def value(self, score: float) -> float:
        """The metric's value behind a score; NaN for `WORST`."""
        if score == WORST:
            return math.nan
        return -score if self.mode == "max" else score

    def missing(self, metrics: Mapping[str, object]) -> tuple[str, ...]:
        """The names of this goal's metrics that a report lacks altogether."""
        return tuple(name for name, _ in self.metrics if name not in metrics)


def _score(value: object, mode: Mode) -> float:
    if not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
        return WORST
    return float(-value if mode == "max" else value)
