from __future__ import annotations

import json
import math
import random  # noqa: TID251 - users' schedulers draw from it
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    ResourceChangingScheduler,
    TrialScheduler,
)

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.tune_guest import TuneSchedulerGuest
from raysweep.schedulers.tune_milestones import milestones
from raysweep.trials.decisions import Decision, Finish, Pause, RunTo, Stop
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import UNBOUNDED, Outcome, Report, Status, trial_id
from tests.contracts.scheduler import Play, SchedulerContract, inherited
from tests.orchestrator.harness import GOAL, Memory, OneNumber, check_record, run

STEP = "training_iteration"
KINDS: dict[str, Callable[[], Any]] = {
    "fifo": FIFOScheduler,
    "asha": lambda: ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3),
    "asha, no last": lambda: ASHAScheduler(max_t=9, reduction_factor=2, stop_last_trials=False),
    "asha, odd": lambda: ASHAScheduler(max_t=12, grace_period=1, reduction_factor=1.5),
    "median": lambda: MedianStoppingRule(STEP, grace_period=2, min_samples_required=2),
    "median, soft": lambda: MedianStoppingRule(
        STEP, grace_period=1, min_samples_required=2, min_time_slice=2, hard_stop=False
    ),
    "hyperband": lambda: HyperBandScheduler(max_t=9, reduction_factor=3),
    "bohb": lambda: HyperBandForBOHB(max_t=9, reduction_factor=3),
}
BRACKETS: Callable[[], Any] = lambda: ASHAScheduler(max_t=9, reduction_factor=3, brackets=3)  # noqa: E731 - as the others
VERBS = {RunTo: "CONTINUE", Pause: "PAUSE", Stop: "STOP", Finish: "STOP"}


class Logged:
    """A scheduler whose every call is written down."""

    def __init__(self, inner: Scheduler) -> None:
        self.inner = inner
        self.log: list[tuple[Any, ...]] = []

    def grant(self, trial: str) -> int:
        step = self.inner.grant(trial)
        self.log.append(("grant", trial))
        return step

    def on_report(self, report: Report) -> Decision:
        decision = self.inner.on_report(report)
        self.log.append(("report", report, decision))
        return decision

    def next_paused(self, more: bool = True) -> Promotion | None:
        promotion = self.inner.next_paused(more)
        if promotion:
            self.log.append(("promoted", promotion.trial))
        return promotion

    def on_end(self, trial: str, outcome: Outcome) -> None:
        self.inner.on_end(trial, outcome)
        self.log.append(("end", trial, outcome))

    def state(self) -> dict[str, Any]:
        return self.inner.state()

    def load(self, state: dict[str, Any]) -> None:
        self.inner.load(state)


class Scored:
    """Gives a guest the metric that the tests of the seam leave out."""

    def __init__(self, inner: TuneSchedulerGuest) -> None:
        self.inner = inner
        self.grant, self.next_paused, self.on_end = inner.grant, inner.next_paused, inner.on_end
        self.state, self.load = inner.state, inner.load

    def on_report(self, report: Report) -> Decision:
        metrics = {"loss": None if report.score == WORST else report.score}
        return self.inner.on_report(report._replace(metrics=metrics))


def guest(kind: str, seed: int = 0) -> TuneSchedulerGuest:
    return TuneSchedulerGuest(KINDS[kind](), GOAL, seed=seed)


class Finite(OneNumber):
    """Nobody ever reports NaN."""

    def ask(self, trial: str, stream: Stream) -> dict[str, Any] | None:
        return {"x": stream.uniform(0, 0.9)}


def state_of(
    scheduler: Scheduler, trials: int, seed: int = 0, searcher: OneNumber | None = None
) -> SweepState:
    rules = Rules(GOAL, budget=Budget(trials=trials), seed=seed)
    return SweepState(rules, searcher or OneNumber(), scheduler)


def simulate(
    scheduler: Scheduler,
    trials: int,
    machine: Machine,
    seed: int = 0,
    searcher: OneNumber | None = None,
) -> SweepState:
    state, memory = state_of(scheduler, trials, seed, searcher), Memory()
    closed = run(state, machine, memory, seed=seed)
    check_record(memory)
    assert "run their course" in closed.reason or "failed" in closed.reason, closed.reason
    assert state.advice.errors == 0, state.advice.last_error
    return state


class AsTune:
    """Stock Tune's order of calls on a scheduler, one pending trial ahead, no shortcut anywhere."""

    def __init__(self, scheduler: Any, trials: int) -> None:
        scheduler.set_search_properties("loss", "min")
        self.scheduler, self.search_alg = scheduler, self
        self.searcher = self
        self.coming = [Trial("x", trial_id=trial_id(n), stub=True) for n in range(trials)]
        self.trials: dict[str, Trial] = {}

    def on_pause(self, trial_id: str) -> None: ...
    def on_unpause(self, trial_id: str) -> None: ...

    def get_trials(self) -> list[Trial]:
        return list(self.trials.values())

    def get_live_trials(self) -> list[Trial]:
        return [t for t in self.get_trials() if t.status not in ("TERMINATED", "ERROR")]

    def stop_trial(self, trial: Trial) -> None:
        self.scheduler.on_trial_remove(self, trial)
        trial.status = Trial.TERMINATED

    def add(self) -> None:
        if self.coming:
            trial = self.coming.pop(0)
            self.trials[trial.trial_id] = trial
            self.scheduler.on_trial_add(self, trial)

    def replay(self, log: list[tuple[Any, ...]]) -> None:
        self.add()
        for what, about, *rest in log:
            if what == "grant":
                assert self.trials[about].status == Trial.PENDING
                self.trials[about].status = Trial.RUNNING
                self.add()
            elif what == "report":
                self.report(about, rest[0])
            elif what == "promoted":
                assert self.chosen().trial_id == about
                self.trials[about].status = Trial.RUNNING
            else:
                self.end(about, rest[0])

    def report(self, report: Report, decision: Decision) -> None:
        trial = self.trials[report.trial]
        result = {**report.metrics, STEP: report.step, "trial_id": report.trial}
        action = self.scheduler.on_trial_result(self, trial, result)
        trial.run_metadata.last_result = result
        assert VERBS.get(type(decision), "CONTINUE") == action, (report, decision, action)
        if action == "PAUSE":
            trial.status = Trial.PAUSED

    def chosen(self) -> Trial:
        trial = self.scheduler.choose_trial_to_run(self)
        if trial.status == Trial.PENDING:  # none was ready when the guest was asked again
            trial.status = Trial.TERMINATED
            chosen = self.scheduler.choose_trial_to_run(self)
            trial.status, trial = Trial.PENDING, chosen
        return trial

    def end(self, name: str, outcome: Outcome) -> None:
        trial = self.trials[name]
        if outcome.status is Status.FAILED:
            self.scheduler.on_trial_error(self, trial)
            trial.status = Trial.ERROR
        else:
            self.scheduler.on_trial_complete(self, trial, trial.last_result)
            trial.status = Trial.TERMINATED


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
    assert made.grant("t000000") == 1
    decision = made.on_report(Report("t000000", 1, 1, {"loss": 1.0, STEP: 10}, 1.0))
    assert isinstance(decision, Stop), "10 is beyond max_t"
    made.grant("t000001")
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
            made.grant(trial_id(n))
        info = made._scheduler._trial_info
        return [made._scheduler._brackets.index(bracket) for bracket in info.values()]

    assert brackets(1, 1) == brackets(1, 2) != brackets(2, 1)
    assert set(brackets(1, 1)) == {0, 1, 2}


def test_the_driver_s_generator_is_left_alone() -> None:
    np.random.seed(1)  # noqa: NPY002, TID251 - the driver's own
    before = np.random.get_state()[1].tolist()  # type: ignore[call-overload]  # noqa: NPY002, TID251
    TuneSchedulerGuest(BRACKETS(), GOAL).grant("t000000")
    assert np.random.get_state()[1].tolist() == before  # type: ignore[call-overload]  # noqa: NPY002, TID251


@pytest.mark.parametrize("kind", ["asha", "median", "hyperband", "bohb"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_what_is_no_number_never_wins(kind: str, value: float | None) -> None:
    made = guest(kind)
    ends: dict[str, Any] = {}
    running = {}
    for n in range(17):
        running[trial_id(n)] = 0
        made.grant(trial_id(n))
    for _ in range(400):
        if not running:
            promotion = made.next_paused(False)
            if promotion is None:
                break
            running[promotion.trial] = ends.pop(promotion.trial)[1]
        trial, step = next(iter(running.items()))
        bad = trial in ("t000003", "t000009")
        loss = value if bad else float(trial[1:])
        score = WORST if bad else loss
        running[trial] = step + 1
        decision = made.on_report(Report(trial, 1, step + 1, {"loss": loss}, score))
        if isinstance(decision, (Stop, Finish, Pause)):
            ends[trial] = (type(decision), running.pop(trial))
            if not isinstance(decision, Pause):
                made.on_end(trial, Outcome(Status.STOPPED, step + 1, score))
    assert ends["t000009"][1] < ends["t000000"][1], ends


class Wilful(FIFOScheduler):
    """Does to trials what Tune lets schedulers do through the controller."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Trial] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.seen.append(trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if result["loss"] < 0:
            for other in tune_controller.get_live_trials():
                if other is not trial and other.status == Trial.RUNNING:
                    tune_controller.stop_trial(other)
        if result["loss"] > 100:
            tune_controller.pause_trial(trial)
            return TrialScheduler.NOOP
        if result["loss"] > 50 and random.random() > 2:
            raise AssertionError
        return TrialScheduler.CONTINUE


def test_a_scheduler_may_act_through_the_controller() -> None:
    made = TuneSchedulerGuest(Wilful(), GOAL)
    for n in range(2):
        assert made.grant(trial_id(n)) == 1
    assert isinstance(made.on_report(Report("t000000", 1, 1, {"loss": 200.0}, 200.0)), Pause)
    assert made.next_paused(True) is None, "it wants a new trial first"
    assert made.next_paused(True) is None
    promotion = made.next_paused(True)
    assert promotion is not None, "none came"
    assert promotion[:2] == ("t000000", 2)
    assert isinstance(made.on_report(Report("t000001", 1, 1, {"loss": -1.0}, -1.0)), RunTo)
    assert isinstance(made.on_report(Report("t000000", 1, 2, {"loss": 1.0}, 1.0)), Stop)


def test_listeners_hear_of_pauses_and_of_paused_trials_that_were_stopped() -> None:
    heard: list[tuple[str, str]] = []

    class Ear:
        def paused(self, trial: str) -> None:
            heard.append(("paused", trial))

        def resumed(self, trial: str) -> None:
            heard.append(("resumed", trial))

        def dropped(self, trial: str) -> None:
            heard.append(("dropped", trial))

    made = TuneSchedulerGuest(KINDS["bohb"](), GOAL, listener=Ear())
    simulate(made, 17, Machine(workers=3, ends_at=13))
    assert {what for what, _ in heard} == {"paused", "resumed", "dropped"}
    assert {trial for what, trial in heard if what == "dropped"} >= made.dropped
    count = len(heard)
    made.load(made.state())
    assert len(heard) == count, "a resume tells nobody again"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: PopulationBasedTraining(hyperparam_mutations={"lr": [1, 2]}), "new configs"),
        (lambda: ResourceChangingScheduler(), "resources"),  # noqa: PLW0108 - ruff would inline Ray
        (lambda: {"name": "asha"}, "scheduler is a dict; allowed are"),
    ],
)
def test_what_cannot_run_here_is_refused(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        TuneSchedulerGuest(make(), GOAL)
