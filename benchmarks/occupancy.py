"""How busy each rule keeps a thousand workers whose steps vary, fail and lag.

    python -m benchmarks.occupancy --json benchmarks/results/occupancy.json

The real scheduler, state machine and loop on the simulated pool, with random search, or the searcher
that the rule comes with. A step's time is lognormal (median 1 s, log-sd 0.5), one step in twenty raises,
which ends its trial, and one worker in twenty takes ten times as long. *Busy* is the slot time in use
divided by all slot time, from the first second until the sweep's time is over and it stops to start
anything. Synchronous HyperBand stands there to compare with: it waits at its rungs. `pbt` has as many
members as workers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysweep.cluster.simulated import Machine
from raysweep.cluster.synthetic import SyntheticCurves
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import new_state
from raysweep.orchestrator.simulate import run_simulated
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.state import SweepState
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event

MAX_T = 81
MACHINE = Machine(
    step_sigma=0.5, error_rate=0.05, straggler_share=0.05, straggler_factor=10.0, batch_s=0.0
)
RULES: dict[str, dict[str, Any]] = {
    "fifo": {"name": "fifo"},
    "median": {"name": "median"},
    "percentile": {"name": "percentile"},
    "plateau": {"name": "plateau"},
    "patience": {"name": "patience"},
    "threshold": {"name": "threshold", "upper": 0.9},
    "asha": {"name": "asha"},
    "asha, stopping": {"name": "asha", "form": "stopping"},
    "asha, 3 brackets": {"name": "asha", "brackets": 3},
    "pasha": {"name": "pasha"},
    "asha, in seconds": {"name": "asha", "unit": "seconds"},
    "asha, smoothed, audited": {"name": "asha", "judge_by": "smoothed", "audit": 0.05},
    "mo_asha": {"name": "mo_asha"},
    "hyper_tune": {"name": "hyper_tune"},
    "dehb": {"name": "dehb"},
    "hyperband, asynchronous": {"name": "hyperband", "form": "asynchronous"},
    "hyperband, synchronous": {"name": "hyperband"},
    "curve": {"name": "curve"},
    "pbt": {"name": "pbt", "interval": 3},
}
FEWER = {"curve": 100, "pbt": 100}
"""Rules that are measured with so many workers at most: they take milliseconds for a decision."""


class Busy:
    """Adds up the slots in use, up to a moment."""

    def __init__(self, state: SweepState, until_s: float) -> None:
        self._state, self._until_s = state, until_s
        self._at_s, self._slots, self.slot_s = 0.0, 0, 0.0

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """As an observer of the loop."""
        at_s = min(event.at, self._until_s)
        self.slot_s += (at_s - self._at_s) * self._slots
        self._at_s, self._slots = at_s, self._state.slots.busy


def measure(rule: dict[str, Any], workers: int, seconds: float, seed: int = 0) -> dict[str, Any]:
    """One simulated sweep of so many seconds: its busy share and its counts."""
    members = rule["name"] == "pbt"
    spec = SweepSpec.from_dict(
        {
            "trainable": "none:none",
            "space": {f"x{n}": {"uniform": [0.0, 1.0]} for n in range(3)},
            "metrics": {"loss": "min"} | ({"size": "min"} if rule["name"] == "mo_asha" else {}),
            "searcher": {"name": "dehb" if rule["name"] == "dehb" else "random"},
            "scheduler": {**rule, "max_t": MAX_T},
            "seed": seed,
            "max_failed_share": 1.0,
            "budget": {"wall_time_s": seconds} | ({"trials": workers} if members else {}),
            "cluster": {"max_slots": workers},
        }
    )
    state = new_state(spec)
    propose = Proposer(state.advice.searcher, spec.parsed_space.check, spec.seed)
    curves = SyntheticCurves(spec.parsed_space, spec.goal, spec.seed)
    machine = MACHINE._replace(workers=workers, every_steps=rule.get("interval"))
    busy = Busy(state, seconds)
    found = run_simulated(state, propose, machine, curves, observe=busy)
    return {
        "busy": round(busy.slot_s / (workers * seconds), 4),
        "trials": sum(found.trials.values()),
        "failed": found.trials.get("FAILED", 0),
        "steps": found.steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=200.0, help="simulated")
    parser.add_argument("--rules", default="", help="some of them, by name, with ; between")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    options = parser.parse_args()
    rows = []
    for name in [name.strip() for name in options.rules.split(";") if name.strip()] or RULES:
        workers = min(options.workers, FEWER.get(name, options.workers))
        found = measure(RULES[name], workers, options.seconds)
        rows.append({"rule": name, "workers": workers, "seconds": options.seconds, **found})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
