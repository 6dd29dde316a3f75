"""What `raysweep confirmed` tells: as data, and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from raysweep.orchestrator.wording import config_line, counted, number, shown_path
from raysweep.results.confirmed import Fresh
from raysweep.results.intervals import Interval
from raysweep.trials.errors import StoreError

if TYPE_CHECKING:
    from raysweep.results.read import Results

_LOST = {
    "failed": "failed",
    "without_value": "had no finite value",
    "unfinished": "not ended yet",
    "lost_at_the_end": "counted, but ended on a value that is not finite",
}


def facts_of(results: Results, confidence: float) -> dict[str, Any]:
    """What the replicates of a sweep say, as plain data; values are in the metric's own direction.

    Raises:
        SpecError: the confidence is none.
        StoreError: no replicate is on record.
    """
    found = results.confirmed(confidence)
    if found is None:
        raise StoreError(f"{results.path}: {_nobody(results)}")
    metric, mode = next(iter(results.manifest["metrics"].items()))
    return {
        "name": results.manifest.get("name"),
        "path": str(shown_path(results.path)),
        "metric": metric,
        "mode": mode,
        "confidence": confidence,
        "selected": found.selected,
        "best": found.best,
        "differs": None if found.best is None else found.best != found.selected,
        "configs": [_config(one) for one in found.configs],
    }


def _config(one: Fresh) -> dict[str, Any]:
    names = ("mean", "expected", "optimism")
    intervals = {name: _bounds(getattr(one, name)) for name in names}
    return one._asdict() | {"values": list(one.values)} | intervals


def _bounds(interval: Interval | None) -> dict[str, float] | None:
    return interval and interval._asdict()


def _nobody(results: Results) -> str:
    """Why nothing can be concluded."""
    spec = results.manifest.get("spec") or {}
    if not spec.get("confirm"):
        return (
            "no config was trained again on fresh seeds; run a sweep with "
            "confirm: {top: 5, seeds: 3} in its spec"
        )
    state = results.status()["state"]
    if state == "running":
        return "replicates come when all trials have run their course; look again later"
    return (
        "no config was trained again: that comes when all trials have run their course, and the "
        f"sweep is {state} without that, or none of them has a finite value; go on with "
        "`raysweep resume`, and limit the sweep by budget.trials"
    )


def shown(facts: Mapping[str, Any]) -> RenderableType:
    """The same for people."""
    rows = {row["trial_id"]: row for row in facts["configs"]}
    best, selected = rows.get(facts["best"]), rows.get(facts["selected"])
    seeds = counted(sum(row["seeds"] for row in rows.values()), "replicate")
    lines = [f"{facts['path']}: {counted(len(rows), 'config')} trained again, {seeds} in all"]
    if selected is None:
        lines.append(f"selected  {facts['selected']}, of which there are no replicates (yet)")
    else:
        lines.append(f"selected  {_told(selected, facts)}; {_too_good(selected, facts)}")
    if best is None:
        lines.append("confirmed nothing yet: no replicate has ended with a finite value")
    elif best is selected:
        lines.append("confirmed the same: it is the best by fresh seeds as well")
    else:
        lines.append(f"confirmed {_told(best, facts)}; {_too_good(best, facts)}")
    if best is not None and best["expected"] is not None:
        told = _interval(best["expected"], len(best["values"]), facts)
        of = f", as this is the best of {len(rows):,} means" if len(rows) > 1 else ""
        lines.append(f"expected  {facts['metric']} {told} of another training{of}")
    if best is not None:
        lines.append(f"          {config_line(best['config'])}")
    lines += [text for row in rows.values() if (text := _lost(row))]
    return Group(*lines, _table(facts))


def _told(row: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    fresh = _interval(row["mean"], len(row["values"]), facts)
    return f"{row['trial_id']}: {facts['metric']} {number(row['value'])}, on fresh seeds {fresh}"


def _interval(interval: Mapping[str, float] | None, n: int, facts: Mapping[str, Any]) -> str:
    if interval is None:
        return "not known"
    middle = number(interval["estimate"])
    if n == 1:
        return f"{middle} (of one seed, without bounds)"
    low, high = number(interval["low"]), number(interval["high"])
    return f"{middle} ({facts['confidence']:.0%}: {low} to {high})"


def _too_good(row: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    told = _interval(row["optimism"], len(row["values"]), facts)
    return f"its own value was too good by {told}"


def _lost(row: Mapping[str, Any]) -> str:
    told = [f"{row[name]:,} {text}" for name, text in _LOST.items() if row[name]]
    return f"{row['trial_id']}: of {row['seeds']:,} replicates {'; '.join(told)}" if told else ""


def _table(facts: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in (
        "trial",
        "value",
        "steps",
        "fresh seeds",
        "of",
        "mean",
        "expected",
        "low",
        "high",
        "too good by",
    ):
        table.add_column(heading, justify="left" if heading == "trial" else "right")
    for row in facts["configs"]:
        bounds = row["expected"] or {}
        expected = [number(bounds[name]) if bounds else "·" for name in ("estimate", "low", "high")]
        mean, too_good = (
            number(row[name]["estimate"]) if row[name] else "·" for name in ("mean", "optimism")
        )
        counts = (f"{row['steps']:,}", f"{len(row['values']):,}", f"{row['seeds']:,}")
        table.add_row(row["trial_id"], number(row["value"]), *counts, mean, *expected, too_good)
    return table
