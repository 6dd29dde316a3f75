"""How fast the store takes reports in, and how fast it gives them back.

    python -m benchmarks.store [--rows 1000000] [--big] [--json FILE]

A durable report has been appended with its trial's other events, committed under the group fsync
policy, and compacted into Parquet at the usual rate. `--big` writes 10 million rows of 100,000
trials and times the best trial, recovery, and the size on disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.trials.clock import SystemClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Ended, Event, Opened, Reported, Started, Suggested
from raysweep.trials.trial import trial_id

STEPS = 100
WIDTH = 64
"""Trials that run at the same time."""
MANIFEST = {
    "name": "benchmark",
    "seed": 0,
    "spec": {},
    "metrics": {"loss": "min"},
    "columns": {"lr": "float64", "width": "int64", "optimizer": "string", "momentum": "float64"},
}
Step = tuple[Event, tuple[Verdict, ...]]


def sweep(rows: int, batch: int) -> Iterator[Step]:
    """A sweep that makes `rows` reports of four metrics, `batch` of them in an event."""
    draws = np.random.Generator(np.random.Philox(0))  # noqa: TID251 - data, not decisions
    yield Opened(0.0, 1, 1.7e9, "here"), ()
    at = 0.0
    for first in range(0, rows // STEPS, WIDTH):
        trials = [trial_id(n) for n in range(first, min(first + WIDTH, rows // STEPS))]
        for name in trials:
            config = {"lr": draws.random(), "width": 64, "optimizer": "adam"}
            yield Suggested(at, name, config), ()
            start = Verdict(name, 1, 0, "start", "new", STEPS)
            yield Started(at, name, 1, 0, "slot-3", "node-1", 0.01), (start,)
        for step in range(1, STEPS + 1, batch):
            values = draws.random((len(trials), 4, batch)).tolist()
            steps = list(range(step, step + batch))
            for name, (loss, accuracy, rate, seconds) in zip(trials, values, strict=True):
                at += 1e-4
                metrics = {"loss": loss, "accuracy": accuracy, "learning_rate": rate, "s": seconds}
                yield Reported(at, name, 1, steps, seconds, metrics), ()
        for name in trials:
            yield Ended(at, name, 1, STEPS), ()


def fill(path: Path, rows: int, batch: int, clock: SystemClock) -> dict[str, float]:
    """Write a sweep; seconds spent in the store, and within that, in compactions."""
    store = Store.create(path, dict(MANIFEST), clock=clock)
    spent = compacting = 0.0
    chunk: list[Step] = []
    for step in sweep(rows, batch):
        chunk.append(step)
        if len(chunk) < 20:
            continue
        begun = clock.now()
        for event, verdicts in chunk:
            store.append(event, verdicts)
        store.commit(durable=False)
        spent += clock.now() - begun
        chunk.clear()
        if store.due:
            begun = clock.now()
            store.compact({"some": "state"})
            compacting += clock.now() - begun
    for event, verdicts in chunk:
        store.append(event, verdicts)
    begun = clock.now()
    store.close()
    return {"s": spent + compacting + clock.now() - begun, "compacting_s": compacting}


def throughput(rows: int, batch: int, folder: Path, clock: SystemClock) -> dict[str, Any]:
    """Durable reports a second."""
    path = folder / f"batch-{batch}"
    took = fill(path, rows, batch, clock)
    shutil.rmtree(path)
    return {
        "batch": batch,
        "rows": rows,
        "reports_per_s": round(rows / took["s"]),
        "us_per_report": round(took["s"] / rows * 1e6, 2),
        "compacting_share": round(took["compacting_s"] / took["s"], 3),
    }


def big(rows: int, folder: Path, clock: SystemClock) -> dict[str, Any]:
    """A sweep of the target's size: the best trial, recovery, and bytes a row."""
    path = folder / "big"
    took = fill(path, rows, 20, clock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(file.stat().st_size for file in (path / "reports").iterdir())
    begun = clock.now()
    best = read(path).best()
    best_s = clock.now() - begun
    begun = clock.now()
    store, recovered = Store.open(path, clock=clock)
    records = sum(1 for _ in recovered.records)
    recovery_s = clock.now() - begun
    store.close()
    begun = clock.now()
    frame = read(path).reports
    return {
        "rows": rows,
        "trials": rows // STEPS,
        "reports_per_s": round(rows / took["s"]),
        "best": best._asdict() if best else None,
        "best_s": round(best_s, 3),
        "recovery_s": round(recovery_s, 3),
        "records_replayed": records,
        "reports_frame_s": round(clock.now() - begun, 3),
        "reports_frame_rows": len(frame),
        "bytes_per_row": round(size / rows, 1),
        "writer_peak_mb": round(peak),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--big", action="store_true", help="10 million rows of 100,000 trials")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    clock, console = SystemClock(), Console()
    folder = Path(tempfile.mkdtemp(prefix="raysweep-store-"))
    try:
        figures: dict[str, Any] = {
            "throughput": [throughput(options.rows, batch, folder, clock) for batch in (1, 20)]
        }
        if options.big:
            figures["big"] = big(10 * options.rows, folder, clock)
    finally:
        shutil.rmtree(folder)
    for title, rows in figures.items():
        table = Table(
            "figure", *(["value"] * (len(rows) if isinstance(rows, list) else 1)), title=title
        )
        columns = rows if isinstance(rows, list) else [rows]
        for name in columns[0]:
            table.add_row(name, *(str(column[name]) for column in columns))
        console.print(table)
    text = json.dumps(figures)
    print(text)
    if options.json:
        options.json.write_text(text)


if __name__ == "__main__":
    main()
