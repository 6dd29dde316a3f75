"""The live view: which report rows a later attempt has superseded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NO_CAP = np.iinfo(np.int64).max


def caps(attempts: pa.Table) -> pa.Table:
    """The attempts that a later one restarted below their end: (trial_id, attempt, cap).

    A row of such an attempt is live iff its step is at most `cap`; rows of attempts that are not
    listed are all live.
    """
    ordered = attempts.select(["trial_id", "attempt", "start_step", "end_step"]).sort_by(
        [("trial_id", "ascending"), ("attempt", "ascending")]
    )
    trial = ordered["trial_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    start = ordered["start_step"].to_numpy()
    cap = np.full(len(start), _NO_CAP)
    for row in range(len(start) - 2, -1, -1):
        if trial[row] == trial[row + 1]:
            cap[row] = min(cap[row + 1], start[row + 1])
    bound = cap < ordered["end_step"].to_numpy()
    kept = ordered.append_column("cap", pa.array(cap)).filter(pa.array(bound))
    return kept.select(["trial_id", "attempt", "cap"])


def live(reports: pa.Table, bounds: pa.Table) -> pa.Table:
    """The rows of `reports` that no later attempt has superseded; `bounds` is what `caps` gave."""
    if not len(bounds) or not len(reports):
        return reports
    limits = {
        (trial, attempt): cap
        for trial, attempt, cap in zip(
            *(bounds[name].to_pylist() for name in ("trial_id", "attempt", "cap")), strict=True
        )
    }
    suspects = pc.is_in(reports["trial_id"], value_set=pc.unique(bounds["trial_id"])).to_numpy()
    rows = np.flatnonzero(suspects)
    touched = reports.select(["trial_id", "attempt", "step"]).take(pa.array(rows))
    dead = [
        step > limits.get((trial, attempt), _NO_CAP)
        for trial, attempt, step in zip(*(touched[i].to_pylist() for i in range(3)), strict=True)
    ]
    keep = np.ones(len(reports), dtype=bool)
    keep[rows[np.array(dead, dtype=bool)]] = False
    return reports.filter(pa.array(keep))


def by_trial_and_step(reports: pa.Table) -> pa.Table:
    """`reports` sorted by (trial_id, step); ids sort as text."""
    if not len(reports):
        return reports
    encoded = pc.dictionary_encode(reports["trial_id"].combine_chunks())
    words: np.ndarray[Any, Any] = np.array(encoded.dictionary.to_pylist(), dtype=object)
    rank = np.empty(len(words), dtype=np.int64)
    rank[np.argsort(words)] = np.arange(len(words))
    order = np.lexsort((reports["step"].to_numpy(), rank[encoded.indices.to_numpy()]))
    return reports.take(pa.array(order))
