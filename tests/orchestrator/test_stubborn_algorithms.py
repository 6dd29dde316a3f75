"""Searchers and schedulers that leave, crash oddly, speak numpy or cannot be written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.rules import ALGORITHM_ERRORS, Rules
from raysweep.orchestrator.state import SweepState
from raysweep.results.codec import decode, encode
from raysweep.results.store import Store
from raysweep.schedulers.base import Fork, Promotion
from raysweep.searchers.base import LATER, Proposal
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Decision, Finish, Pause, Reason, RunTo, Stop, Verdict
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Closed, Event, Suggested, Ticked, Warned
from raysweep.trials.trial import Outcome, Report, Status
from tests.orchestrator.harness import GOAL, Memory, OneNumber, make_state, run
from tests.orchestrator.test_aside import drive
from tests.orchestrator.test_forks import OneChild
from tests.results.worlds import MANIFEST

ASHA = {"name": "asha", "max_t": 9}
FIFO = {"name": "fifo", "max_t": 3}
WHY = Reason("test")


class Written(Memory):
    """A journal that takes what the real one takes, and ends an endless loop."""

    def __init__(self) -> None:
        super().__init__()
        self.crash_at = 5_000

    def append(self, event: Event, verdicts: Any = ()) -> int:
        record = decode(encode(1, event, verdicts))
        assert list(record.verdicts) == list(verdicts), "what is read back is what was decided"
        return super().append(event, verdicts)

    @property
    def warned(self) -> list[Warned]:
        return [r.event for r in self.records if isinstance(r.event, Warned)]

    def of(self, trial: str) -> list[Verdict]:
        return [v for r in self.records for v in r.verdicts if v.trial == trial]


class Leaving(BaseException):
    """What a library may raise that is no Exception."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise error

    return call


def answering(state: SweepState, answer: Callable[[Report], Decision]) -> None:
    """Let the scheduler answer this to the first report of t000002."""
    sane = state.advice.scheduler.on_report

    def bent(report: Report) -> Decision:
        right = sane(report)
        return answer(report) if (report.trial, report.step) == ("t000002", 1) else right

    state.advice.scheduler.on_report = bent  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("answer", "verb"),
    [
        (RunTo(np.int64(3), WHY), "run_to"),  # type: ignore[arg-type]
        (Stop(Reason("test", np.int64(1), np.float32(0.5), np.float64(0.25), np.int32(1), np.uint8(2))), "stop"),  # type: ignore[arg-type]
        (Finish(Reason("test", score=np.float16(0.5))), "finish"),  # type: ignore[arg-type]
        (Pause(Reason("test", cutoff=1, score=float("nan"))), "pause"),
        (type("OwnStop", (Stop,), {})(WHY), "stop"),
    ],
    ids=repr,
)  # fmt: skip
def test_numbers_of_numpy_are_numbers(answer: Decision, verb: str) -> None:
    """Before, the first of them ended the sweep: no journal can carry them."""
    state, memory = make_state(ASHA, budget=Budget(trials=6)), Written()
    answering(state, lambda report: answer)
    closed = run(state, Machine(), memory)
    assert (closed.exit_code, memory.warned) == (0, [])
    assert memory.of("t000002")[1].verb == verb


@pytest.mark.parametrize(
    "reason",
    [
        Reason(None), Reason(object()), Reason("r", rung="1"), Reason("r", score="0.5"),  # type: ignore[arg-type]
        Reason("r", score=[1.0, 2.0]), Reason("r", rank=[1]), Reason("r", peers=10**30),  # type: ignore[arg-type]
        Reason("r", rung=1.5), Reason("r", model={}), Reason("r", cutoff=10**400),  # type: ignore[arg-type]
    ],
    ids=range(10),
)  # fmt: skip
def test_a_reason_that_cannot_be_stored_costs_that_trial(reason: Reason) -> None:
    state, memory = make_state(ASHA, budget=Budget(trials=6)), Written()
    answering(state, lambda report: RunTo(3, reason))
    closed = run(state, Machine(), memory)
    assert closed.exit_code == ALGORITHM_ERRORS
    assert memory.of("t000002")[-1].verb == "stop"
    assert "Reason" in memory.warned[0].message
    assert "PromotionAsha.on_report() answered RunTo" in memory.warned[0].message


def test_a_rule_of_any_length_is_stored_in_short() -> None:
    state, memory = make_state(ASHA, budget=Budget(trials=6)), Written()
    answering(state, lambda report: Stop(Reason("x" * 10**6, model="y" * 10**6)))
    run(state, Machine(), memory)
    stop = memory.of("t000002")[-1]
    assert stop.rule == "x" * 300
    assert stop.model == "y" * 300


@pytest.mark.parametrize("error", [SystemExit(3), Leaving("gone"), Mute()], ids=repr)
@pytest.mark.parametrize("call", ["grant", "on_report", "next_paused", "on_end"])
def test_whatever_a_scheduler_raises_ends_no_driver(call: str, error: BaseException) -> None:
    state, memory = make_state(FIFO, budget=Budget(trials=4)), Written()
    setattr(state.advice.scheduler, call, raising(error))
    closed = run(state, Machine(), memory)
    assert closed.exit_code in (1, ALGORITHM_ERRORS)
    assert f"the scheduler raised {type(error).__name__}" in closed.reason


@pytest.mark.parametrize("error", [SystemExit(3), Leaving("gone"), Mute()], ids=repr)
@pytest.mark.parametrize("call", ["ask", "suggested", "tell", "end"])
@pytest.mark.parametrize("aside", [False, True])
def test_whatever_a_searcher_raises_ends_no_driver(
    call: str, error: BaseException, aside: bool
) -> None:
    searcher, memory = OneNumber(), Written()
    setattr(searcher, call, raising(error))
    state = make_state(FIFO, searcher, budget=Budget(trials=4))
    closed = drive(state, memory) if aside else run(state, Machine(), memory)
    assert closed.exit_code in (1, ALGORITHM_ERRORS)
    assert f"the searcher raised {type(error).__name__}" in closed.reason


def test_ctrl_c_is_no_error_of_a_scheduler() -> None:
    state = make_state(FIFO, budget=Budget(trials=4))
    state.advice.scheduler.on_report = raising(KeyboardInterrupt())  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(state, Machine(), Written())


@pytest.mark.parametrize("call", ["tell", "end"])
def test_the_last_lesson_counts_also_where_the_searcher_is_asked_aside(call: str) -> None:
    """What the searcher's thread has not passed on by the end is waited for."""
    searcher, memory = OneNumber(), Written()

    def slow(*args: Any) -> None:
        import threading

        threading.Event().wait(0.2)
        raise ValueError("too late")

    setattr(searcher, call, slow)
    closed = drive(
        make_state({"name": "fifo", "max_t": 1}, searcher, budget=Budget(trials=1)), memory
    )
    assert closed.exit_code == ALGORITHM_ERRORS
    assert [w.message.split(", in ")[1] for w in memory.warned] == [f"{call}()"]


def test_failures_with_successes_between_are_not_in_a_row() -> None:
    """Of `next_paused` as of any call: 40 failures, every second time, end nothing."""
    state, memory = make_state(FIFO, budget=Budget(trials=40)), Written()
    asked = iter(range(10**6))

    def next_paused(more: bool = True) -> Promotion | None:
        return None if next(asked) % 2 else Promotion("t000000", 0, WHY)

    state.advice.scheduler.next_paused = next_paused  # type: ignore[method-assign]
    closed = run(state, Machine(), memory)
    assert state.advice.errors >= 20
    assert closed.exit_code == ALGORITHM_ERRORS
    assert state.ended[Status.COMPLETED] == 40


def test_names_of_unknown_trials_without_end_are_no_endless_loop() -> None:
    state, memory = make_state(FIFO, budget=Budget(trials=4)), Written()
    names = iter(range(10**6))
    state.advice.scheduler.next_paused = (  # type: ignore[method-assign]
        lambda more=True: Promotion(f"x{next(names)}", 9, WHY)
    )
    closed = run(state, Machine(), memory)
    assert "there is no such trial, or it has ended" in closed.reason
    assert next(names) < 100


def test_children_without_end_are_no_endless_loop() -> None:
    class Fertile(OneChild):
        def next_fork(self, trial: str) -> Fork | None:
            return Fork("t000000", {"x": 0.9}) if self.saves else None

    state = SweepState(Rules(GOAL, Budget(trials=1)), OneNumber(), Fertile())
    closed = run(state, Machine(workers=2, every_steps=1), Written())
    assert "trials wait to begin already, where 2 have begun" in closed.reason
    assert closed.exit_code in (1, ALGORITHM_ERRORS)


@pytest.mark.parametrize(
    "answer",
    ["x", 3, ["x"], LATER.__class__, {3: 4, "x": 0.5}.items(), Proposal({"x": 0.5}, "because"),  # type: ignore[arg-type]
     Proposal("x", {}), Proposal({"x": 0.5}, {"model": {1}}), {"x": np.float32(0.5)}],  # type: ignore[arg-type]
    ids=repr,
)  # fmt: skip
def test_a_searcher_that_answers_anything_else_is_named_in_reason_and_exit_code(
    answer: Any,
) -> None:
    searcher, memory = OneNumber(), Written()
    right = searcher.ask
    searcher.ask = lambda trial, stream: (  # type: ignore[method-assign]
        answer if trial == "t000002" else right(trial, stream)
    )
    state = make_state(FIFO, searcher, budget=Budget(trials=6))
    closed = run(state, Machine(), memory)
    assert state.ended[Status.COMPLETED] == 5
    assert closed.exit_code == ALGORITHM_ERRORS
    assert "the searcher failed: the searcher " in closed.reason


def test_a_searcher_may_write_to_its_configs() -> None:
    """It keeps one dict, and empties what it is told of: trials keep what was recorded."""

    class Shared(OneNumber):
        def __init__(self) -> None:
            super().__init__()
            self.one: dict[str, Any] = {}

        def ask(self, trial: str, stream: Any) -> dict[str, Any]:
            self.one["x"] = stream.uniform()
            return self.one

        def suggested(self, trial: str, config: Any) -> None:
            super().suggested(trial, config)
            config.clear()

    state, memory = make_state(FIFO, Shared(), budget=Budget(trials=4)), Written()
    trained: set[float] = set()

    def train(config: Any, seed: int, step: int) -> dict[str, Any]:
        trained.add(config["x"])
        return {"loss": config["x"]}

    run(state, Machine(workers=4), memory, train=train)
    made = {r.event.config["x"] for r in memory.records if isinstance(r.event, Suggested)}
    assert made == trained
    assert len(made) == 4


def test_a_searcher_that_waits_in_vain_is_said_to() -> None:
    class Waiting(OneNumber):
        def ask(self, trial: str, stream: Any) -> Any:
            return LATER if trial != "t000000" else super().ask(trial, stream)

    closed = run(make_state(FIFO, Waiting(), budget=Budget(trials=9)), Machine(), Written())
    assert closed.reason == (
        "all 1 trials have run their course; the searcher waits to learn more, and no trial is left "
        "to learn from"
    )


@pytest.mark.parametrize("state_of", [raising(ValueError("no")), raising(SystemExit(1)), lambda: {"a": {1}}])  # fmt: skip
def test_a_state_that_cannot_be_written_down_costs_the_snapshot_alone(state_of: Any) -> None:
    class Compacting(Written):
        due = True

        def compact(self, state: dict[str, Any] | None) -> None:
            assert state is None

    state, memory = make_state(ASHA, budget=Budget(trials=6)), Compacting()
    state.advice.scheduler.state = state_of  # type: ignore[method-assign]
    closed = run(state, Machine(), memory)
    assert closed.exit_code in (1, ALGORITHM_ERRORS)
    assert "PromotionAsha.state() is no plain data" in memory.warned[0].message


def test_a_store_without_a_state_is_replayed_from_its_last_snapshot(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", dict(MANIFEST), clock=ManualClock(), compact_rows=1)
    for at in range(12):
        store.append(Ticked(float(at)))
        if at in (3, 7):
            store.compact({"seen": 4} if at == 3 else None)
    store.close()
    again, recovered = Store.open(tmp_path / "s", clock=ManualClock())
    assert recovered.state == {"seen": 4}
    assert [record.event for record in recovered.records] == [
        Ticked(float(n)) for n in range(4, 12)
    ]
    again.close()


def test_one_that_cannot_take_back_its_state_is_named() -> None:
    class Forgetful(OneNumber):
        def load(self, state: dict[str, Any]) -> None:
            raise KeyError("made")

    saved = json.loads(json.dumps(make_state(FIFO).state()))
    with pytest.raises(SpecError, match=r"Forgetful\.load\(\) raised KeyError: 'made'"):
        make_state(FIFO, Forgetful()).load(saved)


def test_replay_needs_no_word_of_what_was_raised() -> None:
    """Events and warnings alone rebuild the state, also where searcher and scheduler raise again."""

    class Deaf(OneNumber):
        def tell(self, report: Report) -> None:
            if report.trial == "t000001":
                raise ValueError("cannot learn")
            super().tell(report)

        def end(self, trial: str, outcome: Outcome) -> None:
            if trial != "t000001":
                super().end(trial, outcome)

    def fresh() -> SweepState:
        state = make_state(ASHA, Deaf(), budget=Budget(trials=6))
        answering(state, lambda report: None)  # type: ignore[arg-type, return-value]
        return state

    state, memory = fresh(), Written()
    closed: Closed = run(state, Machine(), memory)
    assert closed.exit_code == ALGORITHM_ERRORS
    assert {w.source for w in memory.warned} == {"searcher", "scheduler"}
    again = fresh()
    for record in memory.records:
        assert tuple(again.handle(record.event).verdicts) == record.verdicts
    assert json.dumps(again.state()) == json.dumps(state.state())
