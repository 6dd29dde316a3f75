"""The state machine by itself: what each event leads to, and that nothing is ever lost."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.rules import ALGORITHM_ERRORS, Rules
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.fifo import Fifo
from raysweep.trials import actions, events
from raysweep.trials.decisions import Decision
from raysweep.trials.errors import IllegalTransition
from raysweep.trials.events import ErrorClass
from raysweep.trials.trial import Report, Status
from tests.orchestrator.harness import GOAL, Hand, Memory, OneNumber, make_state, run

FIFO = {"name": "fifo", "max_t": 3}
PROMOTION = {"name": "asha", "max_t": 9, "form": "promotion"}
STOPPING = {"name": "asha", "max_t": 9, "form": "stopping"}


def test_a_trial_runs_from_suggestion_to_finish() -> None:
    hand = Hand(make_state(FIFO, budget=Budget(trials=1)))
    assert [type(action).__name__ for action in hand.done] == ["Suggest", "Start"]
    start = hand.last(actions.Start)
    assert (start.trial, start.attempt, start.run_to, start.checkpoint) == ("t000000", 1, 3, None)
    hand.report("t000000", 1, 1.0)
    hand.report("t000000", 2, 0.5)
    assert isinstance(hand.report("t000000", 3, 0.4)[0], actions.Finish)
    assert hand.last(actions.Close).exit_code == 0
    assert hand.state.ended[Status.COMPLETED] == 1
    assert not hand.state.live


def test_a_stopped_trials_slot_is_given_away_in_the_same_breath() -> None:
    hand = Hand(make_state(STOPPING, budget=Budget(trials=9)))
    hand.report("t000000", 1, 0.1)
    hand.give(events.Ended(0.0, "t000000", 1, 1))
    done = hand.report("t000001", 1, 0.9)
    assert [type(action).__name__ for action in done] == ["Stop", "Suggest"]
    assert hand.last(actions.Start).trial == "t000002"


def test_reports_of_a_former_attempt_change_nothing() -> None:
    hand = Hand(make_state(FIFO, retries={"infra": 1}))
    hand.give(events.Failed(1.0, "t000000", 1, ErrorClass.INFRA, "node lost", ""))
    hand.give(events.SlotDown(1.0, "s0", "node lost"))
    hand.give(events.SlotUp(2.0, "s1", "n1", ""))
    assert hand.last(actions.Start).attempt == 2
    assert hand.report("t000000", 1, 0.1, attempt=1) == []
    assert hand.state.live["t000000"].told == 0


def test_a_retried_trial_goes_on_from_its_newest_checkpoint() -> None:
    hand = Hand(make_state(PROMOTION, retries={"crash": 1}))
    hand.report("t000000", 1, 0.1)
    pause = hand.last(actions.Pause)
    hand.give(events.Paused(1.0, "t000000", pause.attempt, 1, "checkpoints/t000000/1-1"))
    trial = hand.state.live["t000000"]
    assert (trial.status, trial.step, trial.checkpoint) == (
        Status.PAUSED,
        1,
        "checkpoints/t000000/1-1",
    )


def test_steps_that_a_retry_repeats_are_not_told_again() -> None:
    searcher = OneNumber()
    state = make_state({"name": "fifo", "max_t": 5}, searcher, retries={"crash": 1})
    hand = Hand(state, slots=1)
    hand.report("t000000", 1, 0.3)
    hand.report("t000000", 2, 0.2)
    hand.give(events.Failed(1.0, "t000000", 1, ErrorClass.CRASH, "gone", ""))
    hand.give(events.SlotDown(1.0, "s0", "gone"))
    hand.give(events.SlotUp(1.0, "s1", "n0", ""))
    for step in (1, 2, 3):
        hand.report("t000000", step, 0.1, attempt=2)
    assert searcher.told == [("t000000", 1), ("t000000", 2), ("t000000", 3)]
    assert state.spend.steps == 5, "repeated steps cost what they cost"


def test_a_sweep_whose_only_slot_is_down_waits_with_those_that_can_be_promoted() -> None:
    """With t1 at the rung, t0 is the best of two; t1's process dies before a slot is free for t0."""
    asha = {"name": "asha", "max_t": 4, "reduction_factor": 2}
    hand = Hand(make_state(asha, budget=Budget(trials=2), retries={"crash": 0}))
    hand.report("t000000", 1, 0.1)
    hand.give(events.Paused(1.0, "t000000", 1, 1, "t000000/1-1"))
    hand.report("t000001", 1, 0.5)
    hand.give(events.Failed(2.0, "t000001", 1, ErrorClass.CRASH, "gone", ""))
    assert hand.state.live["t000001"].status is Status.PAUSED
    assert not any(isinstance(action, actions.Close) for action in hand.done)
    hand.give(events.SlotDown(2.0, "s0", "gone"))
    hand.give(events.SlotUp(2.0, "s1", "n0", ""))
    start = hand.last(actions.Start)
    assert (start.trial, start.attempt, start.run_to) == ("t000000", 2, 2)
    assert not any(isinstance(action, actions.Close) for action in hand.done)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ErrorClass.ERROR, 1),
        (ErrorClass.REPORT, 1),
        (ErrorClass.OOM, 2),
        (ErrorClass.CRASH, 2),
        (ErrorClass.INFRA, 6),
    ],
)
def test_each_class_of_error_has_its_own_retries(error: ErrorClass, attempts: int) -> None:
    hand = Hand(make_state(FIFO, budget=Budget(trials=1)), slots=1)
    for attempt in range(1, 20):
        trial = hand.state.live.get("t000000")
        if trial is None:
            break
        hand.give(events.Failed(hand.at, "t000000", attempt, error, "what went wrong", ""))
        if error in (ErrorClass.CRASH, ErrorClass.INFRA):
            hand.give(events.SlotDown(hand.at, f"s{attempt - 1}", ""))
        hand.at += 1000.0
        hand.give(events.SlotUp(hand.at, f"s{attempt}", "n0", ""))
    assert hand.last(actions.Start).attempt == attempts
    assert hand.state.ended[Status.FAILED] == 1


def test_losses_of_nodes_are_forgiven_when_the_trial_gets_on() -> None:
    hand = Hand(make_state({"name": "fifo"}, budget=Budget(trials=1), retries={"infra": 1}))
    for attempt in range(1, 9):
        hand.report("t000000", attempt, 0.1, attempt=attempt)
        hand.give(events.Failed(0.0, "t000000", attempt, ErrorClass.INFRA, "spot", ""))
        hand.give(events.SlotDown(0.0, f"s{attempt - 1}", "spot"))
        hand.give(events.SlotUp(0.0, f"s{attempt}", "n0", ""))
    assert hand.last(actions.Start).attempt == 9
    assert hand.state.live["t000000"].status is Status.RUNNING


def test_steps_that_an_earlier_attempt_has_shown_are_no_getting_on() -> None:
    hand = Hand(make_state({"name": "fifo"}, budget=Budget(trials=1), retries={"infra": 1}))
    for attempt in (1, 2):
        hand.report("t000000", 1, 0.1, attempt=attempt)
        hand.give(events.Failed(0.0, "t000000", attempt, ErrorClass.INFRA, "SIGTERM", ""))
        hand.give(events.SlotDown(0.0, f"s{attempt - 1}", "SIGTERM"))
        hand.give(events.SlotUp(0.0, f"s{attempt}", "n0", ""))
    assert hand.state.ended[Status.FAILED] == 1


def test_a_slot_that_dies_with_a_start_on_its_way_costs_the_trial_nothing() -> None:
    hand = Hand(make_state(FIFO, budget=Budget(trials=1)), slots=1)
    hand.give(events.SlotDown(0.5, "s0", "died before it heard"))
    assert hand.state.live["t000000"].charged == {}
    hand.give(events.SlotUp(1.0, "s1", "n0", ""))
    assert hand.last(actions.Start).attempt == 2


def test_a_promotion_that_overtakes_the_pause_is_kept() -> None:
    """A slot frees while the promotable trial still writes its checkpoint."""
    hand = Hand(make_state(PROMOTION, budget=Budget(trials=3)), slots=2)
    hand.report("t000000", 1, 0.1)  # pausing: 1 // 3 = 0 go on
    hand.report("t000001", 1, 0.2)
    hand.give(events.Paused(0.0, "t000001", 1, 1, "b"))
    hand.report("t000002", 1, 0.3)  # now 3 // 3 = 1 goes on: t000000, whose Paused is not here yet
    hand.give(events.Paused(0.0, "t000002", 1, 1, "c"))
    assert hand.state.live["t000000"].status is Status.PAUSING
    assert hand.state.live["t000000"].owed
    hand.give(events.Paused(0.0, "t000000", 1, 1, "a"))
    start = hand.last(actions.Start)
    assert (start.trial, start.checkpoint, start.run_to) == ("t000000", "a", 3)


def test_five_failures_alike_before_any_report_end_the_sweep() -> None:
    hand = Hand(make_state(FIFO, budget=Budget(trials=50)))
    for number in range(5):
        event = events.Failed(0.0, f"t{number:06d}", 1, ErrorClass.ERROR, "NameError: lr", "")
        hand.give(event)
    close = hand.last(actions.Close)
    assert close.exit_code == 1
    assert "first 5 trials all failed alike" in close.reason
    assert "NameError: lr" in close.reason


def test_a_sweep_without_slots_says_that_it_is_stalled() -> None:
    hand = Hand(make_state(FIFO, stalled_s=60.0), slots=0)
    assert hand.state.deadline() == 60.0
    hand.give(events.Ticked(59.0))
    assert not [a for a in hand.done if isinstance(a, actions.Close)]
    hand.give(events.Ticked(60.0))
    assert hand.last(actions.Close) == actions.Close("stalled: no slot for 60 s", 3)


def test_an_interrupted_sweep_checkpoints_and_is_resumable() -> None:
    hand = Hand(make_state({"name": "fifo"}, budget=Budget(trials=2)), slots=2)
    hand.report("t000000", 1, 0.1)
    hand.give(events.Interrupted(1.0, "SIGTERM"))
    assert {a.trial for a in hand.done if isinstance(a, actions.Pause)} == {"t000000", "t000001"}
    hand.give(events.Paused(2.0, "t000000", 1, 1, "a"))
    hand.give(events.Paused(2.0, "t000001", 1, 0, None))
    close = hand.last(actions.Close)
    assert (close.reason, close.exit_code) == ("interrupted: SIGTERM", 75)
    hand.give(events.Closed(2.0, close.reason, close.exit_code))
    hand.give(events.Opened(2.0, 2, 0.0, "here"))
    hand.give(events.SlotUp(2.0, "s9", "n0", ""))
    start = hand.last(actions.Start)
    assert (start.trial, start.attempt, start.step, start.checkpoint) == ("t000000", 2, 1, "a")


def test_a_drain_does_not_wait_for_a_hanging_trial() -> None:
    hand = Hand(make_state({"name": "fifo"}, drain_s=15.0))
    hand.give(events.Interrupted(1.0, "SIGINT"))
    assert hand.state.deadline() == 16.0
    hand.give(events.Ticked(16.0))
    assert hand.last(actions.Close).exit_code == 75


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(steps=7), "budget of 7 steps"),
        (Budget(wall_time_s=5.0), "wall-time budget of 5 s"),
        (Budget(gpu_hours=10 / 3600), "GPU-hours"),
    ],
)
def test_a_budget_ends_the_sweep_and_says_so(budget: Budget, reason: str) -> None:
    state = make_state({"name": "fifo"}, budget=budget, gpu=0.5)
    closed = run(state, Machine(workers=4), Memory())
    assert reason in closed.reason
    assert closed.exit_code == 0
    assert closed.at <= 7.0, "4 workers at 1 s a step; 10 GPU-seconds at 4 × 0.5 GPU are 5 s"
    assert state.spend.steps <= (budget.steps or 99) + 2 * 4, "what was in flight, and no more"
    assert {trial.status for trial in state.live.values()} == {Status.PAUSED}


def test_a_searcher_that_explodes_costs_suggestions_and_not_the_sweep() -> None:
    class Moody(OneNumber):
        def ask(self, trial: str, stream: Any) -> dict[str, Any]:
            if trial.endswith(("1", "3", "5")):
                raise RuntimeError("not today")
            return {"x": stream.uniform()}

        def tell(self, report: Any) -> None:
            raise ValueError("cannot learn")

    state, memory = make_state(FIFO, Moody(), budget=Budget(trials=8)), Memory()
    closed = run(state, Machine(), memory)
    failed = [r.event for r in memory.records if isinstance(r.event, events.SuggestFailed)]
    assert {event.trial for event in failed} == {"t000001", "t000003", "t000005"}
    assert "the searcher raised RuntimeError: not today" in failed[0].message
    assert state.ended[Status.COMPLETED] <= 5
    assert closed.exit_code == 1
    assert "cannot learn" in state.advice.last_error


def test_a_searcher_that_only_explodes_ends_the_sweep() -> None:
    class Broken(OneNumber):
        def ask(self, trial: str, stream: Any) -> dict[str, Any]:
            raise RuntimeError("never")

    closed = run(make_state(FIFO, Broken(), budget=Budget(trials=99)), Machine(), Memory())
    assert closed.exit_code == 1
    assert "the searcher failed 10 times in a row" in closed.reason


def test_a_scheduler_that_explodes_costs_the_trial() -> None:
    state = make_state(FIFO, budget=Budget(trials=2))
    sane = state.advice.scheduler.on_report

    def on_report(report: Any) -> Any:
        if report.trial == "t000000":
            raise KeyError("rung")
        return sane(report)

    state.advice.scheduler.on_report = on_report  # type: ignore[method-assign]
    closed = run(state, Machine(), Memory())
    assert state.ended[Status.STOPPED] == 1
    assert state.ended[Status.COMPLETED] == 1
    assert closed.exit_code == ALGORITHM_ERRORS


def test_an_illegal_move_tells_the_trials_story() -> None:
    trial = LiveTrial("t000007", {})
    trial.move(Status.RUNNING, 1.0)
    trial.move(Status.COMPLETED, 2.5)
    with pytest.raises(
        IllegalTransition,
        match=r"t000007 cannot go from COMPLETED to RUNNING.*nothing.*2\.500 s RUNNING → COMPLETED",
    ):
        trial.move(Status.RUNNING, 3.0)


def test_a_config_that_json_cannot_carry_costs_its_suggestion() -> None:
    class Numpy(OneNumber):
        def ask(self, trial: str, stream: Any) -> dict[str, Any]:
            return {"x": np.int64(1) if trial == "t000001" else 0.5}

    state, memory = make_state(FIFO, Numpy(), budget=Budget(trials=3)), Memory()
    run(state, Machine(), memory)
    failed = [r.event for r in memory.records if isinstance(r.event, events.SuggestFailed)]
    assert [event.trial for event in failed] == ["t000001"]
    assert "int64 is not JSON serializable" in failed[0].message
    assert state.ended[Status.COMPLETED] == 2


class Heard(Fifo):
    """FIFO that remembers what each step took, and on what."""

    def __init__(self) -> None:
        super().__init__(9)
        self.steps: list[tuple[int, float, str]] = []

    def on_report(self, report: Report) -> Decision:
        self.steps.append((report.step, report.step_s, report.device))
        return super().on_report(report)


def test_a_scheduler_hears_what_each_step_took_and_where_once_over_all_attempts() -> None:
    """Steps 2 and 3 are repeated after the loss, on a slower device, and what that takes is no
    part of step 4."""
    heard = Heard()
    state = SweepState(Rules(GOAL, Budget(trials=1), {"infra": 1}), OneNumber(), heard)
    hand = Hand(state, slots=0)
    hand.give(events.SlotUp(0.0, "s0", "n0", "0", "H100"))
    losses = {"loss": [1.0, 1.0]}
    hand.give(events.Reported(0.0, "t000000", 1, [1, 2], [1.0, 2.5], losses))
    hand.give(events.Checkpointed(0.0, "t000000", 1, 1, "c"))
    hand.give(events.Reported(0.0, "t000000", 1, [3], [4.0], {"loss": [1.0]}))
    hand.give(events.Failed(0.0, "t000000", 1, "infra", "gone", ""))
    hand.give(events.SlotDown(0.0, "s0", "gone"))
    hand.give(events.SlotUp(9.0, "s1", "n1", "", ""))
    hand.at = 9.0
    hand.give(events.Ticked(99.0))
    loaded = SweepState(state.rules, OneNumber(), heard)
    loaded.load(json.loads(json.dumps(state.state())))
    hand.state = loaded
    hand.give(events.Reported(99.0, "t000000", 2, [2, 3], [7.0, 14.0], losses))
    hand.give(events.Reported(99.0, "t000000", 2, [4, 5], [20.0, 29.0], losses))
    assert heard.steps == [
        (1, 1.0, "H100"), (2, 1.5, "H100"), (3, 1.5, "H100"), (4, 6.0, "cpu"), (5, 9.0, "cpu"),
    ]  # fmt: skip


def test_what_a_trial_did_before_it_heard_that_it_is_to_pause_is_told_and_charged() -> None:
    """At 3 s, the second of its three steps, it has to wait; the third is on the way already."""
    scheduler = {"name": "asha", "max_t": 27, "grace_period": 3, "unit": "seconds"}
    hand = Hand(make_state(scheduler, budget=Budget(trials=1)))
    losses = {"loss": [1.0, 1.0, 1.0]}
    done = hand.give(events.Reported(0.0, "t000000", 1, [1, 2, 3], [1.0, 3.0, 4.5], losses))
    assert [type(action).__name__ for action in done] == ["RunTo", "Pause"]
    live = hand.state.live["t000000"]
    assert (live.status, live.told) == (Status.PAUSING, 3)
    account = hand.state.advice.scheduler.state()["accounts"]["t000000"]
    assert account["amount"] == pytest.approx(4.5)
    assert account["target"] is None, "it waits at the rung at 3"
