"""Several ladders side by side, each with a later first rung: asynchronous HyperBand.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, section 3.2: where
nobody knows how early a trial may be judged, trials are spread over brackets, each an ASHA of its
own. A trial's bracket depends on its id alone, so it is in no state and a resume finds it again.

What share of the trials a bracket gets, with k the number of steps at which it decides, R among
them, and K that of the first bracket:

    HyperBand's     ⌊K / k⌋ · η^(k − 1), the n_s of Li et al., JMLR 18 (2018), with s + 1 = k
    Ray Tune's      e^k
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from raysweep.schedulers import hyperband
from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.rungs import rung_steps
from raysweep.trials.decisions import Decision
from raysweep.trials.streams import Stream
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId

Shares = Callable[[Sequence[int], int], list[float]]
"""From the number of deciding steps of each bracket and η to what each gets, as proportions."""


def hyperband_shares(depths: Sequence[int], reduction_factor: int) -> list[float]:
    """HyperBand's proportions.

    Example:
        >>> hyperband_shares([5, 4, 3, 2, 1], 3)
        [81.0, 27.0, 9.0, 6.0, 5.0]
    """
    return [float(depths[0] // depth * reduction_factor ** (depth - 1)) for depth in depths]


def tune_shares(depths: Sequence[int], reduction_factor: int) -> list[float]:
    """Ray Tune's proportions."""
    return [math.exp(depth - depths[0]) for depth in depths]


class Brackets:
    """Schedulers among which trials are spread.

    Args:
        ladders: one a bracket.
        shares: what each gets of the trials, as proportions.
    """

    def __init__(self, ladders: Sequence[Scheduler], shares: Sequence[float]) -> None:
        self._ladders, whole = list(ladders), sum(shares)
        self._shares = [share / whole for share in shares]
        self._drawn: dict[TrialId, Scheduler] = {}  # of those that live, as a draw takes its time

    def _of(self, trial: TrialId) -> Scheduler:
        ladder = self._drawn.get(trial)
        if ladder is None:
            ladder = self._drawn[trial] = self._draw(trial)
        return ladder

    def _draw(self, trial: TrialId) -> Scheduler:
        point = Stream(0, trial, "bracket").uniform()
        for ladder, share in zip(self._ladders, self._shares, strict=True):
            point -= share
            if point < 0:
                return ladder
        return self._ladders[0]

    def grant(self, trial: TrialId, config: Config) -> int:
        """The first rung of the trial's own ladder."""
        return self._of(trial).grant(trial, config)

    def on_report(self, report: Report) -> Decision:
        """As the trial's own ladder decides."""
        return self._of(report.trial).on_report(report)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """The first ladder's, in the order of their grace periods, that has one."""
        for ladder in self._ladders:
            if promotion := ladder.next_paused(more):
                return promotion
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Told to the trial's own ladder."""
        self._of(trial).on_end(trial, outcome)
        del self._drawn[trial]

    def state(self) -> dict[str, Any]:
        """The ladders' states."""
        return {"ladders": [ladder.state() for ladder in self._ladders]}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        for ladder, saved in zip(self._ladders, state["ladders"], strict=True):
            ladder.load(saved)


def of_asha(
    form: type[PromotionAsha] | type[StoppingAsha],
    max_t: int | None,
    grace_period: int,
    reduction_factor: int,
    brackets: int,
    shares: Shares = hyperband_shares,
) -> Brackets:
    """`brackets` ASHAs of one form, the s-th with grace_period · η^s, at most max_t."""
    end = UNBOUNDED if max_t is None else max_t
    first = [min(grace_period * reduction_factor**s, end) for s in range(brackets)]
    steps = [rung_steps(grace, end, reduction_factor) for grace in first]
    ladders = [
        form(max_t, reduction_factor=reduction_factor, steps=rungs, rule=f"asha bracket {s}")
        for s, rungs in enumerate(steps)
    ]
    return Brackets(ladders, shares([len(rungs) + 1 for rungs in steps], reduction_factor))


def of_hyperband(max_t: int, grace_period: int, reduction_factor: int) -> Brackets:
    """The brackets of HyperBand's table, rungs and proportions, as ASHAs that promote."""
    shapes = hyperband.brackets(max_t, grace_period, reduction_factor)
    ladders = [
        PromotionAsha(
            max_t,
            reduction_factor=reduction_factor,
            steps=shape.steps[:-1],
            rule=f"hyperband bracket {number}",
        )
        for number, shape in enumerate(shapes)
    ]
    return Brackets(ladders, [float(shape.trials) for shape in shapes])
