"""Searcher and scheduler behind one guard: what a custom one raises costs one lesson or one trial."""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.searchers.base import Searcher
from raysweep.trials.decisions import CONTINUE, Decision, Reason, Stop
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId


class Advice:
    """Tells both of what happens and asks the scheduler; never raises.

    `errors` counts what they raised, `last_error` keeps the newest in words.
    """

    def __init__(self, searcher: Searcher, scheduler: Scheduler) -> None:
        self.searcher, self.scheduler = searcher, scheduler
        self.errors = 0
        self.last_error = ""

    def _raised(self, whose: str, error: Exception) -> str:
        self.errors += 1
        self.last_error = f"the {whose} raised {type(error).__name__}: {error}"
        return self.last_error

    def suggested(self, trial: TrialId, config: Config) -> None:
        """A config is in the journal."""
        try:
            self.searcher.suggested(trial, config)
        except Exception as error:
            self._raised("searcher", error)

    def grant(self, trial: TrialId, config: Config) -> int:
        """How far a new trial may run; all the way if the scheduler fails to say."""
        try:
            return self.scheduler.grant(trial, config)
        except Exception as error:
            self._raised("scheduler", error)
            return UNBOUNDED

    def decide(self, report: Report, run_to: int) -> Decision:
        """Tell both of a report; what the trial, granted `run_to`, does next."""
        try:
            self.searcher.tell(report)
        except Exception as error:
            self._raised("searcher", error)
        try:
            decision = self.scheduler.on_report(report)
        except Exception as error:
            return Stop(Reason(self._raised("scheduler", error)))
        if decision is CONTINUE and report.step >= run_to:
            return Stop(Reason("the scheduler gave no decision at its own grant"))
        return decision

    def next_paused(self, *, more: bool) -> Promotion | None:
        """Whom to resume; nobody if the scheduler fails to say."""
        try:
            return self.scheduler.next_paused(more)
        except Exception as error:
            self._raised("scheduler", error)
            return None

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial has ended for good."""
        try:
            self.searcher.end(trial, outcome)
        except Exception as error:
            self._raised("searcher", error)
        try:
            self.scheduler.on_end(trial, outcome)
        except Exception as error:
            self._raised("scheduler", error)

    def state(self) -> dict[str, Any]:
        """What both have learnt, as plain JSON data."""
        return {"searcher": self.searcher.state(), "scheduler": self.scheduler.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.searcher.load(state["searcher"])
        self.scheduler.load(state["scheduler"])
