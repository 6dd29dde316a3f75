"""What the looking commands show to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysweep.orchestrator.wording import config_line, dotted, duration, number, printable

if TYPE_CHECKING:
    from raysweep.orchestrator.story import Story
    from raysweep.results.front import OnFront
    from raysweep.results.read import Best, Results

_NO_VALUE = "·"
_LIMITS = {"wall_time_s": "wall time", "wall_time": "wall time", "gpu_hours": "GPU-hours"}


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    return grid


def _value(value: Any) -> str:
    return _NO_VALUE if value is None else number(value)


def _counts(trials: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {word.lower()}" for word, n in trials.items()) or "none yet"


def status_table(facts: dict[str, Any]) -> Table:
    """`Results.status()` for people."""
    grid = _grid()
    reason = f": {printable(facts['reason'])}" if facts["reason"] else ""
    grid.add_row("sweep", f"{facts['name']}  {facts['path']}")
    grid.add_row("state", f"{facts['state']}{reason}")
    grid.add_row("trials", _counts(facts["trials"]))
    if any(held["gpu"] for held in facts["held"]):
        shares = (f"{held['attempts']:,} on {held['gpu']:g} GPU" for held in facts["held"])
        grid.add_row("running", ", ".join(shares))
    grid.add_row("reports", f"{facts['reports']:,} in {duration(facts['elapsed_s'])}")
    for name, spent in facts["budget"].items():
        used, limit = spent["used"], spent["limit"]
        timed = name.startswith("wall_time")
        shown = (duration(used), duration(limit)) if timed else (f"{used:,.4g}", f"{limit:,.6g}")
        grid.add_row(_LIMITS.get(name, name), " of ".join(shown))
    for warning in facts["warnings"]:
        grid.add_row("warning", f"{warning['source']}: {printable(warning['message'])}")
    best = facts["best"]
    if best is None:
        grid.add_row("best", "none yet")
        return grid
    grid.add_row("best", f"{number(best['value'])} by {best['trial_id']} at step {best['step']}")
    grid.add_row("", config_line(best["config"]))
    return grid


def sweeps_table(rows: list[dict[str, Any]]) -> Table:
    """The rows of `ls` for people."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("name", "state", "trials", "best", "path"):
        table.add_column(title, overflow="fold")
    for row in rows:
        best = row.get("best")
        shown = f"{row['metric']} {number(best['value'])}" if best else _NO_VALUE
        table.add_row(
            str(row["name"]), row["state"], f"{sum(row.get('trials', {}).values()):,}", shown,
            row["path"],
        )  # fmt: skip
    return table


def best_table(results: Results, best: Best, rows: list[dict[str, Any]]) -> RenderableType:
    """The best trial, and the runners-up if more than one was asked for."""
    metric = next(iter(results.manifest["metrics"]))
    grid = _grid()
    grid.add_row(metric, Text(number(best.value), style="bold green"))
    grid.add_row("trial", f"{best.trial_id} at step {best.step}")
    for name, value in best.config.items():
        grid.add_row(dotted(name), _value(value))
    if best.checkpoint is not None:
        grid.add_row("checkpoint", printable(str(best.checkpoint)))
    others = {name: value for name, value in best.metrics.items() if name != metric}
    if others:
        grid.add_row("also", config_line(others))
    return Group(grid, Text(), _top(rows, metric)) if len(rows) > 1 else grid


def _top(rows: list[dict[str, Any]], metric: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("", "trial", metric, "step", "config"):
        table.add_column(title, overflow="fold")
    for place, row in enumerate(rows, start=1):
        table.add_row(
            str(place), row["trial_id"], number(row["value"]), f"{row['step']:,}",
            config_line(row["config"]),
        )  # fmt: skip
    return table


def front_table(found: list[OnFront], metrics: list[str]) -> Table:
    """The Pareto front for people, the best by the first metric first."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("trial", *metrics, "step", "config"):
        table.add_column(title, overflow="fold")
    for one in found:
        values = [number(one.metrics[name]) for name in metrics]
        table.add_row(one.trial_id, *values, f"{one.step:,}", config_line(one.config))
    return table


def trials_table(rows: list[dict[str, Any]], metric: str) -> Table:
    """The rows of `trials` for people."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("trial", "status", f"best {metric}", "at step", "steps", "config"):
        table.add_column(title, overflow="fold")
    for row in rows:
        config = config_line(row["config"])
        error = f"  {row['error_class']}: {printable(row['error'] or '')}"
        table.add_row(
            row["trial_id"], row["status"].lower(), _value(row["best_value"]),
            _value(row["best_step"]), f"{row['steps']:,}",
            config + (error if row["error_class"] else ""),
        )  # fmt: skip
    return table


def story_table(story: Story, metric: str) -> RenderableType:
    """A trial's story, one line a moment."""
    trial = story.trial
    head = f"{trial['trial_id']}: {trial['status'].lower()} after {trial['steps']:,} steps"
    if trial["best_value"] is not None:
        head += f"; best {metric} {number(trial['best_value'])} at step {trial['best_step']}"
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="dim", no_wrap=True)
    for moment in story.moments:
        grid.add_row(f"{moment.at:,.1f} s", moment.text)
    return Group(Text(head, "bold"), Text(config_line(story.config), "dim"), grid)
