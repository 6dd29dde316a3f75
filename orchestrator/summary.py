"""What is said when a sweep has come to rest: what came of it, where it is, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysweep.orchestrator.panel import error_file
from raysweep.orchestrator.wording import counted, dotted, duration, number, printable
from raysweep.searchers.coverage import share_covered
from raysweep.trials.events import Closed

if TYPE_CHECKING:
    from raysweep.results.read import Best, Results

_RESUMABLE = frozenset({3, 75})
_MOST_ERRORS = 5
_CONFIDENCE = 0.95


def summary(results: Results, closed: Closed) -> RenderableType:
    """The last screen of `run` and `resume`."""
    status, best = results.status(), results.best()
    metric = next(iter(results.manifest["metrics"]))
    parts: list[RenderableType] = [Text(), _headline(status, closed)]
    parts += _errors(results)
    parts += [
        Text(f"warning: {each['source']}: {printable(each['message'])}", style="yellow")
        for each in status["warnings"]
    ]
    parts.append(_best(best, metric) if best else Text(f"nobody reported a finite {metric}"))
    parts += _confirmed(results, metric) + _front(results) + _coverage(results)
    parts.append(_files(results.path))
    parts.append(_next(status, closed, best))
    return Group(*parts)


def next_commands(
    status: dict[str, Any], closed: Closed, best: Best | None
) -> list[tuple[str, str]]:
    """Three commands that make sense now, each with what it shows."""
    path = status["path"]
    commands = [(f"raysweep trials {path}", "every trial, the best first")]
    if best is not None:
        commands.append((f"raysweep explain {path} {best.trial_id}", "the story of the best trial"))
    else:
        commands.append((f"raysweep status {path}", "where the sweep stands"))
    if status.get("trials", {}).get("FAILED"):
        again = "try the failed trials again, once the cause is mended"
        commands.insert(1, (f"raysweep retry {path} --failed", again))
        commands = commands[:2]
    if closed.exit_code in _RESUMABLE:
        commands.insert(0, (f"raysweep resume {path}", "go on where it stopped"))
    elif change := _larger(status["budget"]):
        more = f"raysweep resume {path} --set {change}"
        commands.append((more, "go on with a larger budget"))
    else:
        commands.append((f"raysweep verify {path}", "check what was recorded"))
    return commands


def _larger(budget: dict[str, dict[str, Any]]) -> str:
    """The limit used up most, doubled past what is spent, as --set takes it; "" if there is none."""
    shares = {name: spent["used"] / spent["limit"] for name, spent in budget.items()}
    if not shares:
        return ""
    name = max(shares, key=lambda each: shares[each])
    limit = 2 * budget[name]["limit"]
    while limit <= budget[name]["used"]:  # a resume may have lowered it
        limit *= 2
    unit = "s" if name.startswith("wall_time") else ""
    return f"budget.{name.removesuffix('_s')}={limit:.12g}{unit}"


def _headline(status: dict[str, Any], closed: Closed) -> Text:
    counts = ", ".join(f"{n:,} {word.lower()}" for word, n in status["trials"].items())
    reports = counted(status["reports"], "report")
    text = Text.assemble((status["name"], "bold"), f": {printable(closed.reason)}\n")
    return text.append(f"{counts}; {reports} in {duration(closed.at)}", style="dim")


def _best(best: Best, metric: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    head = Text.assemble((metric, "bold"), " ", (number(best.value), "bold green"))
    grid.add_row("best", head.append(f"  {best.trial_id} at step {best.step}", style="dim"))
    for name, value in best.config.items():
        grid.add_row("", f"{dotted(name)}: {number(value)}")
    return grid


def _confirmed(results: Results, metric: str) -> list[RenderableType]:
    """Where configs were trained again: whose fresh seeds are best."""
    found = results.confirmed()
    if found is None or found.configs[0].mean is None:
        return []
    value, seeds = number(found.configs[0].mean.estimate), len(found.configs[0].values)
    told = f"{found.best}, {metric} {value} on average of {counted(seeds, 'fresh seed')}"
    return [Text(f"confirmed {told}: raysweep confirmed {results.path}")]


def _front(results: Results) -> list[RenderableType]:
    """With several metrics: how many trials no other beats in all of them."""
    if len(results.manifest["metrics"]) < 2:
        return []
    names = ", ".join(results.manifest["metrics"])
    found = counted(len(results.front()), "trial")
    return [Text(f"front {found} by {names}: raysweep best {results.path} --front")]


def _coverage(results: Results) -> list[RenderableType]:
    """What independent draws guarantee, where the searcher made such; children and replicates are none."""
    searcher = results.manifest.get("spec", {}).get("searcher", {})
    name = searcher.get("name") if isinstance(searcher, dict) else searcher
    if name != "random":
        return []
    drawn = results.arrow("trials").select(["status", "parent", "replicate_of"]).to_pylist()
    own = [row["status"] for row in drawn if not row["parent"] and not row["replicate_of"]]
    trials = sum(status in ("COMPLETED", "STOPPED", "PAUSED") for status in own)
    if not trials:
        return []
    share = share_covered(trials, _CONFIDENCE)
    return [
        Text(
            f"with {_CONFIDENCE:.0%} confidence one of the {trials:,} configs drawn is among the "
            f"best {share:.2%} of the space",
            style="dim",
        )
    ]


def _files(path: Path) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row("tables", str(path / "trials.parquet"))
    grid.add_row("", f"raysweep.read({str(path)!r}).reports, in Python")
    grid.add_row("", reports_query(path) + ", in duckdb")
    return grid


def reports_query(path: Path) -> str:
    """The rows of all reports as SQL of duckdb: a metric may be a column of later parts only."""
    glob = str(path / "reports" / "*.parquet").replace("'", "''")
    return f"FROM read_parquet('{glob}', union_by_name=true)"


def _next(status: dict[str, Any], closed: Closed, best: Best | None) -> Table:
    grid = Table.grid(padding=(0, 2))
    for row, (command, what) in enumerate(next_commands(status, closed, best)):
        grid.add_row("next" if not row else "", Text(command, style="cyan"), Text(what, "dim"))
    return grid


def _errors(results: Results) -> list[RenderableType]:
    """The last few trials that failed, each with the file that says why."""
    failed = results.arrow("trials").select(["trial_id", "attempts", "error_class", "error"])
    rows = [row for row in failed.to_pylist() if row["error_class"] is not None]
    lines: list[RenderableType] = []
    for row in rows[-_MOST_ERRORS:]:
        file = error_file(results.path, row["trial_id"], row["attempts"])
        message = printable(row["error"] or "")[:160]
        where = f"  {file}" if file.exists() else ""
        lines.append(
            Text(f"{row['error_class']}: {row['trial_id']}: {message}{where}", style="red")
        )
    if len(rows) > _MOST_ERRORS:
        lines.insert(0, Text(f"{len(rows):,} trials failed; the last {_MOST_ERRORS}:", style="red"))
    return lines
