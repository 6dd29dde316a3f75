"""One trial along a schedule: a chain of trials with one config each."""

from __future__ import annotations

from typing import Any

import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.catalog import build_scheduler, check_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.trials import actions, events
from raysweep.trials.errors import SpecError
from raysweep.trials.streams import Stream
from raysweep.trials.trial import TrialId
from tests.orchestrator.harness import GOAL, SPACE, Memory, OneNumber, make_state, run

SCHEDULE = [
    {"from_step": 0, "config": {"x": 0.5}},
    {"from_step": 4, "config": {"x": 0.25}},
    {"from_step": 5, "config": {"x": 0.125}},
]
REPLAY = {"name": "pbt_replay", "max_t": 9, "schedule": SCHEDULE}


class First(OneNumber):
    """Proposes the schedule's first config, as `points_to_evaluate` does."""

    def ask(self, trial: TrialId, stream: Stream) -> dict[str, Any] | None:
        return {"x": 0.5}


def replayed(machine: Machine, searcher: OneNumber | None = None) -> tuple[SweepState, Memory]:
    memory = Memory()
    state = make_state(REPLAY, searcher or First(), budget=Budget(trials=1), retries={"infra": 99})
    run(state, machine, memory)
    return state, memory


@pytest.mark.parametrize("loss_rate", [0.0, 0.2])
@pytest.mark.parametrize("workers", [1, 3])
def test_each_segment_is_a_trial_that_goes_on_where_the_last_one_paused(
    workers: int, loss_rate: float
) -> None:
    state, memory = replayed(Machine(workers=workers, save_s=0.5, loss_rate=loss_rate))
    born = [e for e, _ in memory.records if isinstance(e, events.Suggested)]
    assert [(e.config["x"], e.parent, e.parent_step) for e in born] == [
        (0.5, None, None),
        (0.25, "t000000", 4),
        (0.125, "t000001", 5),
    ]
    steps: dict[str, set[int]] = {}
    for event, _ in memory.records:
        if isinstance(event, events.Reported):
            steps.setdefault(event.trial, set()).update(event.steps)
    assert steps == {"t000000": {1, 2, 3, 4}, "t000001": {5}, "t000002": {6, 7, 8, 9}}
    assert state.ended["COMPLETED"] == 1  # type: ignore[index]  # a Status is its text
    assert sorted(state.live) == ["t000000", "t000001"], "paused, with their checkpoints"


def test_a_trial_with_another_config_is_stopped_at_its_first_step() -> None:
    _, memory = replayed(Machine(workers=1), OneNumber())
    (stop,) = [v for _, vs in memory.records for v in vs if v.verb == "stop"]
    assert (stop.trial, stop.step) == ("t000000", 1)
    assert stop.rule.startswith("pbt_replay: its config is not the schedule's first; give the")


def test_no_checkpoint_no_child() -> None:
    state, memory = replayed(Machine(workers=1, can_save=False))
    assert list(state.live) == ["t000000"]
    assert not any(isinstance(a, actions.Fork) for a in memory.records)


@pytest.mark.parametrize(
    ("options", "trials", "message"),
    [
        ({}, 1, "schedule is missing"),
        ({"schedule": []}, 1, "schedule: it must be a list of segments"),
        ({"schedule": [{"from_step": 0}]}, 1, "is no segment; write {from_step: 0, config"),
        ({"schedule": [{"from_step": 1, "config": {}}]}, 1, r"ascend; it is \[1\]"),
        ({"schedule": [*SCHEDULE, SCHEDULE[1]]}, 1, r"ascend; it is \[0, 4, 5, 4\]"),
        ({"schedule": [{"from_step": 0.5, "config": {}}]}, 1, "from_step is 0.5; it must be a who"),
        ({"schedule": SCHEDULE, "max_t": 5}, 1, "begins at step 5, and max_t is 5; raise max_t"),
        ({"schedule": SCHEDULE}, 2, "the budget is 2 trials; give budget: {trials: 1}"),
        (
            {"schedule": [{"from_step": 0, "config": {"x": 2}}]},
            1,
            "schedule, from step 0: x: got 2; allowed is",
        ),
    ],
)
def test_a_schedule_that_cannot_be_followed_is_refused(
    options: dict[str, Any], trials: int, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        build_scheduler("pbt_replay", options, Setting(GOAL, SPACE, 0, trials))


def test_a_schedule_that_was_checked_checks_again() -> None:
    options = check_scheduler("pbt_replay", {"schedule": SCHEDULE, "max_t": 9})
    assert check_scheduler("pbt_replay", options) == options
