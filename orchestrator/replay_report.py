"""What `raysweep replay` tells: as data, and for people."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from raysweep.orchestrator.recorded_sweep import RecordedSweep
from raysweep.orchestrator.what_if import Side, WhatIf, spec_of
from raysweep.orchestrator.wording import config_line, counted, duration, number, shown_path
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Status

_SHOWN = 5


def facts_of(
    sweep: RecordedSweep,
    found: WhatIf,
    scheduler: dict[str, Any],
    searcher: dict[str, Any] | None,
    workers: int,
) -> dict[str, Any]:
    """A replay as plain data: what was recorded, what the rule did, what that saved or lost."""
    spec = spec_of(sweep, scheduler, searcher, workers)
    cut = sum(trial.cut for trial in sweep.trials)
    failed = sum(trial.status is Status.FAILED for trial in sweep.trials)
    before, after = found.recorded, found.replayed
    return {
        "name": sweep.name,
        "path": str(shown_path(sweep.path)),
        "workers": workers,
        "metric": sweep.goal.metric,
        "scheduler": spec.scheduler,
        "searcher": None if searcher is None else spec.searcher,
        "setup_s": sweep.setup_s,
        "timed": sweep.timed,
        "curves": {
            "recorded": len(sweep.trials),
            "complete": len(sweep.trials) - cut - failed,
            "cut": cut,
            "failed": failed,
            "silent": sweep.silent,
        },
        "recorded": _side(sweep, before),
        "replayed": _side(sweep, after) | {"trials": _trials(found)},
        "saved": {
            "steps": _saved(before.steps, after.steps),
            "slot_s": _saved(before.slot_s, after.slot_s),
            "time_s": _saved(before.time_s, after.time_s),
        },
        "regret": _regret(before.best, after.best),
        "final_regret": _regret(before.final, after.final),
        "unknown_beyond": list(found.unknown),
        "failed": list(found.failed),
        "top": list(found.top),
        "killed": list(found.killed),
    }


def _side(sweep: RecordedSweep, side: Side) -> dict[str, Any]:
    return {
        "steps": side.steps,
        "slot_s": side.slot_s,
        "gpu_s": side.slot_s * sweep.gpu,
        "time_s": side.time_s,
        "best": _value(sweep, side.best),
        "best_at_s": side.best_at_s if side.best < WORST else None,
        "best_final": _value(sweep, side.final),
    }


def _trials(found: WhatIf) -> dict[str, int]:
    """By status, and as UNKNOWN those that only their recording ended."""
    counts, unknown, failed = dict(found.replayed.trials), len(found.unknown), len(found.failed)
    counts[Status.COMPLETED] -= unknown + failed
    return counts | {Status.FAILED.value: failed, "UNKNOWN": unknown}


def _value(sweep: RecordedSweep, score: float) -> float | None:
    """A score in the metric's own direction."""
    if score == WORST:
        return None
    return -score if sweep.goal.mode == "max" else score


def _saved(before: float, after: float) -> float | None:
    """The share that was saved; negative: lost."""
    return 1.0 - after / before if before else None


def _regret(before: float, after: float) -> float | None:
    """How much worse, in units of the metric; None where one of them has no value."""
    return after - before if max(before, after) < WORST else None


def shown(facts: dict[str, Any]) -> RenderableType:
    """The same for people."""
    options = {name: value for name, value in facts["scheduler"].items() if name != "name"}
    rule = f"{facts['scheduler']['name']} {config_line(options)}".rstrip()
    order = "in recorded order"
    if facts["searcher"]:
        order = f"chosen by {facts['searcher']['name']}, the nearest that is left"
    lines = [
        f"{facts['path']} replayed with {rule} on {counted(facts['workers'], 'worker')}, configs "
        f"{order}",
        _curves(facts["curves"]),
    ]
    if not facts["timed"]:
        lines.append("times   none were recorded: each step counts as one second")
    return Group(*lines, _table(facts), *_fates(facts))


def _curves(curves: dict[str, int]) -> str:
    told = f"curves  {curves['recorded']:,} recorded: {curves['complete']:,} complete"
    if curves["cut"]:
        told += (
            f", {curves['cut']:,} cut off early by the sweep itself (what they would have come to "
            f"is unknown)"
        )
    if curves["failed"]:
        told += f", {curves['failed']:,} failed"
    if curves["silent"]:
        told += f"; {counted(curves['silent'], 'trial')} without a report left out"
    return told


def _table(facts: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "as recorded", facts["scheduler"]["name"], "saved"):
        table.add_column(heading, justify="left" if not heading else "right")
    before, after, saved = facts["recorded"], facts["replayed"], facts["saved"]
    table.add_row("steps", *(f"{s['steps']:,}" for s in (before, after)), _share(saved["steps"]))
    rows = [("slot time", "slot_s", saved["slot_s"])]
    if before["gpu_s"]:
        rows.append(("GPU time", "gpu_s", saved["slot_s"]))
    for name, key, share in (*rows, ("wall time", "time_s", saved["time_s"])):
        table.add_row(name, *(duration(side[key]) for side in (before, after)), _share(share))
    for name, key, regret in (
        ("best", "best", "regret"),
        ("best final", "best_final", "final_regret"),
    ):
        lost = "" if facts[regret] is None else f"regret {number(float(facts[regret]))}"
        values = (_known(side[key]) for side in (before, after))
        table.add_row(f"{name} {facts['metric']}", *values, lost)
    times = ("-" if s["best_at_s"] is None else duration(s["best_at_s"]) for s in (before, after))
    table.add_row("best after", *times, "")
    return table


def _share(saved: float | None) -> str:
    return "" if saved is None else f"{round(saved, 3) + 0.0:.1%}"  # no -0.0%


def _known(value: float | None) -> str:
    return "-" if value is None else number(value)


def _fates(facts: dict[str, Any]) -> list[str]:
    words = {"UNKNOWN": "unknown beyond their recording"}
    counts = facts["replayed"]["trials"].items()
    ended = ", ".join(f"{n:,} {words.get(status, status.lower())}" for status, n in counts if n)
    top, killed = facts["top"], facts["killed"]
    lines = [f"trials  {ended}"]
    which = f": {_listed(killed)}" if killed else ""
    lines.append(f"top {len(top)}   {len(killed)} of the best on record ended too early{which}")
    if unknown := facts["unknown_beyond"]:
        lines.append(
            f"unknown beyond  {counted(len(unknown), 'trial')} would have run on where the "
            f"recording ends; what that costs and comes to is in no figure here: {_listed(unknown)}"
        )
    if failed := facts["failed"]:
        lines.append(f"failed  {counted(len(failed), 'trial')} where the recorded one did")
    return lines


def _listed(trials: list[str]) -> str:
    more = len(trials) - _SHOWN
    return ", ".join(trials[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
