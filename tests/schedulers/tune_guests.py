"""Stock schedulers as guests, driven by our loop and as Ray Tune would drive them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
)

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.tune_guest import TuneSchedulerGuest
from raysweep.trials.decisions import Decision, Finish, Pause, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, Status, trial_id
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

    def grant(self, trial: str, config: Config) -> int:
        step = self.inner.grant(trial, config)
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
