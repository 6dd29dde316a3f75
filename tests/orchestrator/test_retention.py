"""Which checkpoints go, and when."""

from __future__ import annotations

import pytest

from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.retention import Retention
from raysweep.orchestrator.rules import Keep
from raysweep.trials.trial import Status


def trial_with(retention: Retention, steps: range) -> tuple[LiveTrial, list[str]]:
    """A running trial that has written a checkpoint at each of `steps`, and what that freed."""
    trial = LiveTrial("t000000", {})
    trial.move(Status.RUNNING, 0.0)
    gone = [path for step in steps for path in retention.add(trial, step, f"c{step}")]
    return trial, gone


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_stay_while_a_trial_runs(keep: int) -> None:
    trial, gone = trial_with(Retention(Keep(keep)), range(5))
    assert gone == [f"c{step}" for step in range(5 - keep)]
    assert [path for _, path in trial.checkpoints] == [f"c{step}" for step in range(5 - keep, 5)]


@pytest.mark.parametrize(("keep", "freed"), [(1, ["c3", "c4"]), (2, ["c3"]), (3, [])])
def test_as_many_stay_of_a_trial_that_completed(keep: int, freed: list[str]) -> None:
    retention = Retention(Keep(keep))
    trial, _ = trial_with(retention, range(5))
    trial.checkpoints = [(3, "c3"), (4, "c4")]
    trial.move(Status.COMPLETED, 1.0)
    assert retention.end(trial, saving=True) == []
    assert retention.late("t000000", 9, "c9") == freed


def test_a_last_checkpoint_that_was_there_already_frees_nothing_twice() -> None:
    retention = Retention(Keep(1))
    trial, _ = trial_with(retention, range(2))
    trial.move(Status.COMPLETED, 1.0)
    retention.end(trial, saving=True)
    assert retention.late("t000000", 1, "c1") == []


@pytest.mark.parametrize("status", [Status.STOPPED, Status.FAILED])
def test_a_trial_that_did_not_complete_leaves_nothing_unless_asked_to(status: Status) -> None:
    for keep_stopped, gone, late in ((False, ["c1"], ["c2"]), (True, [], [])):
        retention = Retention(Keep(1, keep_stopped))
        trial, _ = trial_with(retention, range(2))
        trial.move(status, 1.0)
        assert retention.end(trial, saving=False) == gone
        assert retention.late("t000000", 2, "c2") == late
