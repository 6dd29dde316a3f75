"""Ray Tune's `RunConfig.stop` around any of our schedulers.

A trial that meets the condition is COMPLETED, as it is TERMINATED in Tune, and the scheduler does
not decide on its last report. Once a stopper's `stop_all` holds, every trial ends at its next report
and `stopping` tells whoever starts trials to start none.

A limit on `training_iteration` alone only shortens grants; any other condition is asked at each
step. Stoppers that remember are taken through all results again on resume, so only stoppers that go
by results can be repeated exactly. `TimeoutStopper` goes by the clock; it is never asked, and
its time is for the sweep's budget.
"""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.tune_conditions import Condition, read_stop, timeout_s
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.trial import Config, Outcome, Report, TrialId
from raysweep.trials.tune_result import STEP, tune_result


class Stopped:
    """`inner`, and `stop` before it.

    Args:
        inner: decides on what `stop` lets pass. One with a method `final` (a guest from Tune) is
            only told of the report that ends a trial; any other is asked, and its answer dropped,
            so that what the trial showed counts for those after it.
        stop: a dict of metrics with the values at or above which a trial ends, a function of trial
            id and result, a `ray.tune.Stopper`, or a list of these.

    Attributes:
        timeout_s: the shortest time of the `TimeoutStopper`s in `stop`, for the sweep's budget; None
            if there are none.

    Raises:
        SpecError: `stop` is none of these.
    """

    def __init__(self, inner: Scheduler, stop: Any) -> None:
        self._inner = inner
        self._condition: Condition = read_stop(stop)
        self.timeout_s = timeout_s(stop)
        self._wanted: dict[TrialId, int] = {}  # how far the inner one lets each run
        self._granted: dict[TrialId, int] = {}
        self._at: dict[TrialId, int] = {}  # the steps that have been told
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether no trial is to start or to go on any more."""
        return self._stopping or bool(getattr(self._inner, "stopping", False))

    def grant(self, trial: TrialId, config: Config) -> int:
        """As the inner one says, or less."""
        return self._shorten(trial, self._inner.grant(trial, config), 0)

    def on_report(self, report: Report) -> Decision:
        """Finish what meets the condition; else as the inner one says."""
        trial, step = report.trial, report.step
        result = tune_result(trial, step, report.metrics)
        self._at[trial] = step
        if self._stopping:
            return self._last(report, Stop(Reason("stop_all", score=report.score)))
        met = self._condition.met(trial, result)
        self._stopping = self._condition.stop_all()
        if met:
            return self._last(report, Finish(Reason("stop", score=report.score)))
        if self._stopping:
            return self._last(report, Stop(Reason("stop_all", score=report.score)))
        return self._inner_decision(report, step - int(result[STEP]))

    def next_paused(self, more: bool = True) -> Promotion | None:
        """As the inner one says, while the sweep goes on."""
        promotion = None if self._stopping else self._inner.next_paused(more)
        if promotion is None:
            return None
        trial, step, why = promotion
        return Promotion(trial, self._shorten(trial, step, self._at.get(trial, 0)), why)

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Forget its grants."""
        for steps in (self._wanted, self._granted, self._at):
            steps.pop(trial, None)
        self._condition.forget(trial)
        self._inner.on_end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """Grants, the results that a stopper remembers, and what the inner one knows."""
        return {
            "inner": self._inner.state(),
            "condition": self._condition.state(),
            "wanted": self._wanted,
            "granted": self._granted,
            "at": self._at,
            "stopping": self._stopping,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._inner.load(state["inner"])
        self._condition.load(state["condition"])
        self._wanted, self._granted = dict(state["wanted"]), dict(state["granted"])
        self._at, self._stopping = dict(state["at"]), state["stopping"]

    def _inner_decision(self, report: Report, lead: int) -> Decision:
        """What the inner one decides; `lead`: how far our steps are ahead of the user's."""
        trial, step = report.trial, report.step
        decision = self._inner.on_report(report)
        if isinstance(decision, RunTo):
            return RunTo(self._shorten(trial, decision.step, step, lead), decision.reason)
        if isinstance(decision, (Pause, Stop, Finish)) or step < self._granted.get(trial, 0):
            return decision
        wanted = self._wanted.get(trial, step)
        if wanted <= step:
            return CONTINUE  # the inner one owes a decision; who called says so
        return RunTo(
            self._shorten(trial, wanted, step, lead), Reason("stop: not met", score=report.score)
        )

    def _shorten(self, trial: TrialId, wanted: int, step: int, lead: int = 0) -> int:
        """Grant the trial, which stands at `step`, up to `wanted`, or to where `stop` may hold."""
        limit = self._condition.limit
        ask_at = step + 1 if limit is None else max(limit + lead, step + 1)
        self._wanted[trial] = wanted
        self._granted[trial] = min(wanted, ask_at)
        return self._granted[trial]

    def _last(self, report: Report, decision: Decision) -> Decision:
        final = getattr(self._inner, "final", None)
        (final or self._inner.on_report)(report)
        return decision
