"""The trials of a sweep as rows, filtered and sorted as `raysweep trials` wants them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest
from raysweep.trials.trial import Status

if TYPE_CHECKING:
    import pyarrow as pa

    from raysweep.results.read import Results

_BEST = frozenset({"best_value", "last_value"})
"""Columns in which the better value comes first, whichever way that is."""


def trial_rows(
    results: Results,
    *,
    status: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Rows of the trials table; `config` is a mapping there, and stands for its columns.

    Args:
        results: of the sweep.
        status: only trials of this status, in any case.
        sort: a column, or a parameter; ascending, but a metric's better values first. None: the
            best first.
        limit: at most so many.

    Raises:
        SpecError: for a status or a column that does not exist.
    """
    import pyarrow.compute as pc

    table = results.arrow("trials")
    if status is not None:
        table = table.filter(pc.field("status") == _status(status))
    column = _column(table, sort or "best_value")
    table = table.sort_by([(column, _order(results, column)), ("trial_id", "ascending")])
    return [
        _row(row)
        for row in table.slice(0, limit if limit is None else min(limit, len(table))).to_pylist()
    ]


def best_rows(results: Results, top: int) -> list[dict[str, Any]]:
    """The `top` best trials: trial_id, value, step and config; none without a finite value."""
    return [
        {
            "trial_id": row["trial_id"],
            "value": row["best_value"],
            "step": row["best_step"],
            "status": row["status"],
            "config": row["config"],
        }
        for row in trial_rows(results, limit=top)
        if row["best_value"] is not None
    ]


def _status(word: str) -> str:
    if word.upper() not in Status.__members__:
        raise SpecError(f"there is no status {word!r}; {nearest(word.upper(), Status)}")
    return word.upper()


def _column(table: pa.Table, name: str) -> str:
    """The column that `name`, perhaps a parameter as a spec writes it, stands for."""
    for column in (name, f"config/{name.replace('.', '/')}"):
        if column in table.column_names:
            return column
    known = [column.removeprefix("config/") for column in table.column_names]
    raise SpecError(f"there is no column {name!r} to sort by; {nearest(name, known)}")


def _order(results: Results, column: str) -> str:
    metrics: dict[str, str] = results.manifest["metrics"]
    mode = next(iter(metrics.values())) if column in _BEST else metrics.get(column, "min")
    return "descending" if mode == "max" else "ascending"


def _row(row: dict[str, Any]) -> dict[str, Any]:
    config = json.loads(row["config_json"])
    why = json.loads(row.get("why") or "{}")
    apart = ("config_json", "why")
    kept = {k: v for k, v in row.items() if not k.startswith("config/") and k not in apart}
    return {**kept, "config": config, "why": why}
