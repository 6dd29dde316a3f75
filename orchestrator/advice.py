"""Searcher and scheduler behind one guard: what a custom one does wrong costs one lesson or one trial.

A call that raises and an answer that is none are treated alike: a sentence names the class, the call
and the answer, the sweep records it as `Warned`, and what the call was about goes on with the most
careful answer. A call that fails `PATIENCE` times in a row brings the sweep to rest.
"""

from __future__ import annotations

import json
from collections import Counter
from operator import index
from typing import Any

from raysweep.schedulers.base import Breeder, Fork, Promotion, Scheduler
from raysweep.searchers.base import Searcher
from raysweep.trials.decisions import (
    CONTINUE,
    Continue,
    Decision,
    Finish,
    Pause,
    Reason,
    RunTo,
    Stop,
)
from raysweep.trials.events import Warned
from raysweep.trials.trial import UNBOUNDED, Config, Outcome, Report, TrialId

PATIENCE = 10
"""So many failures of one call in a row end the sweep; so do as many failed suggestions."""
_LEAST_GRANT = 1
"""What a trial may run when the scheduler fails to grant: one step, at which it is asked again."""
_LONGEST = 300


class Advice:
    """Tells both of what happens and asks the scheduler; never raises.

    `errors` counts what they did wrong, `last_error` keeps the newest in words; `news` gives what
    should be recorded of it.
    """

    def __init__(self, searcher: Searcher, scheduler: Scheduler) -> None:
        self.searcher, self.scheduler = searcher, scheduler
        self._breeder = scheduler if isinstance(scheduler, Breeder) else None
        self.errors = 0
        self.last_error = ""
        self._total: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._news: list[Warned] = []

    def news(self, at: float) -> list[Warned]:
        """What is to be recorded of errors since the last call, stamped with `at`.

        The first error of a source, its 10th, its 100th and so on, and the one that is too many.
        """
        news, self._news = self._news, []
        return [warned._replace(at=at) for warned in news]

    def wrong(self, call: str, answer: Any, why: str) -> str:
        """The scheduler's `call` gave an answer that is none; what to say of it."""
        name = type(self.scheduler).__name__
        return self._failed("scheduler", call, f"{name}.{call}() answered {_shown(answer)}: {why}")

    def suggested(self, trial: TrialId, config: Config) -> None:
        """A config is in the journal."""
        try:
            self.searcher.suggested(trial, config)
            self._fine("searcher", "suggested")
        except Exception as error:
            self._raised("searcher", "suggested", error)

    def grant(self, trial: TrialId, config: Config) -> int:
        """How far a new trial may run; one step if the scheduler fails to say."""
        try:
            answer = self.scheduler.grant(trial, config)
        except Exception as error:
            self._raised("scheduler", "grant", error)
            return _LEAST_GRANT
        if (step := _step(answer, 0)) is None:
            self.wrong("grant", answer, "a grant is a whole number of steps, 1 or more")
            return _LEAST_GRANT
        self._fine("scheduler", "grant")
        return step

    def decide(self, report: Report, run_to: int, *, mute: bool = False) -> Decision:
        """Tell of a report; what the trial, granted `run_to`, does next.

        Args:
            report: one step of a trial.
            run_to: the step up to which it may run.
            mute: keep it from the searcher: what a child reports is its parent's work as well, and
                a retried trial has ended for the searcher.
        """
        try:
            if not mute:
                self.searcher.tell(report)
                self._fine("searcher", "tell")
        except Exception as error:
            self._raised("searcher", "tell", error)
        try:
            decision = self.scheduler.on_report(report)
        except Exception as error:
            return Stop(Reason(self._raised("scheduler", "on_report", error)))
        if flaw := _flaw(decision, report.step, run_to):
            return Stop(Reason(self.wrong("on_report", decision, flaw)))
        self._fine("scheduler", "on_report")
        return CONTINUE if isinstance(decision, Continue) else decision

    def next_paused(self, *, more: bool) -> Promotion | None:
        """The paused trial to resume; None if the scheduler fails to say."""
        try:
            promotion = self.scheduler.next_paused(more)
        except Exception as error:
            self._raised("scheduler", "next_paused", error)
            return None
        if promotion is None:
            return None
        whole = isinstance(promotion, Promotion) and isinstance(promotion.reason, Reason)
        if not whole or _step(promotion.step, 0) is None:
            self.wrong("next_paused", promotion, "it must be None or a Promotion to a later step")
            return None
        return promotion

    def saved(self, trial: TrialId, step: int) -> None:
        """The newest checkpoint of a live trial stands at `step`; 0: it has none any more."""
        try:
            if self._breeder is not None:
                self._breeder.saved(trial, step)
        except Exception as error:
            self._raised("scheduler", "saved", error)

    def next_fork(self, trial: TrialId) -> Fork | None:
        """Whose child the new trial `trial` shall be; None if no child is due."""
        if self._breeder is None:
            return None
        try:
            fork = self._breeder.next_fork(trial)
            if fork is None:
                return None
            if not (isinstance(fork, Fork) and isinstance(fork.parent, str)):
                self.wrong("next_fork", fork, "it must be None or a Fork of a trial")
                return None
            json.dumps([fork.config, fork.why], allow_nan=False)  # it goes into the journal
            dict(fork.config), dict(fork.why)
            return fork
        except Exception as error:
            self._raised("scheduler", "next_fork", error)
            return None

    def end(self, trial: TrialId, outcome: Outcome, *, mute: bool = False) -> None:
        """A trial has ended for good; with `mute` the searcher does not learn of it."""
        try:
            if not mute:
                self.searcher.end(trial, outcome)
                self._fine("searcher", "end")
        except Exception as error:
            self._raised("searcher", "end", error)
        try:
            self.scheduler.on_end(trial, outcome)
            self._fine("scheduler", "on_end")
        except Exception as error:
            self._raised("scheduler", "on_end", error)

    def state(self) -> dict[str, Any]:
        """What both have learnt, as plain JSON data."""
        return {"searcher": self.searcher.state(), "scheduler": self.scheduler.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.searcher.load(state["searcher"])
        self.scheduler.load(state["scheduler"])

    def _raised(self, source: str, call: str, error: Exception) -> str:
        return self._failed(source, call, f"the {source} raised {type(error).__name__}: {error}")

    def _fine(self, source: str, call: str) -> None:
        if self._in_a_row:
            self._in_a_row.pop(f"{source}.{call}", None)

    def _failed(self, source: str, call: str, message: str) -> str:
        self.errors += 1
        self.last_error = message = message[:_LONGEST]
        self._total[source] += 1
        self._in_a_row[f"{source}.{call}"] += 1
        times, row = self._total[source], self._in_a_row[f"{source}.{call}"]
        if row == PATIENCE or times == 10 ** (len(str(times)) - 1):
            so_far = f" ({times:,} errors so far)" if times > 1 else ""
            self._news.append(Warned(0.0, source, f"{message}, in {call}(){so_far}", row))
        return message


def _step(value: Any, beyond: int) -> int | None:
    """`value` as a step after `beyond`; None if it is none."""
    try:
        step = index(value)
    except TypeError:
        return None
    return step if beyond < step <= UNBOUNDED and not isinstance(value, bool) else None


def _flaw(decision: Any, step: int, run_to: int) -> str:
    """What is wrong with an answer to the report of `step` of a trial granted `run_to`; "" if fine."""
    if isinstance(decision, Continue):
        return "" if step < run_to else "the scheduler gave no decision at its own grant"
    if not isinstance(decision, RunTo | Pause | Stop | Finish):
        return "it must be a Continue, RunTo, Pause, Stop or Finish"
    if not isinstance(decision.reason, Reason):
        return "its reason must be a Reason"
    if isinstance(decision, RunTo) and _step(decision.step, step) is None:
        return f"the trial has reported step {step} already"
    return ""


def _shown(answer: Any) -> str:
    try:
        text = repr(answer)
    except Exception:
        text = f"a {type(answer).__name__}"
    return text if len(text) <= 120 else f"{text[:117]}..."
