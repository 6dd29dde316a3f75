"""Which failed trials a driver gives another attempt, as `raysweep retry` asks for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.trainables.checkpoint import verify_checkpoint
from raysweep.trials.errors import CheckpointError, SpecError
from raysweep.trials.events import Retried
from raysweep.trials.names import nearest
from raysweep.trials.trial import Status

if TYPE_CHECKING:
    from raysweep.results.read import Results

_COLUMNS = ["trial_id", "status", "config_json", "attempts", "checkpoint", "parent", "replicate_of"]


def failed_trials(results: Results, names: Sequence[str]) -> list[Retried]:
    """The failed trials of a sweep, ready to be tried again.

    A trial goes on from its last checkpoint where that is still whole, else from scratch.
    Children (of `pbt`) and replicates are left out: what they started from is gone.

    Args:
        results: of the sweep.
        names: ids of trials; none: every trial that has failed.

    Raises:
        SpecError: there is no such trial, or it has not failed, or cannot be tried again.
    """
    rows = {row["trial_id"]: row for row in results.arrow("trials").select(_COLUMNS).to_pylist()}
    for name in names:
        if name not in rows:
            raise SpecError(f"there is no trial {name!r} to retry; {nearest(name, rows)}")
        if rows[name]["status"] != Status.FAILED:
            raise SpecError(
                f"trial {name} has not failed (it is {rows[name]['status'].lower()}); "
                "`raysweep trials PATH --status failed` lists those that have"
            )
        if rows[name]["parent"] or rows[name]["replicate_of"]:
            what = "a child of another trial" if rows[name]["parent"] else "a replicate"
            raise SpecError(f"trial {name} is {what}, and cannot be retried by itself")
    chosen = names or [
        name
        for name, row in rows.items()
        if row["status"] == Status.FAILED and not (row["parent"] or row["replicate_of"])
    ]
    return [_retried(results.path, rows[name]) for name in chosen]


def _retried(sweep: Path, row: dict[str, Any]) -> Retried:
    step, checkpoint = 0, row["checkpoint"]
    if checkpoint is not None:
        try:
            verify_checkpoint(sweep / checkpoint)
            step = int(checkpoint.rsplit("-", 1)[-1])
        except (CheckpointError, ValueError):
            checkpoint = None
    config = json.loads(row["config_json"])
    return Retried(0.0, row["trial_id"], config, row["attempts"], step, checkpoint)
