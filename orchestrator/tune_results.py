"""What `raysweep.Tuner.fit` returns: a sweep's tables behind the interface of Tune's ResultGrid."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.fs
from ray.tune import Checkpoint, Result, TuneError

from raysweep.results.read import Results
from raysweep.results.tune_facts import flat
from raysweep.trainables.checkpoint import FOLDER as CHECKPOINTS
from raysweep.trainables.tune_files import FILES
from raysweep.trainables.tune_names import ReportedNames
from raysweep.trainables.tune_trial import ARTIFACTS
from raysweep.trials.goal import WORST, Goal

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
SCOPES = ("last", "all", "avg", "last-5-avg", "last-10-avg")
_FINISHED = ("COMPLETED", "STOPPED", "PAUSED")
"""A scheduler that promotes leaves those paused that it never called back."""


class ResultGrid:
    """The trials of a sweep in the order in which they were made, as `ray.tune.Result` objects.

    Attributes:
        results: the same sweep as raysweep's tables (`raysweep.read`).

    Args:
        results: the sweep.
        decode: a stored config to the config that the training code was given.
        metric, mode: what `get_best_result` goes by; None where the sweep had no metric.
        score_by: metric and mode by which a trial's checkpoints are ranked; None: by age.
    """

    def __init__(
        self,
        results: Results,
        decode: Callable[[Mapping[str, Any]], Row],
        metric: str | None = None,
        mode: str | None = None,
        score_by: tuple[str, str] | None = None,
    ) -> None:
        self.results = results
        self._decode, self._metric, self._mode = decode, metric, mode
        self._score_by = score_by
        self._made: dict[int, Result] = {}
        self._as_reported = ReportedNames(results.path / ARTIFACTS).as_reported

    @property
    def experiment_path(self) -> str:
        """The sweep directory."""
        return str(self.results.path)

    @property
    def filesystem(self) -> pyarrow.fs.FileSystem:
        """The file system that `experiment_path` is on."""
        return pyarrow.fs.LocalFileSystem()

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, index: int) -> Result:
        place = range(len(self))[index]
        if place not in self._made:
            self._made[place] = self._result(self._trials[place])
        return self._made[place]

    def __iter__(self) -> Iterator[Result]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        shown = ",\n".join(repr(result) for result in self)
        return f"ResultGrid<[\n{shown}\n]>"

    @property
    def errors(self) -> list[Exception]:
        """The errors of the trials that failed."""
        return [result.error for result in self if result.error]

    @property
    def num_errors(self) -> int:
        """How many trials failed."""
        return sum(trial["status"] == "FAILED" for trial in self._trials)

    @property
    def num_terminated(self) -> int:
        """How many trials completed, or were stopped or left paused by the scheduler."""
        return sum(trial["status"] in _FINISHED for trial in self._trials)

    def get_best_result(
        self,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "last",
        filter_nan_and_inf: bool = True,
    ) -> Result:
        """The best trial.

        Args:
            metric, mode: what to go by; the sweep's own if not given.
            scope: which of a trial's values counts: its last, the best of all, or an average
                (avg, last-5-avg, last-10-avg).
            filter_nan_and_inf: leave out values that are no finite number.

        Raises:
            ValueError: no metric or mode is known, or there is no such scope.
            RuntimeError: no trial has reported the metric.
        """
        if len(self) == 1:
            return self[0]
        metric, mode = self._goal(metric, mode)
        if scope not in SCOPES:
            raise ValueError(f"scope is {scope!r}; choose one of {', '.join(SCOPES)}")
        goal = Goal(((metric, "max" if mode == "max" else "min"),))
        best, place = WORST, -1
        for index, trial in enumerate(self._trials):
            value = _value(self._rows.get(trial["trial_id"], []), goal, scope, filter_nan_and_inf)
            if value is not None and (place < 0 or value < best):
                best, place = value, index
        if place < 0:
            raise RuntimeError(
                f"no trial has reported {metric!r} with a finite value; the metrics reported are "
                f"{', '.join(sorted(self.results.metric_columns.values())) or 'none'}"
            )
        return self[place]

    def get_dataframe(
        self, filter_metric: str | None = None, filter_mode: str | None = None
    ) -> pd.DataFrame:
        """One row per trial: its last report, or its best by `filter_metric` and `filter_mode`.

        Raises:
            ValueError: only one of the two was given.
        """
        import pandas as pd

        if (filter_metric is None) != (filter_mode is None):
            raise ValueError("give both filter_metric and filter_mode, or neither")
        rows = []
        for index, trial in enumerate(self._trials):
            reports = self._rows.get(trial["trial_id"], [])
            if not reports:
                continue
            row = reports[-1]
            if filter_metric and filter_mode:
                goal = Goal(((filter_metric, "max" if filter_mode == "max" else "min"),))
                row = min(reports, key=goal.score)
            config = {f"config/{name}": value for name, value in self._config(trial).items()}
            rows.append(
                {**row, **config, "trial_id": trial["trial_id"], "logdir": self._path(index)}
            )
        return pd.DataFrame(rows)

    def _goal(self, metric: str | None, mode: str | None) -> tuple[str, str]:
        metric, mode = metric or self._metric, mode or self._mode
        if not metric:
            raise ValueError(
                "no metric is known: pass metric=..., or set it in the TuneConfig of the Tuner"
            )
        if mode not in ("min", "max"):
            raise ValueError(
                f"mode is {mode!r}: pass mode='min' or 'max', or set it in the TuneConfig"
            )
        return metric, mode

    @cached_property
    def _trials(self) -> list[Row]:
        rows: list[Row] = self.results.arrow("trials").sort_by("trial_id").to_pylist()
        return rows

    @cached_property
    def _rows(self) -> dict[str, list[Row]]:
        """Every live report by trial, under the names and with the nesting flattened by "/"."""
        names, found = self.results.metric_columns, dict[str, list[Row]]()
        table = self.results.arrow("reports")
        whole = {column for column in names if _is_whole(table[column])}
        for row in table.to_pylist():
            metrics = {
                name: int(row[column])
                if column in whole and row[column] is not None
                else row[column]
                for column, name in names.items()
            }
            metrics |= json.loads(row["metrics_json"] or "{}")
            kept = {name: value for name, value in metrics.items() if value is not None}
            if kept.get("training_iteration", row["step"]) == row["step"]:
                kept["training_iteration"] = row["step"]  # a whole number, as it was
            kept.setdefault("time_total_s", row["elapsed_s"])
            kept["timestamp"] = int(row["wall"])
            found.setdefault(row["trial_id"], []).append(kept)
        return found

    def _config(self, trial: Row) -> Row:
        """The config as the user wrote it, flattened with "/"."""
        return dict(flat(self._decode(json.loads(trial["config_json"]))))

    def _path(self, index: int) -> str:
        return str(self.results.path / ARTIFACTS / self._trials[index]["trial_id"])

    def _result(self, trial: Row) -> Result:
        import pandas as pd

        rows = self._rows.get(trial["trial_id"], [])
        config = self._decode(json.loads(trial["config_json"]))
        metrics: Row = self._as_reported(rows[-1]) if rows else {}
        metrics |= {"trial_id": trial["trial_id"], "config": config}
        metrics["done"] = trial["status"] in (*_FINISHED, "FAILED")
        saved = self._checkpoints(trial["trial_id"], rows)
        return Result(
            metrics=metrics,
            checkpoint=saved[-1][0] if saved else None,
            error=self._error(trial),
            path=self._path(self._trials.index(trial)),
            metrics_dataframe=pd.DataFrame(rows) if rows else None,
            best_checkpoints=self._ranked(saved),
            _storage_filesystem=self.filesystem,
        )

    def _error(self, trial: Row) -> Exception | None:
        if trial["status"] != "FAILED":
            return None
        text = self.results.path / "errors" / f"{trial['trial_id']}-{trial['attempts']}.txt"
        said = text.read_text() if text.is_file() else trial["error"]
        error: Exception = TuneError(f"trial {trial['trial_id']} failed: {said}")
        return error

    def _checkpoints(self, trial: str, rows: list[Row]) -> list[tuple[Checkpoint, Row]]:
        """The checkpoints that are kept, oldest first, each with the report of its step."""
        at = {row["training_iteration"]: row for row in rows}
        folder = self.results.path / CHECKPOINTS / trial
        kept = [path for path in folder.glob("*-*") if not path.name.endswith(".tmp")]
        kept.sort(key=lambda path: tuple(map(int, path.name.split("-")))[::-1])
        return [
            (users_checkpoint(path), self._as_reported(at.get(_step(path), {}))) for path in kept
        ]

    def _ranked(self, saved: list[tuple[Checkpoint, Row]]) -> list[tuple[Checkpoint, Row]]:
        """Worst first, as Tune lists them, where there is something to rank by."""
        if self._score_by is None:
            return saved
        metric, mode = self._score_by
        goal = Goal(((metric, "max" if mode == "max" else "min"),))
        return sorted(saved, key=lambda pair: goal.score(dict(flat(pair[1]))), reverse=True)


def _is_whole(column: pa.ChunkedArray) -> bool:
    """Whether a column of numbers holds whole ones only: tables keep all numbers as floats."""
    if not pa.types.is_floating(column.type):
        return False
    values = column.drop_null().to_numpy()
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def users_checkpoint(folder: Path) -> Checkpoint:
    """The user's own files in the folder of one of our checkpoints."""
    inner = folder / FILES
    return Checkpoint(str(inner if inner.is_dir() else folder))


def _step(path: Path) -> int:
    return int(path.name.partition("-")[2])


def _value(rows: list[Row], goal: Goal, scope: str, finite: bool) -> float | None:
    """The score of a trial by `scope`, lower is better; None: it has no such value."""
    column = [row.get(goal.metric) for row in rows]
    scores = [score for score in goal.scores(column) if score != WORST]
    if scope == "last":
        last = goal.scores(column[-1:])
        usable = [score for score in last if not (finite and score == WORST)]
        return usable[0] if usable else None
    if not scores:
        return None if finite or not rows else WORST
    if scope == "all":
        return min(scores)
    count = {"avg": len(scores), "last-5-avg": 5, "last-10-avg": 10}[scope]
    recent = scores[-count:]
    return math.fsum(recent) / len(recent)
