"""The Pareto front of a sweep with several metrics: the trials that no other beats in all of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from raysweep.trials.pareto import front

if TYPE_CHECKING:
    from raysweep.results.read import Results


class OnFront(NamedTuple):
    """A trial of the front; `metrics` are the goal's, at the trial's last report."""

    trial_id: str
    config: dict[str, Any]
    metrics: dict[str, float]
    step: int


def front_of(results: Results) -> list[OnFront]:
    """The front by the last live report of each trial, best by the first metric first.

    Trials whose last report lacks one of the metrics, or has it not finite, are left out. With one
    metric the front is the trial, or the trials that share its value, that ended best.
    """
    goal: dict[str, str] = results.manifest["metrics"]
    columns = {name: column for column, name in results.metric_columns.items()}
    if not goal.keys() <= columns.keys():
        return []
    wanted = [columns[name] for name in goal]
    rows = results.arrow("reports").select(["trial_id", "step", *wanted]).to_pylist()
    last = {row["trial_id"]: row for row in rows}  # by trial and step, so the last one stays
    table = np.array(
        [[np.nan if row[c] is None else float(row[c]) for c in wanted] for row in last.values()]
    ).reshape(-1, len(wanted))
    trials = [
        trial for trial, fits in zip(last, np.isfinite(table).all(axis=1), strict=True) if fits
    ]
    table = table[np.isfinite(table).all(axis=1)]
    signs = np.array([-1.0 if mode == "max" else 1.0 for mode in goal.values()])
    chosen = np.flatnonzero(front(table * signs))
    chosen = chosen[np.lexsort((table * signs)[chosen].T[::-1])]
    configs = results.arrow("trials").select(["trial_id", "config_json"]).to_pylist()
    written = {row["trial_id"]: row["config_json"] for row in configs}
    return [
        OnFront(
            trials[k],
            json.loads(written[trials[k]]),
            dict(zip(goal, map(float, table[k]), strict=True)),
            last[trials[k]]["step"],
        )
        for k in chosen
    ]
