"""What `raysweep audit` tells: as data, and for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from raysweep.orchestrator.audit import Audit, Better
from raysweep.orchestrator.wording import counted, duration, number, shown_path
from raysweep.trials.goal import Goal

if TYPE_CHECKING:
    from raysweep.results.read import Results


def facts_of(results: Results, found: Audit) -> dict[str, Any]:
    """An audit as plain data; values are in the metric's own direction."""
    goal = Goal(tuple(results.manifest["metrics"].items()))
    scheduler = (results.manifest.get("spec") or {}).get("scheduler") or {}
    return {
        "name": results.manifest.get("name"),
        "path": str(shown_path(results.path)),
        "metric": goal.metric,
        "scheduler": scheduler.get("name"),
        "share": scheduler.get("audit"),
        "confidence": found.confidence,
        "condemned": found.condemned,
        "audited": found.audited,
        "unfinished": found.unfinished,
        "hopeless": found.hopeless,
        "undecided": found.undecided,
        "best": goal.value(found.found),
        "best_survivor": goal.value(found.survivor),
        "better_than_best": _better(found.than_best),
        "better_than_survivor": _better(found.than_survivor),
        "regret": found.regret._asdict(),
        "steps_saved": found.steps_saved._asdict(),
        "seconds_saved": found.seconds_saved and found.seconds_saved._asdict(),
        "steps_spent": found.steps_spent,
        "seconds_spent": found.seconds_spent,
        "rungs": [
            {
                "rung": row.rung,
                "condemned": row.condemned,
                "better_than_best": row.better and _better(row.better),
            }
            for row in found.rungs
        ],
    }


def _better(better: Better) -> dict[str, Any]:
    hits, audited, probability = better
    return {"count": hits, "audited": audited, **probability._asdict()}


def shown(facts: Mapping[str, Any]) -> RenderableType:
    """The same for people."""
    metric, sure = facts["metric"], f"{facts['confidence']:.0%}"
    lines = [
        f"{facts['path']}: {counted(facts['condemned'], 'trial')} condemned by {facts['scheduler']}, "
        f"of which {facts['audited']:,} were audited to the end",
        *_left_out(facts),
        f"best found {metric} {number(facts['best'])}; best survivor "
        f"{_known(facts['best_survivor'])}",
        f"better than the best     {_chance(facts['better_than_best'], sure)}",
        f"better than the survivor {_chance(facts['better_than_survivor'], sure)}",
        f"regret   {_bounds(facts['regret'], number, sure)} of {metric}: what the best condemned trial "
        f"would have added",
        f"saved    {_bounds(facts['steps_saved'], _whole, sure)} steps"
        + _seconds(facts["seconds_saved"], sure),
        f"audits   took {facts['steps_spent']:,} steps, {duration(facts['seconds_spent'])}",
    ]
    return Group(*lines, _table(facts))


def _left_out(facts: Mapping[str, Any]) -> list[str]:
    words = {
        "unfinished": "drawn for an audit that is not over",
        "hopeless": "ended without a finite value",
        "undecided": "paused, and may be promoted yet",
    }
    told = [f"{facts[name]:,} {text}" for name, text in words.items() if facts[name]]
    return [f"not counted: {'; '.join(told)}"] if told else []


def _known(value: float) -> str:
    return "none" if math.isnan(value) else number(value)


def _whole(value: float) -> str:
    return f"{round(value):,}"


def _bounds(interval: Mapping[str, float], say: Callable[[float], str], sure: str) -> str:
    if math.isinf(interval["high"]):
        return f"{say(interval['estimate'])} (from one trial, without bounds)"
    low, middle, high = (say(interval[name]) for name in ("low", "estimate", "high"))
    return f"{middle} ({sure}: {low} to {high})"


def _seconds(interval: Mapping[str, float] | None, sure: str) -> str:
    return "" if interval is None else f", {_bounds(interval, duration, sure)} of slot time"


def _chance(better: Mapping[str, float], sure: str) -> str:
    return (
        f"{better['count']:,} of {better['audited']:,} audited, so "
        f"{better['low']:.1%} to {better['high']:.1%} of the condemned ({sure})"
    )


def _table(facts: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in ("rung", "condemned", "audited", "better than the best"):
        table.add_column(heading, justify="right")
    for row in facts["rungs"]:
        better = row["better_than_best"]
        cells = ["0", "·"]
        if better:
            cells = [f"{better['audited']:,}", f"{better['count']:,} (to {better['high']:.1%})"]
        table.add_row(f"{row['rung']:,}", f"{row['condemned']:,}", *cells)
    return table
