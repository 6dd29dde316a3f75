"""Searcher and scheduler behind one guard: what a custom one does wrong costs one lesson or one trial.

A call that raises and an answer that is none are treated alike: a sentence names the class, the call
and the answer, the sweep records it as `Warned`, and what the call was about goes on with the most
careful answer. A call that fails `PATIENCE` times in a row brings the sweep to rest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from raysweep.orchestrator.answers import (
    WrongAnswer,
    said,
    shown,
    whole_decision,
    whole_fork,
    whole_promotion,
    whole_step,
)
from raysweep.schedulers.base import Breeder, Fork, Promotion, Scheduler
from raysweep.searchers.base import Searcher
from raysweep.trials.decisions import Decision, Reason, Stop
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Warned
from raysweep.trials.trial import Config, Outcome, Report, TrialId

PATIENCE = 10
"""So many failures of one call in a row end the sweep; so do as many failed suggestions."""
_LEAST_GRANT = 1
"""What a trial may run when the scheduler fails to grant: one step, at which it is asked again."""
_LONGEST = 300

T = TypeVar("T")
Overdue = Callable[[bool], Iterable[tuple[str, BaseException | None]]]
"""What came of calls that were made elsewhere: the call and what it raised, None if nothing any more.

With True it waits for the calls under way."""


class Advice:
    """Tells both of what happens and asks the scheduler; never raises.

    Attributes:
        errors: counts what they did wrong; `last_error` keeps the newest in words.
        overdue: of a searcher that is called in another thread, what came of that; else None.
    """

    def __init__(self, searcher: Searcher, scheduler: Scheduler) -> None:
        self.searcher, self.scheduler = searcher, scheduler
        self._breeds = isinstance(scheduler, Breeder)
        self.errors = 0
        self.last_error = ""
        self.overdue: Overdue | None = None
        self._total: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._news: list[Warned] = []

    def news(self, at: float, *, wait: bool = False) -> list[Warned]:
        """What is to be recorded of errors since the last call, stamped with `at`.

        The first error of a source, its 10th, its 100th and so on, and the one that is too many.

        Args:
            at: the sweep's age.
            wait: until a searcher in another thread has taken in all that it was told.
        """
        if self.overdue is not None:
            for call, error in self.overdue(wait):
                if error is None:
                    self._fine("searcher", call)
                else:
                    self._raised("searcher", call, error)
        news, self._news = self._news, []
        return [warned._replace(at=at) for warned in news]

    def suggested(self, trial: TrialId, config: Config) -> None:
        """A config is in the journal."""
        self._teach("suggested", trial, dict(config))

    def grant(self, trial: TrialId, config: Config) -> int:
        """How far a new trial may run; one step if the scheduler fails to say."""
        rule = "a grant is a whole number of steps, 1 or more"
        given = (trial, dict(config))
        return self._ask(
            "grant", given, lambda answer: whole_step(answer, 0, rule), lambda _: _LEAST_GRANT
        )

    def decide(self, report: Report, run_to: int, *, mute: bool = False) -> Decision:
        """Tell of a report; what the trial, granted `run_to`, does next.

        Args:
            report: one step of a trial.
            run_to: the step up to which it may run.
            mute: keep it from the searcher: what a child reports is its parent's work as well, and
                a retried trial has ended for the searcher.
        """
        if not mute:
            self._teach("tell", report)
        whole = partial(whole_decision, step=report.step, run_to=run_to)
        return self._ask("on_report", (report,), whole, _stop)

    def next_paused(self, flaw: Callable[[Promotion], str], *, more: bool) -> Promotion | None:
        """The paused trial to resume; None if there is none, or the scheduler fails to say.

        Args:
            flaw: what is wrong with a promotion; "" if it can be followed.
            more: new trials may still come.
        """

        def whole(answer: Any) -> Promotion | None:
            promotion = None if answer is None else whole_promotion(answer)
            if promotion is not None and (wrong := flaw(promotion)):
                raise WrongAnswer(wrong)
            return promotion

        return self._ask("next_paused", (more,), whole, _nothing)

    def saved(self, trial: TrialId, step: int) -> None:
        """The newest checkpoint of a live trial stands at `step`; 0: it has none any more."""
        if self._breeds:
            self._ask("saved", (trial, step), _nothing, _nothing)

    def next_fork(self, trial: TrialId, flaw: Callable[[Fork], str]) -> Fork | None:
        """Whose child the new trial `trial` shall be; None if no child is due.

        Args:
            trial: the child's id.
            flaw: what is wrong with a fork; "" if it can be made.
        """
        if not self._breeds:
            return None

        def whole(answer: Any) -> Fork | None:
            fork = None if answer is None else whole_fork(answer)
            if fork is not None and (wrong := flaw(fork)):
                raise WrongAnswer(wrong)
            return fork

        return self._ask("next_fork", (trial,), whole, _nothing)

    def end(self, trial: TrialId, outcome: Outcome, *, mute: bool = False) -> None:
        """A trial has ended for good; with `mute` the searcher does not learn of it."""
        if not mute:
            self._teach("end", trial, outcome)
        self._ask("on_end", (trial, outcome), _nothing, _nothing)

    def can_write(self) -> bool:
        """Whether both can write down what they have learnt; else a resume replays the journal."""
        for source, it in (("searcher", self.searcher), ("scheduler", self.scheduler)):
            try:
                json.dumps(it.state())
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                name = type(it).__name__
                self._failed(source, "state", f"{name}.state() is no plain data: {said(error)}")
                return False
            self._fine(source, "state")
        return True

    def state(self) -> dict[str, Any]:
        """What both have learnt, as plain JSON data."""
        return {"searcher": self.searcher.state(), "scheduler": self.scheduler.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave.

        Raises:
            SpecError: one of them cannot.
        """
        for who, it in (("searcher", self.searcher), ("scheduler", self.scheduler)):
            try:
                it.load(state[who])
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                raise SpecError(
                    f"{type(it).__name__}.load() raised {said(error)}: a resume gives the {who} "
                    f"what its own state() gave; pass one of the same kind as before"
                ) from error

    def _teach(self, call: str, *arguments: Any) -> None:
        """Tell the searcher."""
        try:
            getattr(self.searcher, call)(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also exit() in a user's code
            self._raised("searcher", call, error)
        else:
            if self._in_a_row and self.overdue is None:
                self._fine("searcher", call)

    def _ask(
        self,
        call: str,
        arguments: tuple[Any, ...],
        whole: Callable[[Any], T],
        otherwise: Callable[[str], T],
    ) -> T:
        """What the scheduler answers to `call`; what `otherwise` makes of an error's message."""
        try:
            answer = getattr(self.scheduler, call)(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also exit() in a user's code
            return otherwise(self._raised("scheduler", call, error))
        try:
            good = whole(answer)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a user's object may raise wherever it is looked at
            why = str(error) if isinstance(error, WrongAnswer) else said(error)
            name = type(self.scheduler).__name__
            message = f"{name}.{call}() answered {shown(answer)}: {why}"
            return otherwise(self._failed("scheduler", call, message))
        if self._in_a_row:
            self._fine("scheduler", call)
        return good

    def _raised(self, source: str, call: str, error: BaseException) -> str:
        return self._failed(source, call, f"the {source} raised {said(error)}")

    def _fine(self, source: str, call: str) -> None:
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


def _stop(message: str) -> Decision:
    """What becomes of a trial whose report the scheduler fails to judge."""
    return Stop(Reason(message))


def _nothing(answer: Any) -> None:
    """What comes of a call whose answer does not count, or has failed."""
