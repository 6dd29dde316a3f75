"""raysweep's tables for a run of stock Ray Tune: `RunConfig(callbacks=[ParquetCallback()])`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pyarrow.fs import LocalFileSystem
from ray.tune import Callback

from raysweep.results.layout import is_sweep
from raysweep.results.tune_book import Book, Line
from raysweep.results.tune_facts import (
    columns_of,
    config_of,
    ending_of,
    failure_of,
    metrics_of,
    number,
    read_error,
    step_of,
)
from raysweep.trials.clock import Clock, SystemClock
from raysweep.trials.errors import SpecError, StoreError

_LOG = logging.getLogger(__name__)
_FOLDER = "raysweep"
_INTERRUPTED = 75


class Translated(Protocol):
    """What a `TuneSpace` offers here: the types of the parameters, and configs as we write them."""

    space: Any

    def flat(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Our config for a trial's."""
        ...


class ParquetCallback(Callback):
    """Records a run in the tables that raysweep's own sweeps have; read them with `raysweep.read`.

    It never stops a run: what it cannot record it logs. After a crash, `tune.Tuner.restore` goes on
    in the same tables. Tune tells callbacks neither its metric nor who stopped a trial: name the
    metric here; a `tune.Trainable` class that ends by `done` counts as COMPLETED even if a
    scheduler ended it.

    Args:
        path: a directory on this machine; None: `raysweep` in the run's own directory. If it holds
            another run already, `<path>-2` is used.
        metric: what ranks trials in the tables; None: nothing does.
        mode: "min" or "max".
        space: `raysweep.tune.TuneSpace(param_space)`, for exact parameter columns; without it
            numbers are float64 and objects a short text.

    Raises:
        SpecError: for a mode that is neither.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        metric: str | None = None,
        mode: str | None = None,
        space: Translated | None = None,
    ) -> None:
        if mode not in (None, "min", "max"):
            raise SpecError(f"mode is {mode!r}; it may be 'min' or 'max'")
        self._wanted = None if path is None else Path(path)
        self._metric, self._mode, self._space = metric or "_metric", mode or "min", space
        self._book: Book | None = None
        self._forget()

    def setup(self, *args: Any, **info: Any) -> None:
        """A run begins; nothing is written before it has a trial."""
        if self._deaf or self._book is not None:
            self._forget()

    def on_step_end(self, iteration: int, trials: Sequence[Any], **info: Any) -> None:
        """Enter new trials, notice what Tune tells nobody, and write."""
        self._guard("a step", lambda: self._look(trials))

    def on_trial_start(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """An attempt begins."""

        def start() -> None:
            book = self._opened(trials)
            self._live[trial.trial_id] = trial
            line = book.line(trial.trial_id)
            if line is None or line.ended:
                book.seen(trial.trial_id, self._config(trial))
            result = trial.latest_checkpoint_result if trial.has_checkpoint() else None
            book.started(trial.trial_id, step_of(result.metrics, 0) if result else 0)

        self._guard("a start", start)

    def on_trial_result(
        self, iteration: int, trials: Sequence[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """One result."""

        def report() -> None:
            book, line = self._found(trials, trial)
            if line.ended:
                return
            step = step_of(result, line.step + 1)
            elapsed_s = number(result.get("time_since_restore"), 0.0)
            took_s = number(result.get("time_this_iter_s"), 0.0)
            node = str(result.get("hostname") or "")
            book.reported(trial.trial_id, step, elapsed_s, metrics_of(result), node, took_s)
            if result.get("done"):
                self._endings[trial.trial_id] = ending_of(trial, result)

        self._guard("a result", report)

    def on_checkpoint(
        self, iteration: int, trials: Sequence[Any], trial: Any, checkpoint: Any, **info: Any
    ) -> None:
        """A checkpoint was written."""

        def keep() -> None:
            book, _ = self._found(trials, trial)
            path = checkpoint.path
            if isinstance(checkpoint.filesystem, LocalFileSystem):
                path = os.path.relpath(path, book.path)
            book.checkpointed(trial.trial_id, path)

        self._guard("a checkpoint", keep)

    def on_trial_complete(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """A trial is over, by itself or because something stopped it."""

        def end() -> None:
            book, _ = self._found(trials, trial)
            by_itself = "end" if trial.last_result.get("done") else "stop"
            book.ended(trial.trial_id, self._endings.pop(trial.trial_id, by_itself))
            self._live.pop(trial.trial_id, None)

        self._guard("an end", end)

    def on_trial_recover(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """A trial failed and will be tried again."""
        self._guard("a failure", lambda: self._failed(trials, trial, retried=True))

    def on_trial_error(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """A trial failed for good."""
        self._guard("a failure", lambda: self._failed(trials, trial, retried=False))

    def on_experiment_end(self, trials: Sequence[Any], **info: Any) -> None:
        """The run is over, or was interrupted: then trials run that nobody had stopped before."""

        def end() -> None:
            if not trials:
                return
            book = self._opened(trials)
            running = book.running()
            for theirs in running:
                book.paused(theirs)
            if running or any(trial.status in ("PENDING", "PAUSED") for trial in trials):
                book.close("interrupted", _INTERRUPTED)
            else:
                known = {trial.trial_id: trial for trial in trials}
                for theirs in book.waiting():  # Tune forgot them, or stopped all
                    book.ended(theirs, "stop" if theirs in known else "fail")
                book.close("all trials ended", 0)
            self._book = None
            self._deaf = True

        self._guard("the end of the run", end)

    def get_state(self) -> dict[str, Any]:
        """What Tune keeps for `restore`: where the tables stand."""
        return {"path": str(self._book.path) if self._book else None}

    def set_state(self, state: dict[str, Any]) -> None:
        """The run is a restored one."""
        self._resumed, self._recorded = True, state.get("path") or ""

    def __getstate__(self) -> dict[str, Any]:
        fresh = ParquetCallback(self._wanted, self._metric, self._mode, self._space)
        return dict(fresh.__dict__)

    def _forget(self) -> None:
        self._book = None
        self._clock: Clock = SystemClock()
        self._deaf = False
        self._resumed, self._recorded = False, ""
        self._seen = 0
        self._live: dict[str, Any] = {}
        self._endings: dict[str, str] = {}
        self._logged: set[str] = set()

    def _guard(self, what: str, act: Callable[[], None]) -> None:
        """Tune's loop goes on whatever becomes of the tables."""
        if self._deaf:
            return
        try:
            act()
        except StoreError as error:
            self._deaf = True
            _LOG.error("ParquetCallback records nothing more of this run: %s", error)
        except Exception:
            if what not in self._logged:
                self._logged.add(what)
                _LOG.exception("ParquetCallback could not record %s (said once)", what)

    def _opened(self, trials: Sequence[Any]) -> Book:
        if self._book is None:
            path = self._place(trials[0])
            configs = [self._config(trial) for trial in trials]
            manifest = {
                "name": Path(trials[0].path).parent.name,
                "seed": None,
                "by": "ray.tune",
                "spec": {"trainable": trials[0].trainable_name},
                "metrics": {self._metric: self._mode},
                "columns": self._space.space.columns() if self._space else columns_of(configs),
            }
            self._book = Book.begin(path, manifest, self._clock, self._resumed)
            self._enter(trials)
        return self._book

    def _found(self, trials: Sequence[Any], trial: Any) -> tuple[Book, Line]:
        """The book, and the trial's line in it, which is made if nobody has told of it before."""
        book = self._opened(trials)
        line = book.line(trial.trial_id)
        if line is None:
            book.seen(trial.trial_id, self._config(trial))
            line = book.line(trial.trial_id)
            assert line is not None
        return book, line

    def _place(self, trial: Any) -> Path:
        if self._wanted is not None:
            path = self._wanted
        elif isinstance(trial.storage.storage_filesystem, LocalFileSystem):
            path = Path(trial.path).parent / _FOLDER
        else:
            raise StoreError(
                f"the run's directory {trial.path} is not on this machine; give ParquetCallback a "
                f"path that is"
            )
        if self._resumed:
            recorded = Path(self._recorded or path)
            return recorded if is_sweep(recorded) else path
        fresh, count = path, 1
        while is_sweep(fresh):
            count += 1
            fresh = path.with_name(f"{path.name}-{count}")
        return fresh

    def _enter(self, trials: Sequence[Any]) -> None:
        assert self._book is not None
        self._seen = len(trials)
        for trial in trials:
            if self._book.line(trial.trial_id) is None:
                self._book.seen(trial.trial_id, self._config(trial))

    def _look(self, trials: Sequence[Any]) -> None:
        """Tune calls nobody when a trial pauses, nor when it stops them all."""
        if not trials:
            return
        book = self._opened(trials)
        if len(trials) != self._seen:
            self._enter(trials)
        for theirs, trial in list(self._live.items()):
            if trial.status == "PAUSED":
                book.paused(theirs)
            elif trial.status == "TERMINATED":
                book.ended(theirs, self._endings.pop(theirs, "stop"))
            else:
                continue
            del self._live[theirs]
        book.tick()

    def _failed(self, trials: Sequence[Any], trial: Any, *, retried: bool) -> None:
        book, _ = self._found(trials, trial)
        self._endings.pop(trial.trial_id, None)
        self._live.pop(trial.trial_id, None)
        failure = failure_of(read_error(trial.error_file))
        book.failed(trial.trial_id, *failure, retried=retried)

    def _config(self, trial: Any) -> dict[str, Any]:
        if self._space is not None:
            try:
                return self._space.flat(trial.config)
            except SpecError:
                pass
        return config_of(trial.config)
