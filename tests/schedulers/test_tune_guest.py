from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    MedianStoppingRule,
)

from raysweep.cluster.simulated import Machine
from raysweep.schedulers.tune_guest import TuneSchedulerGuest
from raysweep.schedulers.tune_milestones import milestones
from raysweep.trials.decisions import Pause, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import UNBOUNDED, Outcome, Report, Status, trial_id
from tests.contracts.scheduler import Play, SchedulerContract, inherited
from tests.orchestrator.harness import GOAL, Memory, run
from tests.schedulers.tune_guests import (
    BRACKETS,
    KINDS,
    STEP,
    AsTune,
    Finite,
    Logged,
    Scored,
    guest,
    simulate,
    state_of,
)


class Golden(NamedTuple):
    """`trials` fill the brackets exactly, so that one trial announced in vain changes nothing."""

    kind: str
    trials: int


@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize(
    "case",
    [
        Golden("asha", 40),
        Golden("asha, odd", 40),
        Golden("asha, no last", 30),
        Golden("median", 20),
        Golden("hyperband", 17),  # 3 + 5 + 9
        Golden("hyperband", 34),
        Golden("bohb", 17),
    ],
    ids=str,
)
def test_the_same_decisions_as_stock_tune(case: Golden, workers: int) -> None:
    logged = Logged(guest(case.kind))
    machine = Machine(workers=workers, step_sigma=0.5, ends_at=13)
    state = simulate(logged, case.trials, machine, searcher=Finite())
    decisions = [entry[2] for entry in logged.log if entry[0] == "report"]
    assert sum(isinstance(d, (Stop, Pause)) for d in decisions) > 5, "it has to choose at all"
    AsTune(KINDS[case.kind](), case.trials).replay(logged.log)
    assert state.slots.idle


@pytest.mark.parametrize("kind", ["asha", "asha, odd", "asha, no last"])
def test_asha_asked_at_its_milestones_decides_as_if_asked_at_each_step(kind: str) -> None:
    heard = []
    for each_step in (False, True):
        made = guest(kind)
        made._each_step = each_step
        logged = Logged(made)
        simulate(logged, 40, Machine(workers=4, step_sigma=0.0, ends_at=13))
        ends = {
            trial: tuple(outcome)
            for what, trial, *rest in logged.log
            if what == "end"
            for outcome in rest
        }
        heard.append(ends)
    assert heard[0] == heard[1]


def test_which_milestones_there_are() -> None:
    def found(**options: Any) -> Any:
        scheduler = ASHAScheduler(metric="loss", mode="min", **options)
        return milestones(scheduler)

    assert found(max_t=81, grace_period=1, reduction_factor=3) == (
        (1, 2, 3, 4, 9, 10, 27, 28, 81, 82), 81,
    )  # fmt: skip
    assert found(max_t=10, grace_period=4, reduction_factor=2) == ((4, 5, 8, 9, 10), 10)
    assert found(max_t=8, grace_period=8).max_t == 8
    assert found(max_t=9, reduction_factor=3, stop_last_trials=False) == ((1, 2, 3, 4, 9, 10), None)
    assert found(max_t=100, time_attr="time_total_s") is None
    assert milestones(MedianStoppingRule()) is None
    assert milestones(FIFOScheduler()).after(1) == UNBOUNDED


def test_a_user_s_own_steps_switch_the_milestones_off() -> None:
    made = guest("asha")
    assert made.grant("t000000", {}) == 1
    decision = made.on_report(Report("t000000", 1, 1, {"loss": 1.0, STEP: 10}, 1.0))
    assert isinstance(decision, Stop), "10 is beyond max_t"
    made.grant("t000001", {})
    decision = made.on_report(Report("t000001", 1, 1, {"loss": 1.0, STEP: 2}, 1.0))
    assert isinstance(decision, RunTo)
    assert decision.step == 2
    made.on_report(Report("t000001", 1, 2, {"loss": 1.0, STEP: 2}, 1.0))
    assert made.state()["each_step"]


class TestContract(SchedulerContract):
    name = "asha"
    options = {"max_t": 9, "grace_period": 1, "reduction_factor": 3, "form": "stopping"}  # noqa: RUF012 - as its base has it

    def make(self) -> Any:
        return Scored(guest("asha"))

    def test_no_promotable_trial_waits_while_a_slot_is_free(self) -> None:  # type: ignore[override]
        """Below, for all kinds."""

    def test_the_end_of_an_unknown_trial_is_nothing_to_it(self) -> None:
        scheduler = self.make()
        scheduler.on_end("from-elsewhere", Outcome(Status.FAILED, 3, WORST))
        assert scheduler.state() == self.make().state()
        assert scheduler.next_paused() is None


OPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "report", "report", "report", "promote", "last", "end"]),
        st.integers(0, 999),
        st.floats(-10, 10),
    ),
    max_size=100,
)


class Guests(Play):
    """`Play`, with the last calls of a sweep: nobody new will come."""

    def step(self, op: tuple[str, int, float]) -> None:
        kind, pick, score = op
        if kind == "start":
            self.start()
        elif kind == "report" and self.running:
            self.report(sorted(self.running)[pick % len(self.running)], score)
        elif kind in ("promote", "last"):
            promotion = self.scheduler.next_paused(kind == "promote")
            self.heard.append(promotion)
            if promotion:
                step, _ = self.paused.pop(promotion.trial)
                assert promotion.step > step
                self.running[promotion.trial] = [step, promotion.step]
        elif kind == "end" and self.running and pick % 3 == 0:
            self.kill(sorted(self.running)[pick % len(self.running)])


@pytest.mark.parametrize("kind", KINDS)
@settings(inherited, max_examples=15)
@given(ops=OPS)
def test_saved_and_loaded_after_every_call_it_decides_the_same(
    kind: str, ops: list[tuple[str, int, float]]
) -> None:
    straight, reloaded = (Guests(lambda: Scored(guest(kind))) for _ in range(2))
    for op in ops:
        straight.step(op)
        reloaded.step(op)
        reloaded.reload()
    assert reloaded.heard == straight.heard


@pytest.mark.parametrize("kind", KINDS)
@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    workers=st.integers(1, 5),
    trials=st.integers(1, 24),
    seed=st.integers(0, 1000),
    errors=st.sampled_from([0.0, 0.05]),
)
def test_a_sweep_always_comes_to_its_end(
    kind: str, workers: int, trials: int, seed: int, errors: float
) -> None:
    """Every trial ends, or was dropped by the scheduler while it paused."""
    made = guest(kind)
    machine = Machine(workers, step_sigma=0.5, error_rate=errors, loss_rate=errors, ends_at=11)
    state = simulate(made, trials, machine, seed)
    assert all(trial.status is Status.PAUSED for trial in state.live.values())
    assert set(state.live) == made.dropped
    assert sum(state.ended.values()) + len(state.live) == trials


@pytest.mark.parametrize("kind", ["asha", "median", "hyperband", "bohb"])
@pytest.mark.parametrize("crash_at", [40, 90, 150])
def test_a_resumed_sweep_goes_on_as_an_uninterrupted_one(kind: str, crash_at: int) -> None:
    """The journal up to the crash, replayed; then both are fed the same events."""
    memory = Memory()
    straight = state_of(guest(kind), 17)
    run(straight, Machine(workers=3, step_sigma=0.5, ends_at=13), memory)
    resumed = state_of(guest(kind), 17)
    crash_at = min(crash_at, len(memory.records) - 20)
    for place, record in enumerate(memory.records):
        turn = resumed.handle(record.event)
        assert tuple(turn.verdicts) == record.verdicts
        if place == crash_at:
            saved = json.dumps(
                resumed.state() | {"advice": resumed.advice.state()}, allow_nan=False
            )
            resumed = state_of(guest(kind), 17)
            resumed.load(json.loads(saved))


def test_the_bracket_of_a_trial_hangs_on_seed_and_number_alone() -> None:
    def brackets(seed: int, noise: int) -> list[Any]:
        np.random.seed(noise)  # noqa: NPY002, TID251 - the driver's own
        made = TuneSchedulerGuest(BRACKETS(), GOAL, seed=seed)
        for n in range(20):
            made.grant(trial_id(n), {})
        info = made._scheduler._trial_info
        return [made._scheduler._brackets.index(bracket) for bracket in info.values()]

    assert brackets(1, 1) == brackets(1, 2) != brackets(2, 1)
    assert set(brackets(1, 1)) == {0, 1, 2}


def test_the_driver_s_generator_is_left_alone() -> None:
    np.random.seed(1)  # noqa: NPY002, TID251 - the driver's own
    before = np.random.get_state()[1].tolist()  # type: ignore[call-overload]  # noqa: NPY002, TID251
    TuneSchedulerGuest(BRACKETS(), GOAL).grant("t000000", {})
    assert np.random.get_state()[1].tolist() == before  # type: ignore[call-overload]  # noqa: NPY002, TID251
