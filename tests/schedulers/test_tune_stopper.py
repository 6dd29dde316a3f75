from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from ray.tune import Stopper
from ray.tune.schedulers import ASHAScheduler
from ray.tune.stopper import (
    CombinedStopper,
    ExperimentPlateauStopper,
    FunctionStopper,
    MaximumIterationStopper,
    NoopStopper,
    TimeoutStopper,
    TrialPlateauStopper,
)

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.fifo import Fifo
from raysweep.schedulers.tune_conditions import timeout_s
from raysweep.schedulers.tune_guest import TuneSchedulerGuest
from raysweep.schedulers.tune_stopper import Stopped
from raysweep.searchers.stoppable import StoppableSearcher
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, RunTo, Stop
from raysweep.trials.errors import SpecError
from raysweep.trials.streams import Stream
from raysweep.trials.trial import UNBOUNDED, Outcome, Report, Status, trial_id
from tests.orchestrator.harness import GOAL, Memory, OneNumber, run

STEP = "training_iteration"


def report(trial: str, step: int, loss: float, **metrics: Any) -> Report:
    return Report(trial, 1, step, {"loss": loss, **metrics}, loss)


def follow(scheduler: Scheduler, trial: str, losses: list[float], **metrics: Any) -> Decision:
    """Run one trial until it is not to go on; what came last."""
    granted = scheduler.grant(trial, {})
    decision: Decision = CONTINUE
    for step, loss in enumerate(losses, 1):
        decision = scheduler.on_report(report(trial, step, loss, **metrics))
        if isinstance(decision, RunTo):
            granted = decision.step
        elif decision is not CONTINUE:
            return decision
        assert step < granted
    return decision


def simulate(scheduler: Scheduler, trials: int = 12, workers: int = 3) -> tuple[SweepState, Memory]:
    memory = Memory()
    searcher = StoppableSearcher(OneNumber(), lambda: bool(getattr(scheduler, "stopping", False)))
    state = SweepState(Rules(GOAL, budget=Budget(trials=trials)), searcher, scheduler)
    run(state, Machine(workers, step_sigma=0.5, ends_at=30), memory)
    assert state.advice.errors == 0, state.advice.last_error
    return state, memory


def ended_at(memory: Memory) -> dict[str, tuple[str, int]]:
    return {
        verdict.trial: (verdict.verb, verdict.step)
        for _, verdicts in memory.records
        for verdict in verdicts
        if verdict.verb in ("stop", "finish")
    }


class TestLimits:
    def test_training_iteration_alone_shortens_grants_and_asks_nothing_in_between(self) -> None:
        stopped = Stopped(Fifo(), {STEP: 20})
        assert stopped.grant("t000000", {}) == 20
        for step in range(1, 20):
            assert stopped.on_report(report("t000000", step, 1.0)) is CONTINUE
        assert isinstance(stopped.on_report(report("t000000", 20, 1.0)), Finish)

    def test_a_trial_that_reaches_it_is_completed(self) -> None:
        state, memory = simulate(Stopped(Fifo(), {STEP: 7}))
        assert state.ended[Status.COMPLETED] == 12
        assert set(ended_at(memory).values()) == {("finish", 7)}

    def test_an_earlier_end_by_the_scheduler_stays(self) -> None:
        state, _ = simulate(Stopped(StoppingAsha(9, 1, 3), {STEP: 5}))
        assert state.ended[Status.STOPPED] > 0
        assert state.ended[Status.COMPLETED] > 0
        plain, _ = simulate(Stopped(StoppingAsha(9, 1, 3), {STEP: 100}))
        assert plain.spend.steps > state.spend.steps

    def test_a_rung_that_the_limit_cuts_short_is_passed(self) -> None:
        stopped = Stopped(PromotionAsha(27, 9, 3), {STEP: 20})
        assert stopped.grant("t000000", {}) == 9
        for step in range(1, 9):
            stopped.on_report(report("t000000", step, 0.5))
        assert isinstance(stopped.on_report(report("t000000", 9, 0.5)), Pause)
        for n in (1, 2):
            follow(stopped, trial_id(n), [1.0] * 9)
        promotion = stopped.next_paused()
        assert promotion is not None
        assert promotion[:2] == ("t000000", 20)
        assert isinstance(stopped.on_report(report("t000000", 20, 0.5)), Finish)

    @pytest.mark.parametrize(
        ("stop", "finished"),
        [
            ({"acc": 0.9}, True),
            ({"acc": 0.91}, False),
            ({"acc": 1, STEP: 3}, True),
            ({"missing": 0, STEP: 4}, False),
            ({"eval/acc": 0.5}, True),
            ({}, False),
            (None, False),
        ],
    )
    def test_at_or_above_counts(self, stop: dict[str, float] | None, finished: bool) -> None:
        """Source: `Trial.should_stop` of Ray 2.60: a missing metric warns and ends nothing."""
        decision = follow(Stopped(Fifo(), stop), "t0", [1, 1, 1], acc=0.9, **{"eval/acc": 0.5})
        assert isinstance(decision, Finish) is finished

    def test_a_missing_metric_is_named_once(self, caplog: pytest.LogCaptureFixture) -> None:
        follow(Stopped(Fifo(), {"acuracy": 0.9}), "t0", [1, 1, 1])
        assert caplog.text.count("acuracy is not among the metrics") == 1

    def test_the_user_s_own_count_of_steps_is_what_counts(self) -> None:
        stopped = Stopped(Fifo(), {STEP: 6})
        assert stopped.grant("t0", {}) == 6
        for step in range(1, 6):
            assert stopped.on_report(report("t0", step, 1.0, **{STEP: step / 2})) is CONTINUE
        decision = stopped.on_report(report("t0", 6, 1.0, **{STEP: 3.0}))
        assert isinstance(decision, RunTo)
        assert decision.step == 9
        assert isinstance(stopped.on_report(report("t0", 9, 1.0, **{STEP: 6.0})), Finish)

    def test_without_a_condition_nothing_changes(self) -> None:
        assert Stopped(Fifo(), {}).grant("t0", {}) == UNBOUNDED


def test_a_function_of_trial_and_result() -> None:
    seen = []

    def low(trial: str, result: Mapping[str, Any]) -> bool:
        seen.append((trial, result[STEP], result["eval"]["acc"]))
        return bool(result["loss"] < 0.5)

    decision = follow(Stopped(Fifo(), low), "t0", [1.0, 0.6, 0.4, 0.3], **{"eval/acc": 0.7})
    assert isinstance(decision, Finish)
    assert seen == [("t0", 1, 0.7), ("t0", 2, 0.7), ("t0", 3, 0.7)]


STOPPERS: dict[str, tuple[Callable[[], Any], list[float], int | None]] = {
    "iterations": (lambda: MaximumIterationStopper(4), [1.0] * 9, 4),
    "plateau": (lambda: TrialPlateauStopper("loss", std=0.1), [4, 3, 2, 1, 1, 1, 1, 1], 7),
    "function": (lambda: FunctionStopper(lambda trial, result: result["loss"] < 2), [4, 3, 1], 3),
    "noop": (NoopStopper, [1.0] * 5, None),
    "combined": (
        lambda: CombinedStopper(MaximumIterationStopper(6), TrialPlateauStopper("loss")),
        [9, 8, 7, 6, 5, 4, 3],
        6,
    ),
    "list": (lambda: [NoopStopper(), MaximumIterationStopper(2)], [1.0] * 5, 2),
    "no time at all": (lambda: CombinedStopper(TimeoutStopper(0), NoopStopper()), [1.0] * 5, None),
}


@pytest.mark.parametrize("kind", STOPPERS)
def test_tune_s_stoppers_end_a_trial_where_they_do_in_tune(kind: str) -> None:
    make, losses, expected = STOPPERS[kind]
    stopped = Stopped(Fifo(), make())
    granted, ended = stopped.grant("t0", {}), None
    for step, loss in enumerate(losses, 1):
        decision = stopped.on_report(report("t0", step, loss))
        if isinstance(decision, Finish):
            ended = step
            break
        assert step < granted or isinstance(decision, RunTo)
    assert ended == expected


def test_an_experiment_that_plateaus_ends_every_trial_and_starts_none() -> None:
    stopped = Stopped(Fifo(), ExperimentPlateauStopper("loss", std=0.5, top=3, patience=2))
    state, memory = simulate(stopped, trials=100)
    assert stopped.stopping
    ends = ended_at(memory)
    assert 1 < len(ends) < 20
    assert {verb for verb, _ in ends.values()} == {"stop", "finish"}
    assert not state.live


@pytest.mark.parametrize("kind", ["plateau", "iterations", "combined"])
@pytest.mark.parametrize("cut", [1, 3])
def test_saved_and_loaded_it_goes_on_as_before(kind: str, cut: int) -> None:
    make, losses, expected = STOPPERS[kind]
    stopped = Stopped(Fifo(), make())
    stopped.grant("t0", {})
    for step, loss in enumerate(losses, 1):
        if isinstance(stopped.on_report(report("t0", step, loss)), Finish):
            assert step == expected
            return
        if step >= cut:
            saved = json.dumps(stopped.state(), allow_nan=False)
            stopped = Stopped(Fifo(), make())
            stopped.load(json.loads(saved))
            assert json.dumps(stopped.state()) == saved
    pytest.fail("it never ended")


def test_what_has_ended_is_forgotten_where_trials_are_looked_at_one_by_one() -> None:
    stopped = Stopped(Fifo(), TrialPlateauStopper("loss"))
    for n in range(5):
        follow(stopped, trial_id(n), [9.0, 5.0])
        stopped.on_end(trial_id(n), Outcome(Status.COMPLETED, 2, 5.0))
    assert stopped.state()["condition"] == []


def test_a_plain_function_is_not_taken_through_history() -> None:
    stopped = Stopped(Fifo(), lambda trial, result: False)
    follow(stopped, "t0", [1.0] * 5)
    assert stopped.state()["condition"] == []


def test_results_that_are_no_numbers_survive_a_resume() -> None:
    stopped, resumed = (Stopped(Fifo(), TrialPlateauStopper("loss")) for _ in range(2))
    follow(stopped, "t0", [math.nan, math.inf])
    resumed.load(json.loads(json.dumps(stopped.state(), allow_nan=False)))
    assert json.dumps(resumed.state()) == json.dumps(stopped.state())


def test_a_guest_hears_of_the_last_report_as_from_tune() -> None:
    """Source: a result that meets `stop` reaches the scheduler's `on_trial_complete` only."""
    heard = []

    class Listens(ASHAScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            heard.append(("result", result[STEP]))
            return str(super().on_trial_result(tune_controller, trial, result))

        def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
            heard.append(("complete", result[STEP]))

    stopped = Stopped(TuneSchedulerGuest(Listens(max_t=9), GOAL), {STEP: 2})
    assert isinstance(follow(stopped, "t0", [1.0, 0.5]), Finish)
    stopped.on_end("t0", Outcome(Status.COMPLETED, 2, 0.5))
    assert heard == [("result", 1), ("complete", 2)]


def test_what_it_showed_at_the_end_counts_at_a_native_rung() -> None:
    stopped = Stopped(StoppingAsha(27, 3, 3), {STEP: 3})
    for n in range(3):
        assert isinstance(follow(stopped, trial_id(n), [1.0] * 3), Finish)
    assert stopped.state()["inner"] != StoppingAsha(27, 3, 3).state()


def test_the_shortest_timeout_is_found() -> None:
    assert timeout_s(TimeoutStopper(timedelta(minutes=1))) == 60.0
    assert timeout_s([NoopStopper(), CombinedStopper(TimeoutStopper(9), TimeoutStopper(5))]) == 5.0
    assert Stopped(Fifo(), TimeoutStopper(5)).timeout_s == 5.0
    assert timeout_s({STEP: 3}) is None
    assert timeout_s(None) is None


def test_a_searcher_that_can_be_stopped() -> None:
    stopping = [False]
    inner = OneNumber()
    searcher = StoppableSearcher(inner, lambda: stopping[0])
    config = searcher.ask("t000000", Stream(0))
    assert isinstance(config, dict)
    searcher.suggested("t000000", config)
    searcher.tell(report("t000000", 1, 1.0))
    assert searcher.state() == inner.state()
    other = StoppableSearcher(OneNumber(), lambda: False)
    other.load(searcher.state())
    assert other.state() == searcher.state()
    stopping[0] = True
    assert searcher.ask("t000001", Stream(0)) is None
    searcher.end("t000000", Outcome(Status.COMPLETED, 1, 1.0))
    assert inner.pending == {}


class Unlike:
    """Has what a stopper has and is none."""

    def __call__(self, trial: str, result: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        return False


@pytest.mark.parametrize("stop", [5, "never", [1], Unlike(), [Stopper, 3]])
def test_what_does_not_stop_is_refused(stop: Any) -> None:
    with pytest.raises(SpecError, match="it may be a dict such as"):
        Stopped(Fifo(), stop)


@pytest.mark.parametrize("value", [{"acc": 1}, "0.9", True])
def test_a_limit_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(SpecError, match=r"stop: eval is .* it must be a number"):
        Stopped(Fifo(), {"eval": value})


def test_stopping_once_it_holds_stops_at_the_next_report() -> None:
    class Enough(Stopper):
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            self.seen = result["loss"]
            return False

        def stop_all(self) -> bool:
            return bool(self.seen < 0)

    stopped = Stopped(Fifo(), Enough())
    for n in range(2):
        stopped.grant(trial_id(n), {})
    assert isinstance(stopped.on_report(report("t000000", 1, -1.0)), Stop)
    assert isinstance(stopped.on_report(report("t000001", 1, 1.0)), Stop)
    assert stopped.next_paused() is None
