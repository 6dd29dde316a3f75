"""Which checkpoints the state machine keeps, and when it lets one go."""

from __future__ import annotations

from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.rules import Keep
from raysweep.trials import actions, events
from raysweep.trials.events import ErrorClass
from raysweep.trials.trial import Status
from tests.orchestrator.harness import Hand, dropped, make_state

FIFO = {"name": "fifo", "max_t": 3}
PROMOTION = {"name": "asha", "max_t": 9, "form": "promotion"}
STOPPING = {"name": "asha", "max_t": 9, "form": "stopping"}


def test_old_checkpoints_are_dropped_only_when_a_newer_one_is_recorded() -> None:
    hand = Hand(make_state({"name": "fifo"}, budget=Budget(trials=1)))
    hand.give(events.Checkpointed(0.0, "t000000", 1, 1, "one"))
    assert not [a for a in hand.done if isinstance(a, actions.DropCheckpoint)]
    hand.give(events.Checkpointed(0.0, "t000000", 1, 2, "two"))
    assert hand.last(actions.DropCheckpoint).path == "one"
    hand.give(events.Ended(0.0, "t000000", 1, 2))
    assert [a.path for a in hand.done if isinstance(a, actions.DropCheckpoint)] == ["one"]


def test_a_trial_that_pauses_with_its_newest_checkpoint_keeps_it() -> None:
    """Found by killing drivers: the periodic checkpoint and the pause fell on the same step."""
    hand = Hand(make_state(PROMOTION))
    hand.report("t000000", 1, 0.1)
    hand.give(events.Checkpointed(0.0, "t000000", 1, 1, "checkpoints/t000000/1-1"))
    hand.give(events.Paused(0.0, "t000000", 1, 1, "checkpoints/t000000/1-1"))
    assert hand.state.live["t000000"].checkpoint == "checkpoints/t000000/1-1"
    assert dropped(hand) == []


def test_the_checkpoint_of_a_trial_stopped_at_that_step_is_dropped() -> None:
    hand = Hand(make_state(STOPPING))
    hand.report("t000000", 1, float("nan"))
    hand.give(events.Checkpointed(0.0, "t000000", 1, 1, "late"))
    assert dropped(hand) == ["late"]


def test_the_last_checkpoint_of_a_completed_trial_frees_the_one_before() -> None:
    hand = Hand(make_state({"name": "fifo", "max_t": 2}))
    hand.report("t000000", 1, 0.2)
    hand.give(events.Checkpointed(0.0, "t000000", 1, 1, "first"))
    hand.report("t000000", 2, 0.1)
    assert dropped(hand) == []
    hand.give(events.Checkpointed(0.0, "t000000", 1, 2, "last"))
    assert dropped(hand) == ["first"]


def test_a_sweep_does_not_close_before_the_last_checkpoint_is_written() -> None:
    hand = Hand(make_state({"name": "fifo", "max_t": 1}, budget=Budget(trials=1)))
    hand.answers = False
    hand.report("t000000", 1, 0.1)
    assert not [action for action in hand.done if isinstance(action, actions.Close)]
    hand.give(events.Finished(1.0, "t000000", 1, 1, "checkpoints/t000000/1-1"))
    assert hand.last(actions.Close).exit_code == 0
    assert dropped(hand) == []


def test_a_process_that_dies_over_its_last_checkpoint_does_not_hold_the_sweep_up() -> None:
    hand = Hand(make_state({"name": "fifo", "max_t": 1}, budget=Budget(trials=1)))
    hand.answers = False
    hand.report("t000000", 1, 0.1)
    hand.give(events.SlotDown(1.0, "s0", "killed"))
    hand.give(events.SlotUp(2.0, "s1", "n0", ""))
    assert hand.last(actions.Close).exit_code == 0
    assert hand.state.ended[Status.COMPLETED] == 1


def test_an_unreadable_checkpoint_is_given_up_for_the_one_before() -> None:
    hand = Hand(make_state({"name": "fifo"}, retries={"infra": 9, "checkpoint": 1}, keep=Keep(2)))
    hand.report("t000000", 1, 0.5)
    hand.give(events.Checkpointed(0.0, "t000000", 1, 1, "one"))
    hand.give(events.Checkpointed(0.0, "t000000", 1, 2, "two"))
    hand.give(events.Failed(0.0, "t000000", 1, ErrorClass.INFRA, "node", ""))
    hand.give(events.SlotDown(0.0, "s0", "node"))
    hand.give(events.SlotUp(0.0, "s1", "n0", ""))
    assert hand.last(actions.Start).checkpoint == "two"
    hand.give(events.Failed(0.0, "t000000", 2, ErrorClass.CHECKPOINT, "hash differs", ""))
    assert hand.last(actions.Start).checkpoint == "one"


def test_a_trial_that_ends_by_itself_has_ended_before_its_last_checkpoint_is_written() -> None:
    hand = Hand(make_state({"name": "fifo"}, budget=Budget(trials=1)))
    hand.report("t000000", 1, 0.1)
    hand.give(events.Checkpointed(0.0, "t000000", 1, 1, "first"))
    hand.report("t000000", 2, 0.1)
    hand.give(events.Ended(1.0, "t000000", 1, 2, saving=True))
    assert hand.state.ended[Status.COMPLETED] == 1
    assert not [action for action in hand.done if isinstance(action, actions.Close)]
    hand.give(events.Finished(2.0, "t000000", 1, 2, "last"))
    assert dropped(hand) == ["first"]
    assert hand.last(actions.Close).exit_code == 0


def test_a_process_that_dies_in_that_save_costs_the_checkpoint_alone() -> None:
    hand = Hand(make_state({"name": "fifo"}, budget=Budget(trials=1)))
    hand.report("t000000", 1, 0.1)
    hand.give(events.Ended(1.0, "t000000", 1, 1, saving=True))
    hand.give(events.SlotDown(2.0, "s0", "it died"))
    assert hand.state.ended[Status.COMPLETED] == 1
    assert not hand.state.slots.finishing
