"""Trials of Tune's trainables: the user's real class or function behind our `Trainable`.

What Tune's own constructor does (the trial's folder, the working directory, `trial_id` and the
other properties) is left to it; only its storage is replaced, since checkpoints and reports are
ours to keep.
"""

from __future__ import annotations

import copy
import functools
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ray.air.constants import TRAINING_ITERATION
from ray.tune import Checkpoint
from ray.tune import Trainable as TuneTrainable
from ray.tune.result import (
    AUTO_RESULT_KEYS,
    DONE,
    EPISODES_TOTAL,
    SHOULD_CHECKPOINT,
    TIME_TOTAL_S,
    TIMESTEPS_TOTAL,
    TRIAL_ID,
    TRIAL_INFO,
)

from raysweep.trainables.base import Trainable
from raysweep.trainables.checkpoint import completed_folder
from raysweep.trainables.tune_files import (
    FILES,
    copy_files,
    read_dict,
    read_totals,
    write_dict,
    write_totals,
)
from raysweep.trainables.tune_names import NameNotes
from raysweep.trainables.tune_session import Facts, Session
from raysweep.trainables.values import clean
from raysweep.trials.clock import SystemClock
from raysweep.trials.errors import CheckpointError, ReportError
from raysweep.trials.ray_names import private

ARTIFACTS = "artifacts"
"""Below the sweep's directory: one folder per trial, its working directory."""
_TOTAL_KEYS = (TIME_TOTAL_S, TIMESTEPS_TOTAL, EPISODES_TOTAL)
_FLAGS = frozenset({DONE, SHOULD_CHECKPOINT})
_DROPPED = (frozenset(AUTO_RESULT_KEYS) | {TRIAL_ID} | _FLAGS) - {TRAINING_ITERATION, *_TOTAL_KEYS}
"""What Tune adds to each result of a class and the tables know already, or do not want."""
_RUN = "ray.tune.trainable:FunctionTrainable._trainable_func"
_RESULT = "ray.train._internal.checkpoint_manager:_TrainingResult"
_UNWIND_S = 2.0
"""How long a stopped function may take to come to an end, as in Tune."""
_log = logging.getLogger(__name__)


class TuneSettings(NamedTuple):
    """What a trial of Tune's kind needs to know of its sweep; must be picklable by cloudpickle.

    Attributes:
        decode: the config as the user's code gets it, from the flat one of plain JSON.
        experiment: the sweep's name.
        path: the sweep's directory, absolute.
        resources: what `get_trial_resources` returns, a `tune.PlacementGroupFactory`.
        trial_names: a trial's name from its id and the user's config; None: name and id.
        unwind_s: how long a stopped function may take to end before it is left behind.
    """

    decode: Callable[[Mapping[str, Any]], dict[str, Any]]
    experiment: str
    path: str
    resources: Any = None
    trial_names: Callable[[str, dict[str, Any]], str] | None = None
    unwind_s: float = _UNWIND_S


class _Place:
    """Stands where a Tune trainable expects Ray's storage: names its folder, persists nothing."""

    def __init__(self, folder: str):
        self.trial_working_directory = self.trial_fs_path = folder

    def persist_artifacts(self, force: bool = False) -> None:
        """Nothing: the folder is in the sweep's directory already."""


class _TuneTrial(Trainable):
    """What trials of classes and of functions have in common.

    Args:
        cls: the class whose instance is driven.
        name: what the trainable is called.
        settings: of the sweep.
    """

    flat_config = True

    def __init__(self, cls: type[Any], name: str, settings: TuneSettings):
        self._cls, self._name, self._settings = cls, name, settings
        self._body: Any = None
        self._before: str | None = None
        self._over = False
        self._totals: dict[str, Any] = {}
        self._unrecorded: set[str] = set()
        self._names: NameNotes | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Make the user's object, in the trial's own folder."""
        seen = _own_copy(self._settings.decode(config))
        self.facts = self._facts_of(seen)
        self._names = NameNotes(Path(self.facts.trial_dir).parent, self.trial_id)
        self._before = os.getcwd()  # noqa: PTH109  # to go back to exactly this
        place = _Place(self.facts.trial_dir)
        self._body = self._cls(config={**seen, TRIAL_INFO: self.facts}, storage=place)

    def cleanup(self) -> None:
        """Let the user's object clean up, and go back to where we were."""
        body, self._body = self._body, None
        self._over = True
        try:
            if body is not None:
                body.stop()
        finally:
            if self._before is not None:
                os.chdir(self._before)

    def _facts_of(self, seen: dict[str, Any]) -> Facts:
        settings, trial = self._settings, self.trial_id
        names = settings.trial_names
        name = str(names(trial, seen)) if names is not None else f"{self._name}_{trial}"
        folder = str(Path(settings.path) / ARTIFACTS / trial)
        return Facts(trial, name, folder, settings.experiment, settings.resources)

    def _recordable(self, row: dict[str, Any]) -> Mapping[str, Any]:
        """The row; a value that cannot be recorded costs that value, as Tune takes any object."""
        if self._names is not None:
            self._names.note(row)
        try:
            return clean(row)
        except ReportError:
            kept = {name: value for name, value in row.items() if self._fits(name, value)}
            return clean(kept)

    def _fits(self, name: str, value: Any) -> bool:
        try:
            clean({name: value})
        except ReportError as error:
            if str(name) not in self._unrecorded:
                self._unrecorded.add(str(name))
                _log.warning("trial %s: not recorded: %s", self.trial_id, error)
            return False
        return True


class FunctionTrial(_TuneTrial):
    """A trial of a function that calls `tune.report`, returns or yields.

    A step is a report. It can save only at a step that was reported with a checkpoint; a trial
    that is paused elsewhere goes on from the one before.
    """

    def __init__(self, cls: type[Any], name: str, settings: TuneSettings):
        super().__init__(cls, name, settings)
        self._clock = SystemClock()
        self._time_s = 0.0
        self._session: Session | None = None
        self._checkpoint: Any = None

    def setup(self, config: dict[str, Any]) -> None:
        """Get ready; the function itself begins with the first step."""
        super().setup(config)
        self._session = Session(self.facts)
        run = getattr(self._body, private(_RUN).__name__)
        self._session.begin(functools.partial(run, self._body.config))

    def step(self) -> Mapping[str, Any] | None:
        """Let the function run to its next report."""
        self.has_checkpoint, self._checkpoint = False, None
        if self._over or self._session is None:
            return None
        before_s = self._clock.now()
        said = self._session.next()
        self._time_s += self._clock.now() - before_s
        if said is None:
            return None
        self._checkpoint = said.checkpoint
        self.has_checkpoint = said.checkpoint is not None
        row = {name: value for name, value in said.metrics.items() if name not in _FLAGS}
        row.setdefault(TRAINING_ITERATION, self.step_number + 1)
        row.setdefault(TIME_TOTAL_S, self._time_s)
        self._over = bool(said.metrics.get(DONE))
        return self._recordable(row)

    def save(self, folder: Path) -> None:
        """Copy the checkpoint that came with the present step; the function waits meanwhile."""
        copy_files(self._checkpoint, folder / FILES)
        self._totals = {TIME_TOTAL_S: self._time_s}
        write_totals(self._totals, folder)
        if self._session is not None:
            kept = completed_folder(folder) / FILES
            self._session.loaded_checkpoint = Checkpoint.from_directory(kept)

    def load(self, folder: Path) -> None:
        """Let `tune.get_checkpoint()` give the checkpoint to the function."""
        self._totals = read_totals(folder)
        self._time_s = float(self._totals.get(TIME_TOTAL_S) or 0.0)
        if self._session is not None:
            self._session.loaded_checkpoint = Checkpoint.from_directory(folder / FILES)

    def cleanup(self) -> None:
        """Unwind the function out of the report in which it waits."""
        session, self._session = self._session, None
        self._checkpoint = None
        if session is not None:
            session.close(self._settings.unwind_s)
        super().cleanup()

    @property
    def can_save(self) -> bool:
        """Whether the present step came with a checkpoint."""
        return self._checkpoint is not None


class ClassTrial(_TuneTrial):
    """A trial of a subclass of `tune.Trainable`.

    A step is a call of its `step`; it can save at any, if it overrides `save_checkpoint`. Each
    trial gets a new instance, so `reset_config` is not called.
    """

    def step(self) -> Mapping[str, Any] | None:
        """One call of the user's `step`."""
        self.has_checkpoint = False
        if self._over:
            return None
        result = self._body.train()
        self._over = bool(result.get(DONE))
        self.has_checkpoint = bool(result.get(SHOULD_CHECKPOINT)) and self.can_save
        row = self._recordable({n: value for n, value in result.items() if n not in _DROPPED})
        self._totals = {name: row[name] for name in _TOTAL_KEYS if name in row}
        return row

    def save(self, folder: Path) -> None:
        """Let the user's `save_checkpoint` fill the folder, or keep the dict that it returns."""
        files = folder / FILES
        files.mkdir()
        made = self._body.save_checkpoint(str(files))
        if isinstance(made, dict):
            write_dict(made, folder)
        elif made is not None and Path(str(made)) != files:
            raise CheckpointError(
                f"save_checkpoint returned {str(made)[:200]!r}; it must return a dict, or None or "
                "the folder it was given after writing its files there"
            )
        write_totals(self._totals, folder)

    def load(self, folder: Path) -> None:
        """Give the user's `load_checkpoint` what `save_checkpoint` wrote or returned."""
        self._totals = read_totals(folder)
        body = self._body
        totals = {**self._totals, TRAINING_ITERATION: self.step_number}
        result = private(_RESULT)(Checkpoint.from_directory(folder / FILES), totals)
        if (saved := read_dict(folder)) is not None:
            body.load_checkpoint = functools.partial(_give, body.load_checkpoint, saved)
        try:
            body.restore(result)
        finally:
            vars(body).pop("load_checkpoint", None)

    @property
    def can_save(self) -> bool:
        """Whether the user's class overrides `save_checkpoint`."""
        return self._cls.save_checkpoint is not TuneTrainable.save_checkpoint


def _own_copy(seen: dict[str, Any]) -> dict[str, Any]:
    """A config of the trial's own: in Tune, too, what one trial changes no other one sees."""
    try:
        return copy.deepcopy(seen)
    except Exception:  # user's objects: whatever they raise, they are shared then
        return dict(seen)


def _give(load: Callable[[Any], Any], saved: dict[str, Any], folder: str) -> None:
    """What `restore` calls instead of the user's `load_checkpoint(folder)`."""
    load(saved)
