"""Progress as text: the panel on a terminal, and one line for a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raysweep.cluster.silence import silence
from raysweep.orchestrator.progress import Failure, Leader, Progress, Spent
from raysweep.orchestrator.wording import config_line, counted, duration, number, printable
from raysweep.trials.trial import Status

_MOST_RUNGS = 8
_MOST_SILENT = 4
_BAR = 20
_LONGEST_MESSAGE = 160
_COLOURS = {
    Status.RUNNING: "cyan", Status.COMPLETED: "green", Status.FAILED: "red",
    Status.STOPPED: "yellow",
}  # fmt: skip
_LIMITS = {"trials": "trials", "steps": "steps", "wall_time_s": "wall time", "gpu_hours": "GPU-h"}


def panel(progress: Progress, age_s: float, name: str, metric: str, path: Path) -> RenderableType:
    """Everything at a glance, a few lines high.

    Args:
        progress: where the sweep stands.
        age_s: the sweep's age now; the newest event may be older.
        name: the sweep's.
        metric: the name of the ranking metric.
        path: the sweep directory, for the files that errors are in.
    """
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("sweep", _headline(progress, age_s, name))
    grid.add_row("best", _leader(progress.best, metric))
    grid.add_row("trials", _trials(progress))
    grid.add_row("work", Text(_work(progress, age_s)))
    for row, spent in enumerate(progress.spent(age_s)):
        grid.add_row("" if row else "budget", _bar(spent))
    parts: list[RenderableType] = [grid]
    if rungs := _rungs(progress):
        parts.append(rungs)
    parts.extend(Text(line, style="yellow") for line in silence_lines(progress))
    parts.extend(Text(line, style="red") for line in error_lines(list(progress.errors), path))
    parts.extend(Text(line, style="yellow") for line in warning_lines(dict(progress.warnings)))
    return Group(*parts)


def status_line(progress: Progress, age_s: float, metric: str) -> str:
    """The same in one line, for a log."""
    pieces = [f"[{duration(age_s)}]"]
    if progress.best is not None:
        best = progress.best
        pieces.append(f"best {printable(metric)} {number(best.value)} ({best.trial}),")
    pieces.append(trials_line(progress) + ",")
    pieces.append(_work(progress, age_s) + ",")
    pieces.append(", ".join(_used(spent) for spent in progress.spent(age_s)))
    if (eta := _eta(progress, age_s)) and progress.closed is None:
        pieces.append(eta)
    return " ".join(filter(None, pieces)).rstrip(",")


def silence_lines(progress: Progress) -> list[str]:
    """A line for each of the trials that have not reported for longest, a few of them."""
    silent = sorted(progress.silent.values(), key=lambda event: -event.silent_s)
    lines = [silence(event) for event in silent[:_MOST_SILENT]]
    if more := len(silent) - len(lines):
        lines.append(f"{more:,} more trials are silent")
    return lines


def best_line(best: Leader, age_s: float, metric: str) -> str:
    """Word of a new best, for a log."""
    what = f"{printable(metric)} {number(best.value)} by {best.trial} at step {best.step}"
    return f"[{duration(age_s)}] new best: {what}: {config_line(best.config)}"


def trials_line(progress: Progress) -> str:
    """`4 running, 12 paused, 3 failed`."""
    counts = [(status, progress.trials[status]) for status in Status]
    return ", ".join(f"{n:,} {status.lower()}" for status, n in counts if n) or "no trials yet"


def error_lines(errors: list[Failure], path: Path) -> Iterator[str]:
    """One line an error, with the file that has its traceback."""
    for trial, attempt, error, message in errors:
        first = printable(message.strip().splitlines()[0] if message.strip() else "no message")
        if len(first) > _LONGEST_MESSAGE:
            first = first[: _LONGEST_MESSAGE - 1] + "…"
        where = f"  {error_file(path, trial, attempt)}" if attempt else ""
        yield f"{error}: {trial}: {first}{where}"


def warning_lines(warnings: Mapping[str, str]) -> list[str]:
    """One line for the newest warning of each source."""
    return [f"warning: {source}: {printable(text)}" for source, text in warnings.items()]


def error_file(path: Path, trial: str, attempt: int) -> Path:
    """Where the traceback of a failed attempt is kept."""
    return path / "errors" / f"{trial}-{attempt}.txt"


def _headline(progress: Progress, age_s: float, name: str) -> Text:
    text = Text.assemble((name, "bold"), f"  {duration(age_s)}")
    if progress.closed is not None:
        return text.append(f"  {printable(progress.closed.reason)}")
    eta = _eta(progress, age_s)
    return text.append(f"  {eta}" if eta else "")


def _eta(progress: Progress, age_s: float) -> str:
    left_s = progress.eta_s(age_s)
    return "" if left_s is None else f"ETA {duration(left_s)}"


def _leader(best: Leader | None, metric: str) -> Text:
    if best is None:
        return Text("no report yet", style="dim")
    return Text.assemble(
        f"{printable(metric)} ",
        (number(best.value), "bold green"),
        f"  {best.trial} at step {best.step}\n",
        (config_line(best.config), "dim"),
    )


def _trials(progress: Progress) -> Text:
    text = Text()
    for status in Status:
        if count := progress.trials[status]:
            text.append(f"{count:,} {status.lower()}", style=_COLOURS.get(status, ""))
            text.append("  ")
    return text or Text("none yet", style="dim")


def _work(progress: Progress, age_s: float) -> str:
    if not progress.slots:
        return "waiting for the first slot"
    used, there = progress.gpus
    gpus = f", {used:g} of {there:g} GPU" if there else ""
    rate = progress.reports_per_s(age_s)
    return f"{progress.busy} of {counted(progress.slots, 'slot')} busy{gpus}, {rate:,.0f} reports/s"


def _used(spent: Spent) -> str:
    if spent.name == "wall_time_s":
        return f"{duration(spent.used)} of {duration(spent.limit)}"
    if spent.name == "gpu_hours":
        return f"{spent.used:.3g} of {spent.limit:g} GPU-h"
    return f"{spent.used:,.0f} of {spent.limit:,.0f} {_LIMITS[spent.name]}"


def _bar(spent: Spent) -> Text:
    full = min(_BAR, int(_BAR * spent.used / spent.limit))
    return Text.assemble(
        ("━" * full, "cyan"), ("━" * (_BAR - full), "bright_black"), f"  {_used(spent)}"
    )


def _rungs(progress: Progress) -> Table | None:
    """Who got how far; None where there are no rungs, or too many to be worth a table."""
    counts = sorted(dict(progress.rungs.counts).items())
    if not counts or len(counts) > _MOST_RUNGS:
        return None
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("rung", "reached", "went on", "paused", "stopped", "finished"):
        table.add_column(title, justify="right")
    for step, count in counts:
        numbers = (count.reached, count.went_on, count.paused, count.stopped, count.finished)
        table.add_row(f"{step:,}", *(f"{n:,}" if n else "·" for n in numbers))
    return table
