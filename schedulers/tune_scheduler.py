"""One of our schedulers as a Ray Tune `TrialScheduler`, in the order in which Tune calls it.

What Tune does, and what is done about it (Ray 2.60, tune/execution/tune_controller.py):

| Tune | here |
|---|---|
| the result that ends a trial reaches `on_trial_complete` only | it is heard there, once |
| a retry calls `on_trial_error`, then `on_trial_add` again | the trial goes on where it was; steps that repeat are not counted twice |
| an exception in a hook ends the experiment | it is logged, and costs the trial that it is about |
| a report without `scheduler.metric` ends the experiment | `metric` is None while trials run; the report counts as the worst |
| `choose_trial_to_run` is called at every turn | it names a promoted trial until that runs |
| a paused trial counts against max_concurrent_trials | it gives its place back (`tune_room`) |
| nothing ever ends a trial that stays paused | once nobody new will come, who cannot be promoted is stopped, and `fit()` returns |
| the scheduler is not saved with the experiment | it writes itself down and finds itself again (`tune_file`) |

What a restored experiment can count on: every decision on disk stays, and is given again to a
trial that repeats its steps. What was decided in the moment before a crash and never reached the
disk is decided anew from what Tune has kept of the trial, its last result; no trial is counted
twice, none is waited for that is gone, and those that were paused stay so until they are promoted.
A trial whose end Tune had not recorded is ended again at its next report.
The state survives the death of the process at any instant; it is not forced to the disk, as
nothing of Tune's is.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import DEFAULT_METRIC
from ray.tune.schedulers import TrialScheduler
from ray.tune.utils import flatten_dict

from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.catalog import build_scheduler, check_scheduler
from raysweep.schedulers.population import CHANGERS
from raysweep.schedulers.setting import UNKNOWN, Setting
from raysweep.schedulers.tune_file import StateFile, parse_state, write_state
from raysweep.schedulers.tune_hooks import digest, guarded, number
from raysweep.schedulers.tune_ledger import Answer, Ledger, Stands
from raysweep.schedulers.tune_room import give_back, room, take_again
from raysweep.schedulers.units import MEASURED, STEPS, unit_of
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST, Goal, Mode

logger = logging.getLogger(__name__)

_AHEAD = 8
"""How many promoted trials may wait for Tune to start them; more would be decided too early."""
_PATIENCE = 20
"""Turns in which nothing runs and the searcher gives nothing, before a paused trial makes way."""
_ANSWERS = {
    Answer.CONTINUE: TrialScheduler.CONTINUE,
    Answer.PAUSE: TrialScheduler.PAUSE,
    Answer.STOP: TrialScheduler.STOP,
}


class TuneScheduler(TrialScheduler):
    """A scheduler of the catalogue, for `tune.TuneConfig(scheduler=...)`.

    Args:
        name: of the scheduler, as in a spec.
        options: its options, as in a spec.
        time_attr: the result's key that max_t, grace_period and rungs are measured in.
        metric, mode: what is optimised; None: as `tune.TuneConfig` says.
        stop_last_trials: end trials at max_t; False lets them run on.

    Raises:
        SpecError: for a name, an option, a value or a mode that does not exist.
    """

    _supports_buffered_results = False
    _needs_metric = True

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any],
        *,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        stop_last_trials: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's is not annotated
        if mode not in (None, "min", "max"):
            raise SpecError(f"scheduler {name}: mode is {mode!r}; it may be min or max")
        self.name, self.options = name, check_scheduler(name, options)
        if name in CHANGERS:
            raise SpecError(
                f"scheduler {name}: it makes new trials of running ones, which Ray Tune lets no "
                f"scheduler do; run it by raysweep itself, or take Tune's PopulationBasedTraining"
            )
        if (unit := unit_of(self.options)) != STEPS:
            key = "time_total_s" if unit in MEASURED else unit
            raise SpecError(
                f"scheduler {name}: unit {unit!r} is raysweep's own, as Ray Tune does not tell on "
                f"which device a trial runs; leave it out and name a key of the results, e.g. "
                f"time_attr={key!r}"
            )
        self.time_attr, self.mode = time_attr, mode
        self._metric = metric
        self._running = False
        self._ledger = Ledger(self.native(), stop_last_trials)
        self._stop_last_trials = stop_last_trials
        self._file = StateFile()
        self._found: dict[str, Any] | None = None
        self._unseen: set[str] = set()
        self._under_way = False
        self._trials: dict[str, Trial] = {}
        self._fresh: deque[Trial] = deque()
        self._promoted: dict[str, Trial] = {}
        self._errored: set[str] = set()
        self._idle_turns = 0
        self._warned: set[str] = set()

    def native(self) -> Scheduler:
        """A fresh scheduler of raysweep's own that decides as this one does."""
        setting = Setting(self._goal) if self.mode else UNKNOWN
        return build_scheduler(self.name, self.options, setting)

    @property
    def _goal(self) -> Goal:
        mode: Mode = "max" if self.mode == "max" else "min"
        return Goal(((self._metric or DEFAULT_METRIC, mode),))

    @property
    def metric(self) -> str | None:
        """What is optimised; None while trials run, so that Tune ends none for lacking it."""
        return None if self._running else self._metric

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Take metric and mode from `tune.TuneConfig`; False if they were given here as well.

        Raises:
            SpecError: nobody says which way is better.
        """
        if (self._metric and metric) or (self.mode and mode):
            return False
        self._metric, self.mode = self._metric or metric, self.mode or mode
        if self._needs_metric and not self.mode:
            raise SpecError(
                f"scheduler {self.name}: no metric and mode are given; name them here or in "
                f"tune.TuneConfig(metric=..., mode='min' or 'max')"
            )
        self._metric = self._metric or DEFAULT_METRIC
        return True

    @guarded(None)
    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A new trial, one that is tried again, or one of an experiment that is being restored."""
        self._running = True
        if trial.trial_id in self._errored:
            self._errored.remove(trial.trial_id)
            return
        self._settle()
        if not self._trials:
            self._found = self._file.locate(trial.storage)
        if self._found and trial.trial_id in self._found["ledger"]["trials"]:
            self._adopt(tune_controller, self._found)
        self._trials[trial.trial_id] = trial
        if trial.trial_id in self._unseen:
            self._unseen.remove(trial.trial_id)
        elif self._unseen and self._under_way:
            self._give_up_unseen()
        self._enter(tune_controller, trial)

    def _enter(self, tune_controller: Any, trial: Trial) -> None:
        """Grant a new trial its first rung; bring a restored one and the ledger together."""
        name, result = trial.trial_id, trial.run_metadata.last_result
        if trial.status != Trial.ERROR or name not in self._ledger:
            self._ledger.enter(name, digest(trial.evaluated_params))
        last = self._hear(trial, flatten_dict(result)) if result else None
        if trial.status in (Trial.TERMINATED, Trial.ERROR):
            over = Stands.OVER if trial.status == Trial.TERMINATED else Stands.FAILED
            self._ledger.end(name, over)
        elif last == Answer.PAUSE and trial.status == Trial.PENDING:
            trial.set_status(Trial.PAUSED)  # Tune files it under what it finds when this returns
            self._lend(give_back, tune_controller, name)
        else:
            self._fresh.append(trial)
            if result:
                self._lend(take_again, tune_controller, name)

    def _adopt(self, tune_controller: Any, found: dict[str, Any]) -> None:
        """Go on from the state of an earlier run; those added before it was known enter again."""
        self._found = None
        self._load(found)
        self._unseen = set(found["ledger"]["trials"])
        for trial in self._trials.values():
            self._enter(tune_controller, trial)

    def _give_up_unseen(self) -> None:
        """Wait no longer for the trials that Tune's record lacks.

        Tune's random search gives the same trials again, before any new one; other searchers never.
        """
        self._ledger.end_all_but(set(self._trials))
        self._unseen.clear()

    def _load(self, found: Mapping[str, Any]) -> None:
        if (found["name"], found["options"]) != (self.name, self.options):
            raise SpecError(
                f"the state is of scheduler {found['name']} with {found['options']}, not of "
                f"{self.name} with {self.options}; restore it with the same arguments"
            )
        self._ledger = Ledger(self.native(), self._stop_last_trials)
        self._ledger.load(found["ledger"])

    def _settle(self) -> None:
        """Errors that were not retried are final."""
        for name in self._errored:
            self._ledger.end(name, Stands.FAILED)
        self._errored.clear()

    def _hear(self, trial: Trial, result: Mapping[str, Any]) -> Answer | None:
        """Feed one result; None where it says nothing about time."""
        time = number(result.get(self.time_attr))
        if time is None:
            self.warn(f"no {self.time_attr!r} in a report", f"{trial} is not judged by it")
            return None
        return self._ledger.hear(trial.trial_id, time, self._score(trial, result))

    def _score(self, trial: Trial, result: Mapping[str, Any]) -> float:
        if not self._needs_metric:
            return WORST
        goal = self._goal
        if goal.metric not in result:
            self.warn(f"no {goal.metric!r} in a report", f"{trial} reported {sorted(result)[:20]}")
        return goal.score({goal.metric: number(result.get(goal.metric))})

    @guarded(TrialScheduler.STOP)
    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """CONTINUE, PAUSE or STOP."""
        self._settle()
        answer = self._hear(trial, result) or Answer.CONTINUE
        if answer is Answer.PAUSE:
            self._lend(give_back, tune_controller, trial.trial_id)
            self._draw(tune_controller)
        self._save()
        return _ANSWERS[answer]

    @guarded(None)
    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """The trial has ended, by our decision, its own or a stopper's; its last result counts."""
        self._settle()
        if result:
            self._hear(trial, result)
        self._end(trial, Stands.OVER)

    @guarded(None)
    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """The trial failed; whether for good shows in what Tune calls next."""
        self._settle()
        self._promoted.pop(trial.trial_id, None)
        self._errored.add(trial.trial_id)

    @guarded(None)
    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """A trial that does not run ends."""
        self._settle()
        if self._ledger.stands(trial.trial_id) is Stands.WAITS:
            self._lend(take_again, tune_controller, trial.trial_id)
        self._end(trial, Stands.OVER)

    def _end(self, trial: Trial, stands: Stands) -> None:
        self._promoted.pop(trial.trial_id, None)
        self._ledger.end(trial.trial_id, stands)
        self._save()

    @guarded(None)
    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """A promoted trial until it runs, else the oldest new one (Tune starts these by itself)."""
        self._settle()
        self._under_way, self._found = True, None
        if self._unseen and tune_controller.search_alg.is_finished():
            self._give_up_unseen()
        self._draw(tune_controller)
        self._save()
        for status in (Trial.PAUSED, Trial.PENDING):
            for trial in self._promoted.values():
                if trial.status == status:
                    return trial
        while self._fresh and self._fresh[0].status != Trial.PENDING:
            self._fresh.popleft()
        if self._fresh:
            return self._fresh[0]
        unseen = sum(self._ledger.stands(name) is Stands.RUNS for name in self._unseen)
        return None if self._ledger.active > unseen else self._last_call(tune_controller)

    def _draw(self, tune_controller: Any, more: bool = True) -> None:
        """Take promotions from the scheduler, as many as may run."""
        for name, trial in list(self._promoted.items()):
            pausing = trial.is_saving or trial.status in (Trial.PAUSED, Trial.PENDING)
            if not pausing:  # it runs, or has ended
                del self._promoted[name]
        search_alg = tune_controller.search_alg
        while len(self._promoted) < _AHEAD and room(search_alg) > 0:
            promoted = self._ledger.promote(more)
            if promoted is None:
                return
            if promoted in self._trials:
                self._promoted[promoted] = self._trials[promoted]
                self._lend(take_again, tune_controller, promoted)
            elif promoted not in self._unseen:  # lost for good
                self._ledger.end(promoted, Stands.FAILED)

    def _last_call(self, tune_controller: Any) -> Trial | None:
        """Everybody waits. If nobody new will come: who can go on among those here? The rest end."""
        live = [t for t in tune_controller.get_live_trials() if not t.is_finished()]
        if not live or any(trial.status != Trial.PAUSED for trial in live):
            return None
        nobody_new = tune_controller.search_alg.is_finished()
        self._idle_turns += 1
        if not nobody_new and self._idle_turns < _PATIENCE:
            return None
        self._idle_turns = 0
        self._give_up_unseen()
        self._draw(tune_controller, more=False)
        if self._promoted:
            return next(iter(self._promoted.values()))
        by_name = {trial.trial_id: trial for trial in live}
        ranked = [by_name[name] for name in self._ledger.waiting() if name in by_name]
        for trial in live if nobody_new or not ranked else ranked[-1:]:
            tune_controller.stop_trial(trial)
        return None

    def _lend(self, change: Callable[[Any, str], None], tune_controller: Any, name: str) -> None:
        try:
            change(tune_controller.search_alg, name)
        except Exception as error:  # a searcher's own hook; the decision stands
            self.warn(f"the searcher's {change.__name__} raised {type(error).__name__}", error)

    def _save(self) -> None:
        if self._file.due(self._ledger.version):
            self._file.write(self._ledger.version, self._state())

    def _state(self) -> dict[str, Any]:
        return {"name": self.name, "options": self.options, "ledger": self._ledger.state()}

    def save(self, checkpoint_path: str) -> None:
        """Write everything decided so far to `checkpoint_path`, as JSON."""
        write_state(Path(checkpoint_path), self._state())

    def restore(self, checkpoint_path: str) -> None:
        """Take back what `save` wrote.

        Raises:
            SpecError: it is not readable, or of a scheduler with other options.
        """
        try:
            found = parse_state(Path(checkpoint_path).read_text())
        except (OSError, ValueError) as error:
            raise SpecError(f"{checkpoint_path}: {error}; give a file that `save` wrote") from None
        self._load(found)

    def debug_string(self) -> str:
        """One line for Tune's console."""
        waiting = len(self._ledger.waiting())
        return f"Using raysweep's {self.name}: {self._ledger.active} active, {waiting} paused"

    def warn(self, kind: str, detail: object) -> None:
        """Log `detail` the first time that a warning is of this `kind`."""
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("scheduler %s: %s: %s (logged once)", self.name, kind, detail)
