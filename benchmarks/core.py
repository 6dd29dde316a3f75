"""Cost of the core per event, per finished trial, and how busy it keeps simulated workers.

    python -m benchmarks.core [--quick] [--json FILE]

Everything but the training is real: searcher, scheduler, state machine and loop, on the simulated
pool, whose own cost is part of the figures. An event is one report of one step, or one of the
two or three others in a trial's life. Occupancy is training time over all slot time until the
last trial starts; the time that the driver really needs passes in the simulation, too.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.orchestrator.loop import FOREVER_S, Loop, NoJournal
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import new_state
from raysweep.orchestrator.spec import SweepSpec
from raysweep.trials.clock import ManualClock, SystemClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event, Opened, Reported

STEPS = 100
SPACE = {
    "lr": {"loguniform": [1e-4, 1e-1]},
    "optimizer": {"choice": ["sgd", "adam"]},
    "momentum": {"uniform": [0.0, 0.99], "when": {"optimizer": "sgd"}},
    "width": {"lograndint": [16, 256]},
}


def curve(config: Mapping[str, Any], seed: int, step: int) -> dict[str, Any]:
    """A loss that tells good configs from bad ones, as cheap as can be."""
    return {"loss": config["lr"] + 1.0 / step}


class _Counter:
    """Events, and time spent training until the sweep runs out of new trials."""

    def __init__(self, trials: int) -> None:
        self.events = 0
        self.trained_s = 0.0
        self.steady: tuple[float, float] | None = None
        self._left = trials
        self._before: dict[str, float] = {}

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        self.events += 1
        if isinstance(event, Reported):  # each trial has one attempt, each batch one step
            self.trained_s += event.elapsed_s[-1] - self._before.get(event.trial, 0.0)
            self._before[event.trial] = event.elapsed_s[-1]
        for verdict in verdicts:
            if verdict.verb == "start":
                self._left -= 1
                if not self._left:
                    self.steady = (event.at, self.trained_s)


class _ChargedPool:
    """Lets simulated time pass for as long as the driver really took between two polls.

    Workers whose reports wait for the driver, and slots that wait for a suggestion, are idle for
    that time, as they would be on a cluster.
    """

    def __init__(self, pool: SimulatedPool, clock: ManualClock) -> None:
        self._pool, self._clock, self._wall = pool, clock, SystemClock()
        self._returned = self._wall.now()
        self.do, self.close = pool.do, pool.close

    def poll(self, timeout_s: float) -> list[Event]:
        """Charge the driver, then poll."""
        self._clock.sleep(self._wall.now() - self._returned)
        happened = self._pool.poll(timeout_s)
        self._returned = self._wall.now()
        return happened


def _rss_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(scheduler: dict[str, Any], trials: int, workers: int, sigma: float) -> dict[str, Any]:
    """One simulated sweep in this process."""
    spec = SweepSpec.from_dict(
        {
            "trainable": "none:none",
            "space": SPACE,
            "metric": "loss",
            "mode": "min",
            "scheduler": scheduler,
            "budget": {"trials": trials},
        }
    )
    clock, wall, state, counter = ManualClock(), SystemClock(), new_state(spec), _Counter(trials)
    pool = SimulatedPool(Machine(workers=workers, step_sigma=sigma), curve, clock)
    propose = Proposer(state.advice.searcher, spec.parsed_space.check, spec.seed)
    loop = Loop(
        state,
        _ChargedPool(pool, clock),
        NoJournal(),
        clock=clock,
        origin_s=0.0,
        propose=propose,
        observe=counter,
        patience_s=FOREVER_S,
    )
    gc.collect()
    before, begun = _rss_bytes(), wall.now()
    loop.run(Opened(0.0, 1, 0.0, "simulated"))
    took_s = wall.now() - begun
    pool.close()
    gc.collect()
    at, trained_s = counter.steady or (clock.now(), counter.trained_s)
    return {
        "scheduler": scheduler.get("form", scheduler["name"]),
        "trials": trials,
        "workers": workers,
        "reports": state.spend.steps,
        "events": counter.events,
        "us_per_event": took_s / counter.events * 1e6,
        "bytes_per_trial": (_rss_bytes() - before) / trials,
        "occupancy": trained_s / (at * workers) if trials >= 10 * workers else None,
    }


def _in_own_process(case: Sequence[Any]) -> dict[str, Any]:
    """Memory is only comparable from a fresh process."""
    command = [sys.executable, "-m", "benchmarks.core", "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def cases(quick: bool) -> list[tuple[dict[str, Any], int, int, float]]:
    """FIFO, every trial reporting 100 steps, over all sizes; and ASHA for occupancy."""
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    workers = (16, 1_000) if quick else (16, 1_000, 10_000)
    fifo = {"name": "fifo", "max_t": STEPS}
    chosen = [(fifo, trials, count, 0.3) for trials in sizes for count in workers]
    for form in ("promotion", "stopping"):
        asha = {"name": "asha", "max_t": STEPS, "form": form}
        chosen.append((asha, 20_000 if quick else 100_000, 1_000, 0.5))
    return chosen


def main() -> None:
    """Measure all cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the smaller sizes")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(*json.loads(options.case))))
        return
    table = Table(title="The core on the simulated pool")
    for heading in ("scheduler", "trials", "workers", "reports", "events", "µs/event", "B/trial"):
        table.add_column(heading, justify="right")
    table.add_column("occupancy", justify="right")
    rows = []
    for case in cases(options.quick):
        row = _in_own_process(case)
        rows.append(row)
        table.add_row(
            row["scheduler"],
            f"{row['trials']:,}",
            f"{row['workers']:,}",
            f"{row['reports']:,}",
            f"{row['events']:,}",
            f"{row['us_per_event']:.1f}",
            f"{row['bytes_per_trial']:,.0f}",
            "-" if row["occupancy"] is None else f"{row['occupancy']:.3f}",
        )
    Console(width=110).print(table)
    print(json.dumps(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
