"""A guest scheduler that meets bad values, acts on its own, or cannot be hosted."""

from __future__ import annotations

import math
import random  # noqa: TID251 - users' schedulers draw from it
from collections.abc import Callable
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    FIFOScheduler,
    PopulationBasedTraining,
    ResourceChangingScheduler,
    TrialScheduler,
)

from raysweep.cluster.simulated import Machine
from raysweep.schedulers.tune_guest import TuneSchedulerGuest
from raysweep.trials.decisions import Finish, Pause, RunTo, Stop
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.orchestrator.harness import GOAL
from tests.schedulers.tune_guests import (
    KINDS,
    guest,
    simulate,
)


@pytest.mark.parametrize("kind", ["asha", "median", "hyperband", "bohb"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_what_is_no_number_never_wins(kind: str, value: float | None) -> None:
    made = guest(kind)
    ends: dict[str, Any] = {}
    running = {}
    for n in range(17):
        running[trial_id(n)] = 0
        made.grant(trial_id(n), {})
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
        assert made.grant(trial_id(n), {}) == 1
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
