from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from raysweep.trials import events
from raysweep.trials.actions import Action, PoolAction, TrialAction
from raysweep.trials.decisions import CONTINUE, Decision, Reason, Verdict
from raysweep.trials.events import EVENTS, ErrorClass, Event, Reported, Silent
from raysweep.trials.goal import WORST, Goal

GOAL = Goal((("loss", "min"),))

EXAMPLES: list[Any] = [
    events.Opened(0.0, 1, 1.7e9, "host", {"budget.trials": 9}),
    events.SlotUp(0.1, "s0", "n0", "GPU-0"),
    events.SlotDown(0.2, "s0", "node lost"),
    events.Suggested(0.3, "t000000", {"lr": 0.1, "net/width": 8}),
    events.SuggestFailed(0.3, "t000001", "ValueError: no"),
    events.Exhausted(0.4),
    events.Deferred(0.4, "t000002"),
    events.Started(0.5, "t000000", 1, 0, "s0", "n0", 0.01),
    events.Reported(0.6, "t000000", 1, [1, 2], [0.1, 0.2], {"loss": [0.5, None]}),
    events.Checkpointed(0.7, "t000000", 1, 2, "checkpoints/t000000/1-2"),
    events.Unsaved(0.7, "t000000", 1, 2, "the file system is full"),
    events.Undeleted(0.7, "checkpoints/t000000/1-1", "is a symbolic link"),
    events.Paused(0.8, "t000000", 1, 2, None),
    events.Finished(0.85, "t000001", 1, 2, "checkpoints/t000001/1-2"),
    events.Ended(0.9, "t000000", 1, 2),
    events.Failed(1.0, "t000000", 1, "error", "ValueError: no", "Traceback ..."),
    events.Retried(1.05, "t000000", {"lr": 0.1}, 1),
    events.Ticked(1.1),
    events.Interrupted(1.2, "SIGINT"),
    events.Warned(1.25, "storage", "the disk is full"),
    events.Closed(1.3, "all trials have run their course", 0),
]


def test_the_register_holds_every_event_under_its_name() -> None:
    assert set(EVENTS.values()) == set(get_args(Event)) - {Silent}, "which is never recorded"
    assert all(name == kind.__name__ for name, kind in EVENTS.items())
    assert {type(example) for example in EXAMPLES} == set(EVENTS.values())


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_json_carries_every_event(event: Any) -> None:
    carried = EVENTS[type(event).__name__](*json.loads(json.dumps(event)))
    assert carried == event
    assert carried.at == event.at


def test_a_batch_is_read_step_by_step_and_scored() -> None:
    batch = Reported(
        1.0, "t000003", 2, [4, 5, 6], [0.1, 0.2, 0.3],
        {"loss": [0.5, None, 0.25], "note": ["a", "b", "c"]},
    )  # fmt: skip
    reports = list(batch.reports(GOAL))
    assert [(r.trial, r.attempt, r.step) for r in reports] == [
        ("t000003", 2, 4), ("t000003", 2, 5), ("t000003", 2, 6),
    ]  # fmt: skip
    assert [r.metrics for r in reports] == [
        {"loss": 0.5, "note": "a"}, {"loss": None, "note": "b"}, {"loss": 0.25, "note": "c"},
    ]  # fmt: skip
    assert [r.score for r in reports] == [0.5, WORST, 0.25]


def test_a_batch_is_scored_in_the_goals_direction() -> None:
    batch = Reported(1.0, "t0", 1, [1, 2], [0.1, 0.2], {"accuracy": [0.5, 0.75]})
    scores = [r.score for r in batch.reports(Goal((("accuracy", "max"),)))]
    assert scores == [-0.5, -0.75]


def test_an_empty_batch_holds_no_reports() -> None:
    assert list(Reported(1.0, "t0", 1, [], [], {}).reports(GOAL)) == []


def test_every_class_of_error_has_its_own_word() -> None:
    assert len({str(error) for error in ErrorClass}) == len(ErrorClass)
    assert json.dumps(ErrorClass.OOM) == '"oom"'


def test_a_verdict_and_a_reason_survive_json() -> None:
    verdict = Verdict("t0", 1, 3, "run_to", "asha", 9, 3, 0.5, 0.6, 1, 4)
    assert Verdict(*json.loads(json.dumps(verdict))) == verdict
    reason = Reason("asha", 3, WORST, None, 4, 4)
    assert Reason(*json.loads(json.dumps(reason))) == reason


def test_every_decision_but_continue_carries_its_reason() -> None:
    for kind in get_args(Decision):
        assert ("reason" in kind._fields) == (kind is not type(CONTINUE))


def test_what_a_pool_is_asked_to_do_names_trial_attempt_and_slot_first() -> None:
    """Pools tell a stale action by its first two fields."""
    assert set(get_args(TrialAction)) < set(get_args(PoolAction)) < set(get_args(Action))
    for kind in get_args(TrialAction):
        assert kind._fields[:3] == ("trial", "attempt", "slot")
        assert kind._fields[-1] == "why"


@pytest.mark.parametrize(
    ("device", "accelerator", "kind"),
    [("0", "H100", "H100"), ("0,1", "T4", "T4"), ("0", "", "gpu"), ("", "", "cpu")],
)
def test_the_kind_of_hardware_of_a_slot(device: str, accelerator: str, kind: str) -> None:
    assert events.SlotUp(0.0, "s0", "n0", device, accelerator).kind == kind


def test_reports_know_their_device_and_what_each_step_took() -> None:
    """The second batch of an attempt goes on from the training time of the first."""
    batch = Reported(0.6, "t000000", 1, [3, 4, 5], [2.5, 4.5, 4.5], {"loss": [0.5, 0.4, 0.3]})
    reports = list(batch.reports(GOAL, 1.0, "T4"))
    assert [report.step_s for report in reports] == [1.5, 2.0, 0.0]
    assert {report.device for report in reports} == {"T4"}
