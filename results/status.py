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
        "held": _held(fold),
        **fold.tally(),
        "budget": _budget(manifest, fold),
        "elapsed_s": fold.at,
        "epoch": fold.opened.epoch if fold.opened else 0,
        "lsn": fold.lsn,
        "best": best,
        "warnings": [
            {"source": source, "count": count, "message": message}
            for source, (count, message) in fold.warnings.items()
        ],
    }


def _held(fold: Fold) -> list[dict[str, Any]]:
    """What the attempts that run now hold, largest first, and how many hold just that."""
    gpu, cpu = fold.attempts.gpu, fold.attempts.cpu
    running = [row for row in fold.trials.open_row if row >= 0]
    known = [row for row in running if gpu[row] == gpu[row]]  # else its set-up is not over
    counts = Counter((gpu[row], cpu[row] if cpu[row] == cpu[row] else 0.0) for row in known)
    largest_first = sorted(counts.items(), reverse=True)
    return [{"gpu": held[0], "cpu": held[1], "attempts": n} for held, n in largest_first]


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
    gpu = float((spec.get("resources") or {}).get("gpu") or 0.0)
    used = {
        "trials": len(fold.trials) - fold.trials.children + fold.life.suggest_failed,
        "steps": fold.counts["reports"],
        "wall_time": fold.at,
        "wall_time_s": fold.at,
        "gpu_hours": float(np.sum(_held_s(fold) * _gpus(fold, gpu))) / 3600.0,
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
    return float(np.sum(_held_s(fold)))


def _held_s(fold: Fold) -> np.ndarray[Any, Any]:
    """Seconds for which each attempt has held its slot."""
    started, ended = np.array(fold.attempts.started_at), np.array(fold.attempts.ended_at)
    held: np.ndarray[Any, Any] = np.where(np.isnan(ended), fold.at, ended) - started
    return held


def _gpus(fold: Fold, gpu: float) -> np.ndarray[Any, Any]:
    """The GPUs that each attempt held; `gpu` where its set-up was never over."""
    held = np.array(fold.attempts.gpu)
    return np.where(np.isnan(held), gpu, held)
