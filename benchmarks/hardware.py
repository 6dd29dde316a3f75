"""Who survives a cluster of fast and slow devices: rungs in wall time, in normalised time, in steps.

    python -m benchmarks.hardware --json benchmarks/results/hardware.json

Half of the slots take `--slower` times as long for a step. Everything but the training is real:
searcher, ASHA that stops, state machine and loop, on the simulated pool with synthetic curves. A trial
stays on the device that it began on, which is chosen by chance: a rule that judges configs lets trials
through at the same rate on both. A step takes lognormal time about 1 s on a fast device, times what
the config costs: 1 for all, or 1/√10 to √10, log-uniformly.

| rungs | what they are |
|---|---|
| wall, given, learnt | `unit: seconds` with all speeds given as 1, with the true ones, with none |
| steps | the default |

*Passed* is the share of trials that the first rung let on, by device; *odds* the slow ones' over the
fast ones', with the 95 % interval of a bootstrap over seeds; *slow* the share of slow ones among all
trials, and among those that came to the end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raysweep.cluster.simulated import Machine
from raysweep.cluster.synthetic import SyntheticCurves
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import new_state
from raysweep.orchestrator.simulate import run_simulated
from raysweep.orchestrator.spec import SweepSpec
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event, SlotUp, Started
from raysweep.trials.streams import Stream
from raysweep.trials.trial import UNBOUNDED

FIRST, MAX_T = 9, 81
RUNGS = ("wall", "given", "learnt", "steps")
CAME = ("judged", "passed", "ended")


class Costs:
    """What a step of a config takes on a fast device, as a pace of the pool."""

    def __init__(self, spread: float) -> None:
        self._spread = spread

    def step_s(self, config: Mapping[str, Any], step: int) -> float:
        """Seconds."""
        return float(self._spread ** (config["width"] - 0.5))

    def length(self, config: Mapping[str, Any]) -> int:
        """Nothing ends a trial but the rule."""
        return UNBOUNDED


class Census:
    """On which kind of device each trial began, and how far it came."""

    def __init__(self) -> None:
        self._kind: dict[str, str] = {}  # by slot
        self._began: dict[str, str] = {}
        self.came: dict[str, set[str]] = {what: set() for what in CAME}

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """As an observer of the loop."""
        if isinstance(event, SlotUp):
            self._kind[event.slot] = event.kind
        elif isinstance(event, Started):
            self._began.setdefault(event.trial, self._kind[event.slot])
        for verdict in verdicts:
            if verdict.rung is not None:
                self.came["judged"].add(verdict.trial)
                if verdict.verb != "stop" or verdict.rung > FIRST:
                    self.came["passed"].add(verdict.trial)
            if verdict.verb == "finish":
                self.came["ended"].add(verdict.trial)

    def counts(self) -> dict[str, list[int]]:
        """How many came so far that began on a fast device, and how many on a slow one."""
        kinds = {what: [self._began[trial] for trial in of] for what, of in self.came.items()}
        return {what: [of.count("fast"), of.count("slow")] for what, of in kinds.items()}


def play(rungs: str, spread: float, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One sweep; its counts."""
    true = {"fast": 1.0, "slow": 1.0 / options.slower}
    speeds = {"wall": dict.fromkeys(true, 1.0), "given": true}.get(rungs, {})
    scheduler = {"name": "asha", "form": "stopping", "grace_period": FIRST, "max_t": MAX_T}
    spec = SweepSpec.from_dict(
        {
            "trainable": "none:none",
            "space": {name: {"uniform": [0.0, 1.0]} for name in ("depth", "lr", "width")},
            "metric": "loss",
            "mode": "min",
            "searcher": "random",
            "scheduler": {**scheduler, "unit": "steps" if rungs == "steps" else "seconds"},
            "seed": seed,
            "budget": {"trials": options.trials},
            "cluster": {"max_slots": options.workers, "speeds": speeds},
        }
    )
    machine = Machine(workers=options.workers, step_sigma=0.1, speeds=true)
    curves, census = SyntheticCurves(spec.parsed_space, spec.goal, 0, noise=0.01), Census()
    state = new_state(spec)
    propose = Proposer(state.advice.searcher, spec.parsed_space.check, seed)
    run_simulated(state, propose, machine, curves, pace=Costs(spread), observe=census)
    assert not state.advice.errors, state.advice.last_error
    return {"rungs": rungs, "spread": spread, **census.counts()}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rates over all seeds, and the interval of the odds."""
    judged, passed, ended = (np.array([row[what] for row in rows], float) for what in CAME)
    draws = Stream(0, "bootstrap").generator().integers(0, len(rows), (2_000, len(rows)))
    rates = passed[draws].sum(1) / judged[draws].sum(1)
    low, high = np.quantile(rates[:, 1] / rates[:, 0], [0.025, 0.975])
    fast, slow = passed.sum(0) / judged.sum(0)
    return {
        "rungs": rows[0]["rungs"], "spread": rows[0]["spread"], "seeds": len(rows),
        "passed_fast": fast, "passed_slow": slow, "odds": slow / fast, "low": low, "high": high,
        "slow_of_all": judged.sum(0)[1] / judged.sum(), "slow_of_ended": ended.sum(0)[1] / ended.sum(),
    }  # fmt: skip


def main() -> None:
    """Play all, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--slower", type=float, default=4.0)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    print("rungs    costs  passed: fast   slow   odds (95 %)          slow of all  at the end")
    found = []
    for spread in (1.0, 10.0):
        for rungs in RUNGS:
            rows = [play(rungs, spread, seed, options) for seed in range(options.seeds)]
            found.append(row := summary(rows))
            print(
                f"{rungs:<8} {spread:>4g}x   {row['passed_fast']:>11.1%} {row['passed_slow']:>6.1%}   "
                f"{row['odds']:.2f} ({row['low']:.2f} to {row['high']:.2f})   "
                f"{row['slow_of_all']:>11.1%}  {row['slow_of_ended']:>8.1%}"
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
