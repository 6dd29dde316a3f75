"""Ray Tune's callbacks (loggers of W&B, MLflow, TensorBoard, ...) told of a sweep's events.

| event | hooks |
|---|---|
| the first event | `setup` |
| `Started` | `on_trial_start`, or `on_trial_restore` where an attempt goes on from a checkpoint |
| `Reported` | `on_trial_result` for each report |
| `Checkpointed`, `Paused`, `Finished` with a checkpoint | `on_checkpoint`, `on_trial_save` |
| the end of a trial | `on_trial_complete`, or `on_trial_error` |
| a failure that is retried | `on_trial_recover` |
| `Closed` | `on_experiment_end` |

`on_step_begin` and `on_step_end` stand around every event. What a callback raises is logged once
a hook and costs nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial

from raysweep.orchestrator.tune_results import users_checkpoint
from raysweep.trainables.tune_names import ReportedNames
from raysweep.trainables.tune_trial import ARTIFACTS
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import (
    Checkpointed,
    Closed,
    Ended,
    Event,
    Failed,
    Finished,
    Paused,
    Reported,
    Started,
    Suggested,
)
from raysweep.trials.goal import Goal

_LOG = logging.getLogger(__name__)


class SweepTrial(Trial):
    """One of our trials as Tune's callbacks know trials.

    Args:
        name: the training code's name.
        trial: our id.
        config: as the training code gets it.
        sweep: the sweep directory; the trial's own folder is in `artifacts/` there.
        names: makes the trial's displayed name, as `TuneConfig.trial_name_creator`.
    """

    def __init__(
        self,
        name: str,
        trial: str,
        config: dict[str, Any],
        sweep: Path,
        names: Callable[[Trial], str] | None = None,
    ) -> None:
        self._folder, self._sweep = sweep / ARTIFACTS / trial, sweep
        self.kept: Checkpoint | None = None
        self.attempt = 0
        super().__init__(
            name, config=config, trial_id=trial, evaluated_params=config, stub=True,
            experiment_tag=trial, trial_name_creator=names, _setup_default_resource=False,
        )  # fmt: skip

    @property
    def local_path(self) -> str:
        """The trial's own folder, made when it is asked for."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return str(self._folder)

    @property
    def path(self) -> str:
        """As `local_path`: nothing is staged elsewhere first."""
        return self.local_path

    @property
    def experiment_dir_name(self) -> str:
        """The sweep's name."""
        return self._sweep.name

    @property
    def local_experiment_path(self) -> str:
        """The sweep directory."""
        return str(self._sweep)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint."""
        return self.kept

    def init_local_path(self) -> None:
        """`local_path` makes it."""


class TuneCallbacks:
    """An observer of the loop that calls callbacks.

    Args:
        callbacks: as in `RunConfig.callbacks`.
        make: our trial id and a stored config to the trial that callbacks are shown.
        sweep: the sweep directory.
        goal: what ranks trials.
        info: what `Callback.setup` is told: stop, num_samples, total_num_samples.
    """

    def __init__(
        self,
        callbacks: Sequence[Callback],
        make: Callable[[str, Mapping[str, Any]], SweepTrial],
        sweep: Path,
        goal: Goal,
        info: Mapping[str, Any],
    ) -> None:
        self._callbacks, self._make, self._sweep, self._goal = callbacks, make, sweep, goal
        self._info: Mapping[str, Any] | None = info
        self._trials: dict[str, SweepTrial] = {}
        self._complained: set[tuple[int, str]] = set()
        self._turn = 0
        self._as_reported = ReportedNames(sweep / ARTIFACTS).as_reported

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """Tell of one event and of what was decided on it."""
        if self._info is not None:
            info, self._info = self._info, None
            self._call("setup", **info)
        self._turn += 1
        everyone = list(self._trials.values())
        self._call("on_step_begin", iteration=self._turn, trials=everyone)
        self._tell(event)
        for verdict in verdicts:
            self._decided(verdict)
        if isinstance(event, Failed):
            self._failed(event, {v.verb for v in verdicts if v.trial == event.trial})
        self._call("on_step_end", iteration=self._turn, trials=everyone)
        if isinstance(event, Closed):
            self._call("on_experiment_end", trials=list(self._trials.values()))

    def _tell(self, event: Event) -> None:
        if isinstance(event, Suggested):
            self._trials[event.trial] = self._make(event.trial, event.config)
            return
        trial = self._trials.get(getattr(event, "trial", ""))
        if trial is None:
            return
        if trial.is_finished():
            if isinstance(event, Finished):  # its last checkpoint comes after its end
                self._saved(trial, event)
            return
        if isinstance(event, Started):
            trial.attempt = event.attempt
            trial.set_status(Trial.RUNNING)
            self._hook("on_trial_restore" if event.step else "on_trial_start", trial)
        elif isinstance(event, Reported):
            self._reported(trial, event)
        elif isinstance(event, (Checkpointed, Paused, Finished)):
            self._saved(trial, event)
        elif isinstance(event, Ended):
            self._end(trial, Trial.TERMINATED, "on_trial_complete")

    def _reported(self, trial: SweepTrial, event: Reported) -> None:
        rows = zip(event.reports(self._goal), event.elapsed_s, strict=True)
        for report, elapsed_s in rows:
            result = {name: value for name, value in report.metrics.items() if value is not None}
            result.setdefault("training_iteration", report.step)
            result.setdefault("time_total_s", elapsed_s)
            result.setdefault("done", False)
            result |= {"trial_id": trial.trial_id, "experiment_tag": trial.experiment_tag}
            shown = {
                **self._as_reported(result),
                "config": trial.config,
                "timestamp": int(event.at),
            }
            trial.update_last_result(shown)
            self._hook("on_trial_result", trial, result=shown)

    def _saved(self, trial: SweepTrial, event: Checkpointed | Paused | Finished) -> None:
        if event.path:
            trial.kept = users_checkpoint(self._sweep / event.path)
            self._hook("on_checkpoint", trial, checkpoint=trial.kept)
            self._hook("on_trial_save", trial)
        if isinstance(event, Paused):
            trial.set_status(Trial.PAUSED)

    def _decided(self, verdict: Verdict) -> None:
        trial = self._trials.get(verdict.trial)
        if trial is not None and not trial.is_finished() and verdict.verb in ("stop", "finish"):
            self._end(trial, Trial.TERMINATED, "on_trial_complete")

    def _failed(self, event: Failed, verbs: set[str]) -> None:
        trial = self._trials.get(event.trial)
        if trial is None or trial.is_finished() or event.attempt < trial.attempt:
            return
        if "retry" in verbs:
            self._hook("on_trial_recover", trial)
        elif "park" not in verbs:
            self._end(trial, Trial.ERROR, "on_trial_error")

    def _end(self, trial: SweepTrial, status: str, hook: str) -> None:
        trial.set_status(status)
        self._hook(hook, trial)

    def _hook(self, hook: str, trial: SweepTrial, **more: Any) -> None:
        self._call(
            hook, iteration=self._turn, trials=list(self._trials.values()), trial=trial, **more
        )

    def _call(self, hook: str, **arguments: Any) -> None:
        for callback in self._callbacks:
            try:
                getattr(callback, hook)(**arguments)
            except Exception:
                if (id(callback), hook) not in self._complained:
                    self._complained.add((id(callback), hook))
                    _LOG.exception("%s.%s raised; the sweep goes on", type(callback).__name__, hook)
