"""Processor time per decision, by rule and by how many trials a rung has already seen.

    python -m benchmarks.rules [--quick] [--json FILE]

A decision is one report of a new trial at its first comparison, and one question whom to call
back: what a free slot costs a scheduler. Scores are random, so trials stand anywhere among the
others. Each cell is the median of five windows of decisions, one after the other, so a window ends
with up to half as many trials more than its heading says.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from time import process_time as processor_s
from typing import Any

from rich.console import Console
from rich.table import Table

from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.trials.goal import Goal
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Report, trial_id

SIZES = (1_000, 10_000, 100_000)
WINDOWS = 5
GOAL = Goal((("loss", "min"), ("size", "min")))  # only mo_asha looks at the second
RULES: dict[str, dict[str, Any]] = {
    "asha, promotion": {"name": "asha", "max_t": 27},
    "asha, stopping": {"name": "asha", "max_t": 27, "form": "stopping"},
    "asha, 3 brackets": {"name": "asha", "max_t": 27, "brackets": 3},
    "mo_asha": {"name": "mo_asha", "max_t": 27},
    "pasha": {"name": "pasha", "max_t": 27},
    # its first bracket is the only one that so many trials come to: 12 // 12 * 3**11 of them
    "hyperband": {"name": "hyperband", "max_t": 3**11},
    "median": {"name": "median", "max_t": 27},
    "percentile": {"name": "percentile", "max_t": 27},
    "threshold": {"name": "threshold", "max_t": 27, "upper": 0.5},
    "plateau": {"name": "plateau", "max_t": 27},
    "patience": {"name": "patience", "max_t": 27},
    "curve": {"name": "curve", "max_t": 27},
}

LARGEST = {"mo_asha": 10_000, "curve": 1_000}
"""Where a rule is not measured beyond: at a millisecond a decision it would take long to get there."""


def _reports(scheduler: Scheduler, first: int, count: int) -> list[Report]:
    """The reports of `count` new trials where each is first compared."""
    made = []
    for number in range(first, first + count):
        trial = trial_id(number)
        stream = Stream(0, "rules", number)
        score, size = stream.uniform(), stream.uniform()
        metrics = {"loss": score, "size": size}
        made.append(Report(trial, 1, scheduler.grant(trial, {}), metrics, score))
    return made


def _decide(scheduler: Scheduler, reports: list[Report]) -> float:
    """Seconds of processor time that all of `reports` took."""
    begun = processor_s()
    for report in reports:
        scheduler.on_report(report)
        scheduler.next_paused()
    return processor_s() - begun


def measure(rule: str, trials: int) -> dict[str, Any]:
    """One cell: µs per decision of `rule` with `trials` in the rung."""
    options = dict(RULES[rule])
    scheduler = build_scheduler(options.pop("name"), options, Setting(GOAL))
    _decide(scheduler, _reports(scheduler, 0, trials))
    window = max(100, trials // 100)
    took_s = [
        _decide(scheduler, _reports(scheduler, trials + turn * window, window))
        for turn in range(WINDOWS)
    ]
    return {"rule": rule, "trials": trials, "us": statistics.median(took_s) / window * 1e6}


def main() -> None:
    """Measure all cells and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the smaller sizes")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    sizes = SIZES[:-1] if options.quick else SIZES
    table = Table(title="µs of processor time per decision, by trials in the rung")
    table.add_column("rule")
    for size in sizes:
        table.add_column(f"{size:,}", justify="right")
    rows = []
    for rule in RULES:
        cells = [measure(rule, size) for size in sizes if size <= LARGEST.get(rule, size)]
        rows += cells
        table.add_row(rule, *(f"{cell['us']:.1f}" for cell in cells))
    Console(width=110).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
