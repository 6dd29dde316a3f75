"""Searchers asked in a thread of their own: reports go on, nothing is lost, nothing overlaps."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.orchestrator.advice import PATIENCE
from raysweep.orchestrator.aside import Aside, AsideSearcher, asked_aside, asking
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.loop import Loop
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.state import SweepState
from raysweep.searchers.catalog import SEARCHERS
from raysweep.searchers.random_search import RandomSearch
from raysweep.trials.clock import ManualClock
from raysweep.trials.events import (
    Closed,
    Deferred,
    Event,
    Opened,
    Reported,
    Suggested,
    SuggestFailed,
)
from raysweep.trials.space import Space
from raysweep.trials.trial import Status, trial_id
from tests.orchestrator.harness import (
    Crash,
    Memory,
    OneNumber,
    check_record,
    curve,
    make_state,
)
from tests.orchestrator.test_deferral import AtMostTwo

FIFO = {"name": "fifo", "max_t": 30}
ASHA = {"name": "asha", "max_t": 9}
LONG_S = 10.0
"""Real seconds after which what a test waits for will not come."""


def drive(
    state: SweepState, memory: Memory, *, workers: int = 2, epoch: int = 1, observe: Any = None
) -> Closed:
    """As the harness's `run`, but with the searcher aside; simulated time never waits for it."""
    clock, searcher = ManualClock(state.spend.at), state.advice.searcher
    propose = Proposer(searcher, lambda config: None, state.rules.seed)
    with closing(Aside(propose, lambda: None)) as aside:
        state.advice.searcher = AsideSearcher(searcher, aside)
        state.advice.overdue = aside.outcomes
        pool = SimulatedPool(Machine(workers=workers), curve, clock, seed=epoch)
        observer = {"observe": observe} if observe else {}
        loop = Loop(
            state, pool, memory, clock=clock, origin_s=0.0, propose=aside.request,
            answers=aside.answers, patience_s=0.01, **observer,
        )  # fmt: skip
        closed = loop.run(Opened(state.spend.at, epoch, 0.0, "here"))
        state.advice.searcher, state.advice.overdue = searcher, None
    return closed


def test_reports_of_running_trials_are_handled_while_the_searcher_thinks() -> None:
    enough = threading.Event()

    class Slow(OneNumber):
        def ask(self, trial: str, stream: Any) -> Any:
            if trial == trial_id(1):
                assert enough.wait(LONG_S), "the loop waits for the searcher"
            return super().ask(trial, stream)

    def observe(event: Event, verdicts: Any) -> None:
        if isinstance(event, Reported) and event.steps[-1] >= 20:
            enough.set()

    state, memory = make_state(FIFO, Slow(), budget=Budget(trials=3)), Memory()
    assert drive(state, memory, observe=observe).exit_code == 0
    assert state.ended[Status.COMPLETED] == 3
    assert not [r for r in memory.records if isinstance(r.event, SuggestFailed)]


def test_all_is_told_in_the_order_of_the_journal_and_never_during_an_ask() -> None:
    class Guarded(OneNumber):
        def __init__(self) -> None:
            super().__init__()
            self.inside = threading.Lock()
            self.threads: set[str] = set()

        def ask(self, trial: str, stream: Any) -> Any:
            with self.inside:
                threading.Event().wait(0.002)
                return super().ask(trial, stream)

        def tell(self, report: Any) -> None:
            assert self.inside.acquire(blocking=False), "told while it was asked"
            self.threads.add(threading.current_thread().name)
            super().tell(report)
            self.inside.release()

    searcher, memory = Guarded(), Memory()
    state = make_state(ASHA, searcher, budget=Budget(trials=30))
    drive(state, memory, workers=4)
    check_record(memory)
    assert state.advice.errors == 0
    assert searcher.threads == {"raysweep-searcher"}
    again = make_state(ASHA, OneNumber(), budget=Budget(trials=30))
    for record in memory.records:
        assert tuple(again.handle(record.event).verdicts) == record.verdicts
    assert json.dumps(again.state()) == json.dumps(state.state())


def test_what_the_searcher_raises_is_counted_and_costs_what_it_did() -> None:
    class Faulty(OneNumber):
        def tell(self, report: Any) -> None:
            raise ValueError("no such report")

    state = make_state(FIFO, Faulty(), budget=Budget(trials=4))
    closed = drive(state, Memory())
    assert closed.exit_code == 1
    assert f"{PATIENCE} times in a row: the searcher raised ValueError" in closed.reason
    assert PATIENCE <= state.advice.errors <= 4 * 30
    assert state.advice.last_error == "the searcher raised ValueError: no such report"


@pytest.mark.parametrize("error", [ValueError("no idea"), SystemExit(3)])
def test_a_searcher_that_cannot_answer_ends_the_sweep(error: BaseException) -> None:
    class Hopeless(OneNumber):
        def ask(self, trial: str, stream: Any) -> Any:
            raise error

    closed = drive(make_state(FIFO, Hopeless()), Memory())
    assert closed.exit_code == 1
    assert "the searcher failed 10 times in a row" in closed.reason
    assert type(error).__name__ in closed.reason


def test_a_finite_searcher_and_one_that_defers_come_to_their_end() -> None:
    finite = make_state(FIFO, OneNumber(5), budget=Budget(trials=99))
    assert drive(finite, Memory(), workers=3).exit_code == 0
    assert finite.ended[Status.COMPLETED] == finite.waiting.issued
    assert 5 <= finite.waiting.issued <= 7, "it counts what is in the journal, and was asked ahead"
    deferring = make_state(FIFO, AtMostTwo(), budget=Budget(trials=9))
    assert drive(deferring, Memory(), workers=4).exit_code == 0
    assert deferring.ended[Status.COMPLETED] == 9


def test_later_is_asked_again_where_more_was_told_meanwhile() -> None:
    woken: list[bool] = []
    told: list[int] = []
    wake = threading.Event()

    def propose(trial: str, at: float) -> Event:
        return Suggested(at, trial, {"x": 0.5}) if told else Deferred(at, trial)

    with closing(Aside(propose, lambda: (woken.append(True), wake.set())[1])) as aside:
        aside.request("t000000", 0.0)
        assert wake.wait(LONG_S)
        aside.post("tell", partial(told.append, 1))
        wake.clear()
        assert aside.answers(5.0) == [], "the answer is out of date"
        assert wake.wait(LONG_S)
        assert aside.answers(7.0) == [Suggested(7.0, "t000000", {"x": 0.5})]
        assert woken == [True, True]


def test_the_state_holds_all_that_was_told_and_waits_for_one_ask_only() -> None:
    searcher, begun, go_on = OneNumber(), threading.Event(), threading.Event()
    asked: list[str] = []

    def propose(trial: str, at: float) -> Event:
        asked.append(trial)
        begun.set()
        assert go_on.wait(LONG_S)
        return Suggested(at, trial, {"x": 0.5})

    with closing(Aside(propose, lambda: None)) as aside:
        stand_in = AsideSearcher(searcher, aside)
        for number in range(5):
            aside.request(trial_id(number), 0.0)
        assert begun.wait(LONG_S)
        stand_in.suggested("t000009", {"x": 0.25})
        assert searcher.pending == {}, "the searcher is being asked"
        taker = threading.Thread(target=lambda: asked.append(str(stand_in.state()["pending"])))
        taker.start()
        go_on.set()
        taker.join(LONG_S)
    assert "{'t000009': 0.25}" in asked
    assert asked[0] == trial_id(0)


def test_closing_does_not_wait_for_a_searcher_that_hangs() -> None:
    begun, never = threading.Event(), threading.Event()

    def propose(trial: str, at: float) -> Event:
        begun.set()
        never.wait(LONG_S)
        return Suggested(at, trial, {})

    aside = Aside(propose, lambda: None)
    aside.request("t000000", 0.0)
    assert begun.wait(LONG_S)
    aside.close()
    assert aside.answers(0.0) == []
    never.set()


@pytest.mark.parametrize("crash_at", [3, 9, 25, 45])
def test_a_sweep_whose_driver_dies_goes_on_with_what_was_asked(crash_at: int) -> None:
    def fresh() -> SweepState:
        return make_state(ASHA, OneNumber(), budget=Budget(trials=12), retries={})

    memory = Memory()
    memory.crash_at = crash_at
    with pytest.raises(Crash):
        drive(fresh(), memory, workers=3)
    resumed = fresh()
    for record in memory.records:
        resumed.handle(record.event)
    memory.crash_at = 10**9
    assert drive(resumed, memory, workers=3, epoch=2).exit_code == 0
    suggested = [r.event.trial for r in memory.records if isinstance(r.event, Suggested)]
    assert sorted(suggested) == [trial_id(n) for n in range(12)], "each id once"


def test_only_what_learns_and_does_not_refuse_is_asked_aside() -> None:
    class InTurn(OneNumber):
        in_turn = True

    assert asked_aside("<python:OneNumber>", OneNumber())
    assert not asked_aside("<python:InTurn>", InTurn())
    aside = {name for name in SEARCHERS if asked_aside(name, OneNumber())}
    assert {"tpe", "auto", "gp", "cmaes"} <= aside
    assert not {"random", "grid", "sobol"} & aside


def test_the_context_puts_the_searcher_back() -> None:
    spec = SweepSpec.from_dict(
        {"trainable": "a:b", "space": {"x": {"uniform": [0, 1]}}, "metric": "loss", "mode": "min",
         "searcher": "tpe", "budget": {"trials": 3}}
    )  # fmt: skip
    state = make_state(FIFO)
    searcher = state.advice.searcher
    with asking(spec, state.advice, lambda: None) as (propose, answers):
        assert isinstance(state.advice.searcher, AsideSearcher)
        assert propose("t000000", 0.0) is None
        assert isinstance(answers(0.0), list)
    assert state.advice.searcher is searcher
    state.advice.searcher = RandomSearch(Space.from_dict({"x": {"uniform": [0, 1]}}))
    by_chance = spec.model_copy(update={"searcher": {"name": "random"}})
    with asking(by_chance, state.advice, lambda: None) as (propose, answers):
        assert isinstance(propose("t000000", 0.0), Suggested)


@pytest.mark.ray
def test_a_sweep_on_ray_learns_aside_and_replays(ray_cluster: Any, tmp_path: Path) -> None:
    import raysweep
    from raysweep.orchestrator.replay import check_replay
    from raysweep.results.verify import verify

    def train(config: dict[str, Any]) -> Any:
        yield {"loss": (config["x"] - 0.3) ** 2}

    results = raysweep.run(
        train, {"x": raysweep.uniform(0, 1)}, metric="loss", trials=25, storage=tmp_path,
        searcher="tpe", progress=False,
    )  # fmt: skip
    assert len(results.trials) == 25
    assert (results.trials["status"] == "COMPLETED").all()
    assert verify(results.path) == []
    assert check_replay(results.path) == []
