"""Any of Ray Tune's schedulers behind our seam, rebuilt on resume without a pickle.

The scheduler gets Tune's own `Trial` objects and a controller that offers what schedulers call. Its
calls are written down as JSON, and a resume takes a fresh scheduler through them. What it draws
from the global generators (ASHA, to which of several brackets a trial belongs) is keyed.

Tune always has the next trial at hand, pending, before a slot is free for it; HyperBand relies on
that to fill its brackets. So one trial that does not exist yet is always announced to the
scheduler, and withdrawn once nobody new will come.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    PopulationBasedTrainingReplay,
    ResourceChangingScheduler,
    TrialScheduler,
)

from raysweep.schedulers.base import Promotion
from raysweep.schedulers.tune_controller import OVER, Controller, Listener, Searching
from raysweep.schedulers.tune_milestones import milestones
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.errors import SpecError
from raysweep.trials.global_chance import lent
from raysweep.trials.goal import Goal
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, Status, TrialId
from raysweep.trials.tune_result import STEP, pack, tune_result, unpack

_LOG = logging.getLogger(__name__)
_PATIENCE = 2
"""How often a scheduler may wish for a new trial that does not come, before a paused one goes on."""
_SORTING = (HyperBandScheduler, MedianStoppingRule)
_REFUSED = {
    PopulationBasedTraining: "it gives running trials new configs and others' checkpoints; "
    "raysweep's own pbt and pb2 make new trials instead",
    PopulationBasedTrainingReplay: "it gives a running trial new configs; raysweep's own "
    "pbt_replay makes new trials instead",
    ResourceChangingScheduler: "it changes what resources a running trial has",
}


class TuneSchedulerGuest:
    """A `ray.tune.schedulers.TrialScheduler` as one of ours.

    It is asked at each step, but ASHA by `training_iteration` only at its milestones. A trial that
    it stops while it pauses stays paused and is never called back; `dropped` names it.

    Args:
        scheduler: a fresh one.
        goal: its metric and mode go to a scheduler that has none.
        seed: of what the scheduler draws from the global generators.
        listener: hears of pauses and of paused trials that were stopped, as Tune's searchers do.

    Attributes:
        dropped: the trials that the scheduler stopped while they paused.

    Raises:
        SpecError: for what is no TrialScheduler, or one that changes trials while they run.
    """

    def __init__(
        self, scheduler: Any, goal: Goal, *, seed: int = 0, listener: Listener | None = None
    ) -> None:
        _check(scheduler)
        scheduler.set_search_properties(None if scheduler.metric else goal.metric, goal.mode)
        self._fresh, self._goal, self._seed = scheduler, goal, seed
        self._metric = scheduler.metric or goal.metric
        self._listener = listener
        self._rule = type(scheduler).__name__
        # Tune's own draw when a trial is announced only, and do not look at those that have ended
        self._stock = type(scheduler).__module__.startswith("ray.tune.schedulers.")
        with lent(Stream(seed, "milestones")):
            self._milestones = milestones(scheduler)
        self._begin()

    def _begin(self) -> None:
        self._scheduler: Any = copy.deepcopy(self._fresh)
        self._searching = Searching(self._listener, self._name)
        self._controller = Controller(self._scheduler, self._searching)
        self._trials: dict[TrialId, Trial] = {}
        self._names: dict[str, TrialId] = {}
        self._unborn: Trial | None = None  # announced, and nobody's yet
        self._announced = 0
        self._granted: dict[TrialId, int] = {}
        self._last: dict[TrialId, tuple[int, dict[str, Any]]] = {}
        self._each_step = self._milestones is None
        self._calls: list[list[Any]] = []
        self._wished = 0  # how often in a row it wanted a new trial and none came
        self._nobody: set[tuple[bool, bool]] = set()  # queries whose answer is known

    @property
    def dropped(self) -> frozenset[TrialId]:
        """The trials that the scheduler stopped while they paused."""
        trials = self._trials.items()
        return frozenset(name for name, trial in trials if trial.status == Trial.TERMINATED)

    def grant(self, trial: TrialId, config: Config) -> int:
        """One step, or to the first milestone."""
        with self._call("grant", trial):
            if self._unborn is None:
                self._announce()
            born = self._unborn
            if born is not None:
                born.status = Trial.RUNNING
                self._trials[trial], self._names[born.trial_id] = born, trial
            self._announce()
        self._wished = 0
        return self._grant(trial, 0)

    def on_report(self, report: Report) -> Decision:
        """What the scheduler decides on it."""
        trial = self._trials[report.trial]
        self.final(report)
        if trial.status in OVER:
            return Stop(Reason(f"{self._rule} stopped it", score=report.score))
        if report.step < self._granted[report.trial]:
            return CONTINUE
        with self._call("report", report.trial, report.step, pack(report.metrics)):
            return self._decide(trial, report)

    def final(self, report: Report) -> None:
        """Note a report on which nobody is to decide: something else ends the trial with it."""
        if report.metrics.get(STEP, report.step) != report.step:
            self._each_step = True  # milestones count the user's steps, which are not ours
        self._last[report.trial] = (report.step, dict(report.metrics))

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Whom the scheduler chooses to run, if that is a paused trial.

        If it wants a new one and none comes, or if nothing runs and nobody new will come, a paused
        trial goes on: nobody waits for ever.
        """
        if self._milestones is not None:
            return None  # it pauses nobody
        query = (more, self._wished >= _PATIENCE)
        promotion = None
        if query not in self._nobody:
            with self._call("next", *query):
                promotion = self._choose(*query)
            if promotion is None:
                self._nobody.add(query)
        if promotion is None and self._unborn is not None:
            self._wished = min(self._wished + 1, _PATIENCE)
        return promotion

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """The trial completes, fails, or is removed while it pauses."""
        if trial not in self._trials:
            return
        last = self._last.pop(trial, None)
        step, metrics = (last[0], pack(last[1])) if last else (None, None)
        with self._call("end", trial, outcome.status.value, step, metrics):
            self._end(self._trials.pop(trial), outcome.status, last)
        self._granted.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """Every call that the scheduler got, as plain JSON."""
        last = {trial: [step, pack(metrics)] for trial, (step, metrics) in self._last.items()}
        return {
            "calls": self._calls,
            "last": last,
            "granted": self._granted,
            "wished": self._wished,
            "each_step": self._each_step,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take a fresh scheduler through all of them."""
        self._begin()
        self._searching.muted = True
        for name, *rest in state["calls"]:
            try:
                self._repeat(name, rest)
            except Exception as error:  # as it was live: it cost one trial
                _LOG.debug("%s raised at %s %s again: %s", self._rule, name, rest[:2], error)
        self._searching.muted = False
        self._last = {trial: (step, unpack(m)) for trial, (step, m) in state["last"].items()}
        self._granted = {trial: int(step) for trial, step in state["granted"].items()}
        self._wished, self._each_step = int(state["wished"]), bool(state["each_step"])

    def _repeat(self, name: str, rest: list[Any]) -> None:
        if name == "grant":
            self.grant(rest[0], {})
        elif name == "next":
            with self._call(name, *rest):
                promotion = self._choose(*rest)
            if promotion is None:
                self._nobody.add((rest[0], rest[1]))
        elif name == "report":
            trial, step, metrics = rest[0], rest[1], unpack(rest[2])
            self._granted[trial] = step
            self.on_report(Report(trial, 0, step, metrics, self._goal.score(metrics)))
        else:
            trial, status, step, metrics = rest
            self._last.pop(trial, None)
            if step is not None:
                self._last[trial] = (step, unpack(metrics))
            self.on_end(trial, Outcome(Status(status), step or 0, 0.0))

    @contextmanager
    def _call(self, *call: Any) -> Iterator[None]:
        """Note a call; what a user's scheduler draws in it hangs on its number alone."""
        self._calls.append(list(call))
        self._nobody.clear()
        if self._stock:
            yield
            return
        with lent(Stream(self._seed, "tune scheduler", len(self._calls))):
            yield

    def _name(self, trial_id: str) -> TrialId | None:
        return self._names.get(trial_id)

    def _announce(self) -> None:
        """The next trial is pending, as Tune always has one."""
        trial = Trial("guest", trial_id=f"{self._announced:05d}", stub=True)
        self._announced += 1
        self._controller.trials[trial.trial_id] = self._unborn = trial
        with lent(Stream(self._seed, "announce", self._announced)):
            self._scheduler.on_trial_add(self._controller, trial)

    def _withdraw(self) -> None:
        """Nobody new will come."""
        trial, self._unborn = self._unborn, None
        if trial is not None:
            del self._controller.trials[trial.trial_id]
            try:
                self._scheduler.on_trial_remove(self._controller, trial)
            finally:
                trial.status = Trial.TERMINATED

    def _grant(self, trial: TrialId, step: int) -> int:
        known = self._milestones
        each = self._each_step or known is None
        self._granted[trial] = step + 1 if each or known is None else known.after(step)
        return self._granted[trial]

    def _decide(self, trial: Trial, report: Report) -> Decision:
        why = self._reason(report)
        bad = not math.isfinite(self._value(report.metrics))
        if bad and isinstance(self._scheduler, ASHAScheduler):
            return Stop(why._replace(rule=f"{self._rule}: {self._metric} is no finite number"))
        stopped = self._stopped
        result = self._result(trial, report.step, dict(report.metrics))
        action = self._scheduler.on_trial_result(self._controller, trial, result)
        trial.run_metadata.last_result = result
        if action == TrialScheduler.STOP:
            return (Finish if self._is_over(report.step, stopped) else Stop)(why)
        if action == TrialScheduler.PAUSE or trial.status == Trial.PAUSED:
            trial.status = Trial.PAUSED
            return Pause(why)
        if trial.status in OVER:
            return Stop(why)
        return RunTo(self._grant(report.trial, report.step), why)

    def _reason(self, report: Report) -> Reason:
        return Reason(self._rule, None if self._each_step else report.step, report.score)

    @property
    def _stopped(self) -> int:
        """How many trials HyperBand has stopped because others were better."""
        hyperband = isinstance(self._scheduler, HyperBandScheduler)
        return self._scheduler.state()["num_stopped"] if hyperband else -1

    def _is_over(self, step: int, stopped: int) -> bool:
        """Whether a trial that was stopped at `step` had run as far as any trial may."""
        if isinstance(self._scheduler, HyperBandScheduler):
            return self._stopped == stopped
        max_t = self._milestones.max_t if self._milestones else None
        return max_t is not None and step >= max_t

    def _value(self, metrics: dict[str, Any] | Any) -> float:
        value = metrics.get(self._metric)
        return float(value) if isinstance(value, (int, float)) else math.nan

    def _result(self, trial: Trial, step: int, metrics: dict[str, Any]) -> dict[str, Any]:
        """What Tune would pass on; a metric that is no number ranks last where ranks are made."""
        if not math.isfinite(self._value(metrics)):
            if isinstance(self._scheduler, _SORTING):
                metrics[self._metric] = -math.inf if self._goal.mode == "max" else math.inf
            elif isinstance(self._scheduler, ASHAScheduler):
                metrics.pop(self._metric, None)
        return tune_result(trial.trial_id, step, metrics)

    def _choose(self, more: bool, impatient: bool) -> Promotion | None:
        if not more:
            self._withdraw()
        if self._unborn is not None and impatient:
            self._unborn.status = Trial.TERMINATED  # not seen
        try:
            chosen = self._scheduler.choose_trial_to_run(self._controller)
        finally:
            if self._unborn is not None:
                self._unborn.status = Trial.PENDING
        if chosen is None and not more:
            chosen = self._stuck()
        if chosen is None or chosen.status != Trial.PAUSED:
            return None
        trial, chosen.status = self._names[chosen.trial_id], Trial.RUNNING
        step = self._last[trial][0]
        return Promotion(trial, self._grant(trial, step), Reason(self._rule))

    def _stuck(self) -> Trial | None:
        """The first paused trial, if all that live pause and the scheduler calls none of them."""
        live = self._trials.values()
        if any(trial.status == Trial.RUNNING for trial in live):
            return None
        return next((trial for trial in live if trial.status == Trial.PAUSED), None)

    def _end(self, trial: Trial, status: Status, last: tuple[int, dict[str, Any]] | None) -> None:
        if trial.status in OVER:
            return
        failed = status is Status.FAILED or last is None
        try:
            if trial.status != Trial.RUNNING:
                self._scheduler.on_trial_remove(self._controller, trial)
            elif failed or last is None:
                self._scheduler.on_trial_error(self._controller, trial)
            else:
                result = self._result(trial, last[0], dict(last[1]))
                self._scheduler.on_trial_complete(self._controller, trial, result | {"done": True})
        finally:
            trial.status = Trial.ERROR if failed else Trial.TERMINATED
            del self._names[trial.trial_id]
            if self._stock:
                self._controller.trials.pop(trial.trial_id, None)


def _check(scheduler: Any) -> None:
    for kind, why in _REFUSED.items():
        if isinstance(scheduler, kind):
            raise SpecError(
                f"scheduler: {type(scheduler).__name__} cannot run here, because {why}; use "
                "ASHAScheduler or HyperBandScheduler, or run it in ray.tune.Tuner"
            )
    if not isinstance(scheduler, TrialScheduler):
        raise SpecError(
            f"scheduler is a {type(scheduler).__name__}; allowed are instances of subclasses of "
            "ray.tune.schedulers.TrialScheduler, such as ASHAScheduler(max_t=81)"
        )
