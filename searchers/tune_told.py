"""What Tune has told about each of its trials, brought into the form in which our searchers learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from raysweep.searchers.base import Searcher
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.trial import Outcome, Report, Status

_STEP = "training_iteration"


class Told:
    """Tune's trials under way: our id of each, the last step that was told, the best score."""

    def __init__(self) -> None:
        self._trials: dict[str, tuple[str, int, float]] = {}

    def begin(self, theirs: str, ours: str) -> None:
        """Trial `ours` of the searcher runs in Tune as `theirs`."""
        self._trials[theirs] = ours, 0, WORST

    def tell(self, searcher: Searcher, theirs: str, result: Mapping[str, Any], goal: Goal) -> None:
        """Tell a result unless its step was told before, or nobody knows the trial."""
        if theirs not in self._trials:
            return
        ours, last, best = self._trials[theirs]
        step = result.get(_STEP)
        if not isinstance(step, int):
            step = last + 1
        if step <= last:
            return
        metrics = {
            name: _scalar(value) for name, value in result.items() if _is_metric(name, value)
        }
        score = goal.score(metrics)
        self._trials[theirs] = ours, step, min(best, score)
        elapsed_s = result.get("time_total_s")
        seconds = float(elapsed_s) if isinstance(elapsed_s, (int, float)) else 0.0
        searcher.tell(Report(ours, 1, step, metrics, score, seconds))

    def end(self, searcher: Searcher, theirs: str, *, failed: bool, empty: bool) -> None:
        """Tell that a trial has ended: by an error, without any result, or as it should."""
        if theirs not in self._trials:
            return
        ours, step, best = self._trials.pop(theirs)
        status = Status.FAILED if failed else Status.STOPPED if empty else Status.COMPLETED
        searcher.end(ours, Outcome(status, step, best))

    def state(self) -> dict[str, Any]:
        """The trials under way, as plain JSON data; a score that is WORST stands as null."""
        return {
            theirs: [ours, step, None if best == WORST else best]
            for theirs, (ours, step, best) in self._trials.items()
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._trials = {
            theirs: (ours, step, WORST if best is None else best)
            for theirs, (ours, step, best) in state.items()
        }


def _is_metric(name: str, value: Any) -> bool:
    if name.startswith("config/"):
        return False
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
