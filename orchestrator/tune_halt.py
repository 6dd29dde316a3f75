"""Ending a whole sweep after its first failure."""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.trials.decisions import Decision, Reason, Stop
from raysweep.trials.trial import Config, Outcome, Report, Status, TrialId


class FailFast:
    """A scheduler that stops every trial at its next report once one has failed.

    Tune's `FailureConfig(fail_fast=True)`.

    Args:
        inner: decides until then.
    """

    def __init__(self, inner: Scheduler) -> None:
        self._inner, self._failed = inner, ""

    @property
    def stopping(self) -> bool:
        """Whether the sweep is to end."""
        return bool(self._failed) or getattr(self._inner, "stopping", False)

    def grant(self, trial: TrialId, config: Config) -> int:
        """As the inner one says."""
        return self._inner.grant(trial, config)

    def on_report(self, report: Report) -> Decision:
        """Stop once a trial has failed; else as the inner one says."""
        decision = self._inner.on_report(report)
        return Stop(Reason(f"fail_fast: {self._failed} failed")) if self._failed else decision

    def final(self, report: Report) -> None:
        """The last report of a trial, for an inner one that wants to be told of it."""
        if hasattr(self._inner, "final"):
            self._inner.final(report)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Nobody once a trial has failed; else as the inner one says."""
        return None if self._failed else self._inner.next_paused(more)

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Look at how it ended."""
        self._inner.on_end(trial, outcome)
        if outcome.status is Status.FAILED:
            self._failed = self._failed or trial

    def state(self) -> dict[str, Any]:
        """Who failed first, and what the inner one knows."""
        return {"failed": self._failed, "inner": self._inner.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._failed = state["failed"]
        self._inner.load(state["inner"])
