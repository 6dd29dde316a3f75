"""Threshold stopping: end a trial whose value is beyond a bound.

As Optuna's `ThresholdPruner`: below `lower` or above `upper`, in the metric's own unit and
whichever way it is better. A loss that has exploded is above a bound, an accuracy that is no better
than guessing is below one, and a value that cannot be is beyond the other. A bound may be a number
or change with the steps: [[1, 100.0], [50, 2.5]] is 100 from step 1 and 2.5 from step 50 on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Self

from raysweep.schedulers.periodic import Periodic
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import Reason
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.options import Option, is_number, is_whole
from raysweep.trials.trial import Outcome, Report, TrialId

Bound = float | Sequence[tuple[int, float]]
"""A number, or numbers with the steps from which they hold, ascending."""


class Line:
    """A bound as a function of the step; `otherwise` before the first one, or without any.

    Attributes:
        steps: those from which another value holds.
    """

    def __init__(self, bound: Bound | None, otherwise: float) -> None:
        pairs = [] if bound is None else [(1, bound)] if isinstance(bound, int | float) else bound
        self.steps = [step for step, _ in pairs]
        self._scores = [otherwise, *(float(score) for _, score in pairs)]

    def at(self, step: int) -> float:
        """The bound at `step`."""
        return self._scores[bisect_right(self.steps, step)]


class Threshold(Periodic):
    """Stop whose score is beyond a bound.

    Args:
        least: the smallest score that goes on; None: any.
        most: the largest score that goes on; None: any finite one.
        max_t: the step at which a trial is complete; None: when its training code ends.
        grace_period: no trial is stopped before this step.
        interval: steps between two decisions.
    """

    def __init__(
        self,
        least: Bound | None = None,
        most: Bound | None = None,
        max_t: int | None = None,
        grace_period: int = 1,
        interval: int = 1,
    ) -> None:
        super().__init__(max_t, grace_period, interval)
        self._least, self._most = Line(least, -inf), Line(most, WORST)

    @classmethod
    def of(
        cls,
        setting: Setting,
        lower: Bound | None = None,
        upper: Bound | None = None,
        **options: Any,
    ) -> Self:
        """From bounds in the unit of the metric that ranks trials.

        Args:
            setting: its goal says which way the metric is better, so which bound is that of the bad.
            lower, upper: the smallest and the largest value that goes on; None: any.
            options: as of the class.
        """
        goal = setting.goal
        assert goal is not None, "the catalogue asks for it"
        bounds = [_as_scores(goal, bound) for bound in (lower, upper)]
        least, most = bounds if goal.mode == "min" else reversed(bounds)
        return cls(least, most, **options)

    def _hear(self, report: Report) -> None:
        """Nothing is remembered."""

    def _judge(self, report: Report) -> tuple[bool, Reason]:
        """The bound that is named is the one that is broken, else that of the bad ones."""
        least, most = self._least.at(report.step), self._most.at(report.step)
        low = report.score < least
        named = least if low or most == WORST else most
        cutoff = None if abs(named) == inf else named
        stops = low or report.score > most or report.score == WORST
        return stops, Reason("threshold", report.step, report.score, cutoff)

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Nothing to forget."""

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""


def _as_scores(goal: Goal, bound: Bound | None) -> Bound | None:
    if bound is None or isinstance(bound, int | float):
        return None if bound is None else goal.scores([bound])[0]
    scores = goal.scores([value for _, value in bound])
    return [(step, score) for (step, _), score in zip(bound, scores, strict=True)]


def bound() -> Option:
    """An option that is a bound: one number, or one from each of several steps on."""
    return Option(
        "a number, or [step, number] pairs with ascending steps of 1 or more",
        lambda v: is_number(v) or _are_pairs(v),
    )


def _are_pairs(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value):
        return False
    steps = [step for step, _ in value]
    return (
        all(is_whole(step) and step >= 1 for step in steps)
        and steps == sorted(set(steps))
        and all(is_number(number) for _, number in value)
    )


def bounds_amiss(options: Mapping[str, Any]) -> str:
    """What is wrong with bounds that are each allowed; "" for nothing."""
    lower, upper = options["lower"], options["upper"]
    if lower is None and upper is None:
        return "neither lower nor upper is given; give one of them, or both"
    low, high = Line(lower, float("-inf")), Line(upper, float("inf"))
    for step in sorted({1, *low.steps, *high.steps}):
        if low.at(step) > high.at(step):
            return (
                f"lower {low.at(step):g} is above upper {high.at(step):g} from step {step} on, so "
                f"no value could go on; swap them"
            )
    return ""
