"""Asks a searcher in a thread of its own, so that trials' reports do not wait for a suggestion.

Only that thread calls the searcher: first it passes on all that was told, in the order in which it
was told, and then it asks for one config. What it finds enters the sweep as any event does, when
the loop next looks, and is recorded there; nothing in the thread matters to a resume.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from raysweep.orchestrator.advice import Advice
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.spec import SweepSpec
from raysweep.searchers.base import Answer, Searcher
from raysweep.searchers.catalog import SEARCHERS
from raysweep.trials.events import Deferred, Event, SuggestFailed
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId

_FAREWELL_S = 1.0
"""How long a closing sweep waits for a suggestion that nobody needs any more."""

T = TypeVar("T")


class Asking(NamedTuple):
    """`propose` and `answers` of a `Loop`."""

    propose: Callable[[TrialId, float], Event | None]
    answers: Callable[[float], Sequence[Event]]


def asked_aside(name: str, searcher: Searcher) -> bool:
    """Whether a searcher, called `name` in the spec, may take long to answer.

    Those that look at no result answer at once. One that says `in_turn` is asked between one event
    and the next in any case.
    """
    entry = SEARCHERS.get(name)
    learns = entry is None or entry.learns  # an object of the user's has no entry
    return learns and not getattr(searcher, "in_turn", False)


@contextmanager
def asking(spec: SweepSpec, advice: Advice, wake: Callable[[], None]) -> Iterator[Asking]:
    """How a loop asks the searcher of `advice`: at once, or aside while this context lasts.

    Args:
        spec: of the sweep.
        advice: its searcher is a stand-in while it is asked aside.
        wake: ends the loop's wait, from any thread.
    """
    searcher = advice.searcher
    propose = Proposer(searcher, spec.parsed_space.check, spec.seed)
    if not asked_aside(spec.searcher["name"], searcher):
        yield Asking(propose, lambda at: ())
        return
    with closing(Aside(propose, wake)) as aside:
        advice.searcher, advice.overdue = AsideSearcher(searcher, aside), aside.outcomes
        try:
            yield Asking(aside.request, aside.answers)
        finally:
            advice.searcher, advice.overdue = searcher, None


class _Found(NamedTuple):
    trial: TrialId
    event: Event
    knew: int
    """How many calls had reached the searcher when it was asked."""


class Aside:
    """The thread. All methods are for the loop's thread.

    Args:
        propose: asks the searcher, in the thread.
        wake: is called, in the thread, whenever `answers` has something new.
    """

    def __init__(self, propose: Callable[[TrialId, float], Event], wake: Callable[[], None]):
        self._propose, self._wake = propose, wake
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._asked: deque[TrialId] = deque()  # of the thread
        self._found: deque[_Found] = deque()
        self._outcomes: deque[tuple[str, BaseException | None]] = deque()
        self._failing: set[str] = set()  # of the thread
        self._posted = self._passed_on = 0
        self._over = False
        self._thread = threading.Thread(target=self._work, name="raysweep-searcher", daemon=True)
        self._thread.start()

    def request(self, trial: TrialId, at: float) -> None:
        """Ask for a config for `trial`; `answers` has it later."""
        self._inbox.put(partial(self._asked.append, trial))

    def answers(self, at: float) -> list[Event]:
        """The events that asking has led to by now, stamped with `at`."""
        events: list[Event] = []
        while self._found:
            trial, event, knew = self._found.popleft()
            if isinstance(event, Deferred) and knew < self._posted:
                self.request(trial, at)  # it wanted to learn more, and has
            else:
                events.append(event._replace(at=at))
        return events

    def post(self, name: str, call: Callable[[], None]) -> None:
        """Have `call` made before the searcher is next asked; `outcomes` names it by `name`."""
        self._posted += 1
        self._inbox.put(partial(self._pass_on, name, call))

    def outcomes(self, wait: bool) -> Iterator[tuple[str, BaseException | None]]:
        """What calls that were posted have raised, in order; None where one that had, is well again.

        Args:
            wait: until all that was posted is passed on; that may take one ask.
        """
        if wait:
            self.fetch(lambda: None)
        while self._outcomes:
            yield self._outcomes.popleft()

    def fetch(self, call: Callable[[], T]) -> T:
        """What `call` returns once all that was posted is passed on; waits for one ask at most."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        self._inbox.put(run)
        return future.result()

    def close(self) -> None:
        """Ask no more."""
        self._over = True
        self._inbox.put(lambda: None)
        self._thread.join(_FAREWELL_S)

    def _work(self) -> None:
        while not self._over:
            if not self._asked or not self._inbox.empty():
                self._inbox.get()()
                continue
            trial, knew = self._asked.popleft(), self._passed_on
            try:
                event = self._propose(trial, 0.0)
            except BaseException as error:  # exit(), say: whoever waits must hear of it
                event = SuggestFailed(0.0, trial, f"the searcher raised {error!r}")
            self._found.append(_Found(trial, event, knew))
            self._wake()

    def _pass_on(self, name: str, call: Callable[[], None]) -> None:
        self._passed_on += 1
        try:
            call()
        except BaseException as error:  # also exit() in a user's code: the thread must live
            self._failing.add(name)
            self._outcomes.append((name, error))
        else:
            if name in self._failing:
                self._failing.discard(name)
                self._outcomes.append((name, None))


class AsideSearcher:
    """Stands in for the searcher in the state: what it is told goes to the thread."""

    def __init__(self, searcher: Searcher, aside: Aside) -> None:
        self._searcher, self._aside = searcher, aside

    def ask(self, trial: TrialId, stream: Stream) -> Answer:
        """What the searcher answers; waits for it."""
        return self._aside.fetch(partial(self._searcher.ask, trial, stream))

    def suggested(self, trial: TrialId, config: Config) -> None:
        """Posted."""
        self._aside.post("suggested", partial(self._searcher.suggested, trial, config))

    def tell(self, report: Report) -> None:
        """Posted."""
        self._aside.post("tell", partial(self._searcher.tell, report))

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """Posted."""
        self._aside.post("end", partial(self._searcher.end, trial, outcome))

    def state(self) -> dict[str, Any]:
        """As of now; waits for the suggestion under way."""
        return self._aside.fetch(self._searcher.state)

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._aside.fetch(partial(self._searcher.load, state))
