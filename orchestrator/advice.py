"""Searcher and scheduler behind one guard: what a custom one raises costs one lesson or one trial."""

from __future__ import annotations

import json
from typing import Any

from raysweep.schedulers.base import Breeder, Fork, Promotion, Scheduler
from raysweep.searchers.base import Searcher
from raysweep.trials.decisions import CONTINUE, Decision, Reason, Stop
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId


class Advice:
    """Tells both of what happens and asks the scheduler; never raises.

    `errors` counts what they raised, `last_error` keeps the newest in words.
    """

    def __init__(self, searcher: Searcher, scheduler: Scheduler) -> None:
        self.searcher, self.scheduler = searcher, scheduler
        self._breeder = scheduler if isinstance(scheduler, Breeder) else None
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

    def decide(self, report: Report, run_to: int, *, child: bool = False) -> Decision:
        """Tell of a report; what the trial, granted `run_to`, does next.

        The searcher hears nothing of children: what they report is their parents' work as well.
        """
        try:
            if not child:
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

    def saved(self, trial: TrialId, step: int) -> None:
        """The newest checkpoint of a live trial stands at `step`; 0: it has none any more."""
        try:
            if self._breeder is not None:
                self._breeder.saved(trial, step)
        except Exception as error:
            self._raised("scheduler", error)

    def next_fork(self, trial: TrialId) -> Fork | None:
        """Whose child the new trial `trial` shall be; None if no child is due."""
        if self._breeder is None:
            return None
        try:
            fork = self._breeder.next_fork(trial)
            if fork is not None:
                json.dumps([fork.config, fork.why], allow_nan=False)  # it goes into the journal
            return fork
        except Exception as error:
            self._raised("scheduler", error)
            return None

    def end(self, trial: TrialId, outcome: Outcome, *, child: bool = False) -> None:
        """A trial has ended for good."""
        try:
            if not child:
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
