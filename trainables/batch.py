"""Reports of one attempt, column by column, gathered until they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysweep.trainables.values import MAX_METRICS
from raysweep.trials.errors import ReportError
from raysweep.trials.events import Reported
from raysweep.trials.trial import TrialId


class Batch:
    """What one attempt reported since its reports were last taken."""

    __slots__ = ("_columns", "_elapsed_s", "_names", "_steps")

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._elapsed_s: list[float] = []
        self._columns: dict[str, list[Any]] = {}
        self._names: set[str] = set()

    def add(self, step: int, elapsed_s: float, row: Mapping[str, Any]) -> None:
        """Append one report; a metric that it lacks, or that is new with it, is None elsewhere.

        Raises:
            ReportError: the attempt has reported more than `MAX_METRICS` names by now.
        """
        columns = self._columns
        if not row.keys() <= columns.keys():
            self._widen(row)
        for name, value in row.items():
            columns[name].append(value)
        self._steps.append(step)
        self._elapsed_s.append(elapsed_s)
        if len(row) != len(columns):
            for column in columns.values():
                if len(column) < len(self._steps):
                    column.append(None)

    def take(self, trial: TrialId, attempt: int) -> Reported | None:
        """The gathered reports as one event, None if there are none; the batch is empty then."""
        if not self._steps:
            return None
        taken = Reported(0.0, trial, attempt, self._steps, self._elapsed_s, self._columns)
        self._steps, self._elapsed_s, self._columns = [], [], {}
        return taken

    def _widen(self, row: Mapping[str, Any]) -> None:
        self._names.update(row)
        if len(self._names) > MAX_METRICS:
            raise ReportError(
                f"the trial has reported {len(self._names):,} different metrics, more than "
                f"{MAX_METRICS:,}; report lists, or write them into a checkpoint"
            )
        for name in row:
            if name not in self._columns:
                self._columns[name] = [None] * len(self._steps)
