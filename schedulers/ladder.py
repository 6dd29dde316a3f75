"""What rules share that compare trials at rungs: where these are, and what happens between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from raysweep.schedulers.rungs import rung_steps
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason
from raysweep.trials.trial import UNBOUNDED, Config, Report, TrialId


class Ladder(ABC):
    """The steps of the rungs, and the end at max_t.

    Args:
        max_t: R, the step at which a trial is complete; None: never, by the scheduler.
        grace_period: g, the first rung.
        reduction_factor: η ≥ 2.
        steps: those of the rungs, ascending and below R; None: g, gη, gη², …
    """

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        reduction_factor: int = 3,
        *,
        steps: Sequence[int] | None = None,
    ) -> None:
        self._max_t = UNBOUNDED if max_t is None else max_t
        self._eta = reduction_factor
        if steps is None:
            steps = rung_steps(grace_period, self._max_t, reduction_factor)
        self._steps = list(steps)
        self._index = {step: i for i, step in enumerate(steps)}

    def _above(self, index: int) -> int:
        """The step of the rung above rung `index`; max_t above the last."""
        return self._steps[index + 1] if index + 1 < len(self._steps) else self._max_t

    def grant(self, trial: TrialId, config: Config) -> int:
        """A new trial may run to the first rung."""
        return self._above(-1)

    def on_report(self, report: Report) -> Decision:
        """Compare at rungs, finish at max_t."""
        if report.step >= self._max_t:
            return Finish(Reason("max_t", self._max_t, report.score))
        index = self._index.get(report.step)
        return CONTINUE if index is None else self._at_rung(index, report)

    @abstractmethod
    def _at_rung(self, index: int, report: Report) -> Decision:
        """Decide on a trial that has reached rung `index`."""
