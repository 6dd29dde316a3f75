"""What a searcher or scheduler may do wrong: each costs a trial or a lesson, and is on record."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.advice import PATIENCE
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.rules import ALGORITHM_ERRORS
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.base import Promotion
from raysweep.trials.decisions import Continue, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.events import Closed, Warned
from raysweep.trials.trial import Status
from tests.orchestrator.harness import Memory, OneNumber, make_state, run

ASHA = {"name": "asha", "max_t": 9, "reduction_factor": 3}
FIFO = {"name": "fifo", "max_t": 9}
WHY = Reason("test")
_MOST_EVENTS = 5_000


def driven(state: SweepState, trials: int = 6) -> tuple[Closed, Memory, list[Warned]]:
    memory = Memory()
    memory.crash_at = _MOST_EVENTS  # an endless loop ends in a Crash
    closed = run(state, Machine(), memory)
    return closed, memory, [r.event for r in memory.records if isinstance(r.event, Warned)]


def bad_on_second(state: SweepState, call: str, answer: Callable[[Any], Any]) -> None:
    """Let `call` answer wrongly when it concerns t000002, and only then."""
    sane = getattr(state.advice.scheduler, call)

    def bent(subject: Any, *rest: Any) -> Any:
        trial = getattr(subject, "trial", subject)
        right = sane(subject, *rest)
        return answer(right) if trial == "t000002" else right

    setattr(state.advice.scheduler, call, bent)


@pytest.mark.parametrize(
    "answer",
    [
        None, "stop", 3, Stop, Finish, RunTo(0, WHY), RunTo(1, WHY), RunTo(-5, WHY),
        RunTo(math.nan, WHY), RunTo("9", WHY), RunTo(2**60, WHY), RunTo(True, WHY),  # type: ignore[arg-type]
        Pause("because"), Stop(None), (WHY,),  # type: ignore[arg-type]
    ],
    ids=repr,
)  # fmt: skip
def test_a_wrong_decision_costs_that_trial_and_names_scheduler_and_answer(answer: Any) -> None:
    state = make_state(ASHA, budget=Budget(trials=6))
    bad_on_second(state, "on_report", lambda right: answer)
    closed, memory, warned = driven(state)
    (stop,) = [
        v for r in memory.records for v in r.verdicts if v.trial == "t000002" and v.verb == "stop"
    ]
    assert "PromotionASHA.on_report() answered" in stop.rule or "Asha" in stop.rule
    assert [w.source for w in warned] == ["scheduler"]
    assert closed.exit_code == ALGORITHM_ERRORS
    assert "the scheduler failed" in closed.reason
    assert state.ended[Status.STOPPED] == 1
    assert sum(state.ended.values()) + len(state.live) == 6


def test_a_new_continue_is_a_continue() -> None:
    """The answer is recognised by its class: a plug-in need not know the one instance of ours."""
    state = make_state(FIFO, budget=Budget(trials=3))
    sane = state.advice.scheduler.on_report
    state.advice.scheduler.on_report = lambda report: (  # type: ignore[method-assign]
        Continue() if isinstance(sane(report), Continue) else sane(report)
    )
    closed, _, warned = driven(state)
    assert (closed.exit_code, warned) == (0, [])
    assert state.ended[Status.COMPLETED] == 3


@pytest.mark.parametrize("answer", [None, 0, -3, "9", math.nan, True, 2**60], ids=repr)
def test_a_wrong_grant_lets_a_trial_run_one_step_and_ask(answer: Any) -> None:
    state = make_state(ASHA, budget=Budget(trials=6))
    bad_on_second(state, "grant", lambda right: answer)
    closed, memory, warned = driven(state)
    grants = [
        v.to_step
        for r in memory.records
        for v in r.verdicts
        if v.trial == "t000002" and v.verb == "start"
    ]
    assert grants == [1]
    assert "a grant is a whole number of steps" in warned[0].message
    assert closed.exit_code == ALGORITHM_ERRORS


def test_a_grant_that_raises_lets_no_trial_run_unbounded() -> None:
    """Before, such a trial ran to step 2^53."""
    state = make_state(ASHA, budget=Budget(trials=60))

    def grant(trial: Any, config: Any) -> int:
        raise KeyError(trial)

    state.advice.scheduler.grant = grant  # type: ignore[method-assign]
    closed, memory, _ = driven(state)
    steps = [v.to_step for r in memory.records for v in r.verdicts if v.verb == "start"]
    assert set(steps) == {1}
    assert closed.exit_code == 1
    assert f"{PATIENCE} times in a row: the scheduler raised KeyError" in closed.reason


@pytest.mark.parametrize(
    "answer",
    [
        Promotion("t999999", 9, WHY), Promotion("t000000", 9, WHY), Promotion("t000000", 1, WHY),
        Promotion("t000000", math.nan, WHY), ("t000000", 9), "t000000", 7,  # type: ignore[arg-type]
    ],
    ids=repr,
)  # fmt: skip
def test_a_wrong_promotion_for_ever_hangs_nothing(answer: Any) -> None:
    state = make_state(FIFO, budget=Budget(trials=4))
    state.advice.scheduler.next_paused = lambda more=True: answer  # type: ignore[method-assign]
    closed, _, warned = driven(state)
    assert warned
    assert closed.exit_code in (1, ALGORITHM_ERRORS)


def test_what_a_searcher_fails_to_learn_is_on_record_and_in_the_exit_code() -> None:
    class Forgetful(OneNumber):
        def tell(self, report: Any) -> None:
            if report.trial == "t000001":
                raise ValueError("cannot learn")
            super().tell(report)

    state = make_state(FIFO, Forgetful(), budget=Budget(trials=4))
    closed, _, warned = driven(state)
    assert closed.exit_code == ALGORITHM_ERRORS
    assert "the searcher raised ValueError: cannot learn" in warned[0].message
    assert "cannot learn" in closed.reason


def test_a_tell_that_always_raises_ends_the_sweep_with_the_reason() -> None:
    class Deaf(OneNumber):
        def tell(self, report: Any) -> None:
            raise ValueError("cannot learn")

    closed, _, warned = driven(make_state(ASHA, Deaf(), budget=Budget(trials=60)))
    assert closed.exit_code == 1
    assert (
        f"{PATIENCE} times in a row: the searcher raised ValueError: cannot learn" in closed.reason
    )
    assert len(warned) <= 3, "the first, the tenth"


def test_an_error_at_the_last_event_counts_in_the_exit_code() -> None:
    class Sulky(OneNumber):
        def end(self, trial: str, outcome: Any) -> None:
            if trial == "t000000":
                raise ValueError("too late")
            super().end(trial, outcome)

    closed, _, warned = driven(make_state(FIFO, Sulky(), budget=Budget(trials=1)))
    assert len(warned) == 1
    assert closed.exit_code == ALGORITHM_ERRORS


def test_a_resume_knows_the_warnings_of_its_own_driver_only() -> None:
    class Deaf(OneNumber):
        def tell(self, report: Any) -> None:
            raise ValueError("cannot learn")

    state = make_state(FIFO, Deaf(), budget=Budget(trials=4))
    driven(state)
    assert state.warnings
    again = make_state(FIFO, OneNumber(), budget=Budget(trials=4))
    again.load(state.state())
    assert again.warnings == state.warnings
    assert run(again, Machine(), Memory(), epoch=2).exit_code == 0
