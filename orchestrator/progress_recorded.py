"""The progress of a sweep so far from its tables, so that a resumed one does not begin at zero."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from raysweep.orchestrator.progress import Leader, Progress, Tracked
from raysweep.orchestrator.rules import Rules
from raysweep.trials.trial import Status

if TYPE_CHECKING:
    from raysweep.results.read import Results


_COLUMNS = ["trial_id", "status", "attempts", "config_json", "parent", "replicate_of"]


def recorded_progress(results: Results, rules: Rules) -> Progress:
    """Where the sweep behind `results` stands, as if every event of it had been observed.

    The failures of earlier drivers are not listed again.
    """
    progress, status, best = Progress(rules), results.status(), results.best()
    used = status["budget"].get("gpu_hours")
    progress.begin(
        status["elapsed_s"],
        status["reports"],
        used["used"] * 3600 if used else 0.0,
        Leader(best.trial_id, best.step, best.value, best.config) if best else None,
    )
    _take_trials(progress, results)
    progress.issued += status["suggest_failed"]
    _take_decisions(progress, results)
    return progress


def _take_trials(progress: Progress, results: Results) -> None:
    table = results.arrow("trials").select(_COLUMNS)
    columns = (table[name].to_pylist() for name in table.column_names)
    for trial, word, attempts, config, *made_of in zip(*columns, strict=True):
        status = Status(word)
        known = {} if status.terminal else json.loads(config)
        progress.add(trial, Tracked(known, status, attempts), child=any(made_of))


def _take_decisions(progress: Progress, results: Results) -> None:
    table = results.arrow("decisions").select(["trial_id", "verb", "rung"])
    columns = (table[name].to_pylist() for name in table.column_names)
    for trial, verb, rung in zip(*columns, strict=True):
        progress.rungs.decided(trial, verb, rung)
