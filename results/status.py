"""Where a sweep stands, as one plain dict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raysweep.results import epochs
from raysweep.results.fold import Fold
from raysweep.results.ledger import STATUSES

INTERRUPTED, STALLED = 75, 3
"""The exit codes of a sweep that can be resumed."""


def status(
    path: Path, manifest: Mapping[str, Any], fold: Fold, best: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A sweep's state in JSON data.

    `state` is running (a driver holds the lock), finished, interrupted (by a signal or `stop`),
    stalled (no slot for too long) or crashed (the driver is gone without a word).
    """
    closed = fold.closed
    counts = Counter(STATUSES[code].value for code in fold.trials.status)
    return {
        "name": manifest.get("name"),
        "path": str(path),
        "state": _state(path, fold),
        "reason": closed.reason if closed else fold.interrupted,
        "exit_code": closed.exit_code if closed else None,
        "trials": {
            status.value: counts[status.value] for status in STATUSES if counts[status.value]
        },
        **fold.tally(),
        "budget": _budget(manifest, fold),
        "elapsed_s": fold.at,
        "epoch": fold.opened.epoch if fold.opened else 0,
        "lsn": fold.lsn,
        "best": best,
    }


def _state(path: Path, fold: Fold) -> str:
    if epochs.held(path):
        return "running"
    if fold.closed is None:
        return "crashed"
    return {INTERRUPTED: "interrupted", STALLED: "stalled"}.get(fold.closed.exit_code, "finished")


def _budget(manifest: Mapping[str, Any], fold: Fold) -> dict[str, dict[str, Any]]:
    """For each limit in the spec: the limit as given and what has been used."""
    spec = manifest.get("spec") or {}
    limits = budget_limits(manifest, fold.opened.changes if fold.opened else {})
    gpu = (spec.get("resources") or {}).get("gpu") or 0.0
    used = {
        "trials": len(fold.trials) + fold.life.suggest_failed,
        "steps": fold.counts["reports"],
        "wall_time": fold.at,
        "wall_time_s": fold.at,
        "gpu_hours": slot_time_s(fold) * float(gpu) / 3600.0,
    }
    return {
        name: {"limit": limit, "used": used[name]}
        for name, limit in limits.items()
        if name in used and limit is not None
    }


def budget_limits(manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The limits in the manifest's spec, with the `changes` of the newest driver."""
    limits = dict((manifest.get("spec") or {}).get("budget") or {})
    for key, value in changes.items():
        top, _, name = key.partition(".")
        if top == "budget":
            limits |= {name: value} if name else dict(value or {})
    return limits


def slot_time_s(fold: Fold) -> float:
    """Seconds that all attempts together have held their slots."""
    started = np.array(fold.attempts.started_at)
    ended = np.array(fold.attempts.ended_at)
    return float(np.sum(np.where(np.isnan(ended), fold.at, ended) - started))
