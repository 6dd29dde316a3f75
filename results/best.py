"""A trial's best live value so far, kept such that a restart from a checkpoint can take it back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raysweep.results.columns import as_float
from raysweep.results.ledger import Trials
from raysweep.trials.goal import Goal

_NAN = math.nan


class Best(NamedTuple):
    """A best so far: its step and the goal's metrics there."""

    step: int
    values: tuple[float, ...]


class BestSoFar:
    """Follows the goal's first metric, per trial, in its own direction.

    While a trial may still restart, its successive bests stay on a stack, so that those beyond
    the restart can be dropped. Bests below the last checkpoint but one are merged into one.
    """

    def __init__(self, trials: Trials, goal: Goal) -> None:
        self._trials = trials
        self._names = tuple(name for name, _ in goal.metrics)
        self._sign = self.sign = -1.0 if goal.mode == "max" else 1.0
        self._climbs: dict[int, list[Best]] = {}
        self._kept: dict[int, tuple[int, int]] = {}

    def follow(
        self, trial: int, steps: Sequence[int], metrics: Mapping[str, Sequence[Any]]
    ) -> None:
        """Take in a batch of a trial's reports."""
        trials = self._trials
        values = metrics.get(self._names[0])
        if values is None:
            trials.last_value[trial], trials.valued[trial] = _NAN, 0
            return
        best, sign, alone = trials.best_value[trial], self._sign, len(self._names) == 1
        score = sign * best if best == best else math.inf
        for position, value in enumerate(values):
            number = value if type(value) is float else _real(value)
            if -math.inf < sign * number < score:
                score = sign * number
                found = (number,) if alone else self._row(metrics, position)
                self._climbs.setdefault(trial, []).append(Best(steps[position], found))
        if score < math.inf and score != sign * best:
            self._show(trial, self._climbs[trial][-1])
        trials.valued[trial] = isinstance(values[-1], (int, float))
        trials.last_value[trial] = _real(values[-1])

    def _row(self, metrics: Mapping[str, Sequence[Any]], position: int) -> tuple[float, ...]:
        """All of the goal's metrics at one step of a batch."""
        return tuple(_at(metrics.get(name), position) for name in self._names)

    def supersede(self, trial: int, step: int) -> None:
        """An attempt begins at `step`: what earlier ones reported beyond it is no longer live."""
        trials = self._trials
        if trials.steps[trial] <= step:
            return
        trials.steps[trial] = step
        trials.last_value[trial], trials.valued[trial] = _NAN, 0
        climb = self._climbs.get(trial, [])
        while climb and climb[-1].step > step:
            climb.pop()
        self._show(trial, climb[-1] if climb else None)

    def keep(self, trial: int, step: int) -> None:
        """A checkpoint at `step`: restarts go back to it, to the one before it, or to 0."""
        older, newer = self._kept.get(trial, (0, 0))
        if step != newer:
            self._kept[trial] = older, newer = newer, step
        climb = self._climbs.get(trial, [])
        below = sum(best.step <= older for best in climb)
        if below > 1:
            del climb[: below - 1]

    def forget(self, trial: int) -> None:
        """The trial has ended: its best is final."""
        self._climbs.pop(trial, None)
        self._kept.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """What the trials' rows do not say; plain JSON data."""
        ids = self._trials.ids
        return {
            "climbs": {ids[trial]: climb for trial, climb in self._climbs.items()},
            "kept": {ids[trial]: steps for trial, steps in self._kept.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        index = self._trials.index
        for name, climb in state["climbs"].items():
            self._climbs[index[name]] = [Best(step, tuple(values)) for step, values in climb]
        self._kept = {index[name]: (older, newer) for name, (older, newer) in state["kept"].items()}

    def _show(self, trial: int, best: Best | None) -> None:
        """Write a best into the trial's row."""
        trials = self._trials
        trials.best_value[trial] = best.values[0] if best else _NAN
        trials.best_step[trial] = best.step if best else -1
        for number, goal in enumerate(trials.goals.values()):
            goal[trial] = best.values[number] if best else _NAN


def _real(value: Any) -> float:
    """A number as a double; NaN for anything else."""
    number = as_float(value) if isinstance(value, (int, float)) else None
    return _NAN if number is None else number


def _at(values: Sequence[Any] | None, position: int) -> float:
    """A metric's value at one step of a batch; NaN where it is missing."""
    return _NAN if values is None else _real(values[position])
