"""Searchers that answer "later", and schedulers that are told when nobody new will come."""

from __future__ import annotations

from typing import Any

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.searchers.base import LATER
from raysweep.trials import events
from raysweep.trials.trial import Status, trial_id
from tests.orchestrator.harness import Memory, OneNumber, make_state, run

FIFO = {"name": "fifo", "max_t": 3}


class AtMostTwo(OneNumber):
    """Proposes nothing while two of its trials are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def ask(self, trial: str, stream: Any) -> Any:
        if len(self.asked | self.pending.keys() - {trial}) >= 2:
            return LATER
        self.asked.add(trial)
        return super().ask(trial, stream)

    def suggested(self, trial: str, config: Any) -> None:
        self.asked.discard(trial)
        super().suggested(trial, config)


def test_a_searcher_that_wants_to_learn_first_is_asked_again_when_a_trial_has_ended() -> None:
    state, memory = make_state(FIFO, AtMostTwo(), budget=Budget(trials=9)), Memory()
    closed = run(state, Machine(workers=5), memory)
    assert (closed.exit_code, state.ended[Status.COMPLETED], state.waiting.issued) == (0, 9, 9)
    running, most = 0, 0
    for record in memory.records:
        for verdict in record.verdicts:
            running += {"start": 1, "finish": -1}.get(verdict.verb, 0)
            most = max(most, running)
    assert most == 2
    deferred = [r.event for r in memory.records if isinstance(r.event, events.Deferred)]
    suggested = [r.event.trial for r in memory.records if isinstance(r.event, events.Suggested)]
    assert deferred
    assert sorted(suggested) == [trial_id(n) for n in range(9)], "a deferred id is not spent"


def test_a_searcher_that_waits_for_nobody_ends_the_sweep() -> None:
    class Never(OneNumber):
        def ask(self, trial: str, stream: Any) -> Any:
            return LATER if self._made else super().ask(trial, stream)

    never = Never()
    state = make_state(FIFO, never, budget=Budget(trials=9))
    closed = run(state, Machine(workers=3), Memory())
    assert closed.exit_code == 0
    assert state.ended[Status.COMPLETED] == never._made == 1


def test_a_scheduler_is_told_when_no_new_trial_will_join() -> None:
    state = make_state(FIFO, budget=Budget(trials=3))
    told: list[tuple[int, bool]] = []
    inner = state.advice.scheduler.next_paused

    def next_paused(more: bool = True) -> Any:
        told.append((state.waiting.issued, more))
        return inner(more)

    state.advice.scheduler.next_paused = next_paused  # type: ignore[method-assign]
    run(state, Machine(workers=1), Memory())
    assert all(more for issued, more in told if issued < 3)
    assert (3, False) in told
