"""Does population based training beat random search where the best learning rate changes?

`python -m benchmarks.pbt` trains the noisy quadratic of `examples/pbt.py`, whose best learning rate
falls from 1/2 towards 1/T: no constant rate comes near what a falling one reaches.

Every contender has the same budget of steps in all, and as many trials at once; random search draws
its rates from the same law, and all share their founders' configs and seeds. What a sweep has
found is the least of the losses at which its trials stand in the end, those that were stopped apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.in_process import InProcessPool
from raysweep.orchestrator.loop import FOREVER_S, Loop, NoJournal
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import checkpoint_steps, new_state
from raysweep.orchestrator.spec import SweepSpec
from raysweep.trainables.checkpoint import delete_checkpoint
from raysweep.trainables.load import ModuleCode
from raysweep.trainables.runner import HostSpec
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event, Opened, Reported

CODE = ModuleCode("pbt:train", str(Path(__file__).parents[1] / "examples"))
RULES: dict[str, dict[str, Any]] = {
    "random search": {"name": "fifo"},
    "pbt": {"name": "pbt"},
    "pb2": {"name": "pb2"},
}


def final_loss(
    rule: str, seed: int, *, population: int, workers: int, steps: int, interval: int
) -> float:
    """The least of the losses at which the members stand once a sweep by `rule` has come to rest."""
    options = {} if rule == "random search" else {"interval": interval}
    spec = SweepSpec.from_dict(
        {
            "trainable": "pbt:train",
            "space": {"lr": {"loguniform": [1e-3, 1.0]}},
            "metric": "loss",
            "mode": "min",
            "searcher": "random",
            "scheduler": {**RULES[rule], "max_t": steps, **options},
            "budget": {"trials": population, "steps": population * steps},
            "cluster": {"max_slots": workers},
            "resources": {"cpu": 1},
            "checkpoint": {"every_s": None},
            "seed": seed,
        }
    )
    state, clock = new_state(spec), ManualClock()
    last: dict[str, float] = {}

    def observe(event: Event, verdicts: Sequence[Verdict]) -> None:
        if isinstance(event, Reported):
            last[event.trial] = event.metrics["loss"][-1]
        for verdict in verdicts:
            if verdict.verb == "stop":
                del last[verdict.trial]

    with tempfile.TemporaryDirectory() as folder:
        host = HostSpec(CODE, folder, ("loss",), None, every_steps=checkpoint_steps(spec))
        loop = Loop(
            state,
            InProcessPool(host, workers, clock),
            NoJournal(),
            clock=clock,
            origin_s=0.0,
            propose=Proposer(state.advice.searcher, spec.parsed_space.check, seed),
            drop=lambda path: delete_checkpoint(Path(folder), path),
            observe=observe,
            patience_s=FOREVER_S,
        )
        closed = loop.run(Opened(0.0, 1, 0.0, "here"))
    assert closed.exit_code == 0, closed.reason
    assert not state.advice.errors, state.advice.last_error
    return min(last.values())


def compare(seeds: int, **settings: int) -> list[dict[str, Any]]:
    """A row per rule: its mean and median final loss, and on how many seeds it beat random search."""
    found = {rule: [final_loss(rule, s, **settings) for s in range(seeds)] for rule in RULES}
    base = found["random search"]
    return [
        {
            "rule": rule,
            "mean": statistics.mean(losses),
            "median": statistics.median(losses),
            "wins": sum(loss < other for loss, other in zip(losses, base, strict=True)),
            "seeds": seeds,
        }
        for rule, losses in found.items()
    ]


def main() -> None:
    """Prints the table, as JSON lines with --json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, default in (
        ("seeds", 20), ("population", 8), ("workers", 8), ("steps", 100), ("interval", 5),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true")
    given = vars(parser.parse_args())
    as_json = given.pop("json")
    print(f"{given['seeds']} seeds, {given['population']} trials of {given['steps']} steps")
    for row in compare(**given):
        if as_json:
            print(json.dumps(row))
        else:
            print(
                f"{row['rule']:<14} mean {row['mean']:.4f}  median {row['median']:.4f}  "
                f"better than random search on {row['wins']} of {row['seeds']} seeds"
            )


if __name__ == "__main__":
    main()
