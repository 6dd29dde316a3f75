"""How much too good the best value of a sweep is, and what fresh seeds make of it.

    python -m benchmarks.confirm --json benchmarks/results/confirm.json

Seeded sweeps with `confirm` are run on the simulated pool, on synthetic curves that hang on the seed:
`rate`, where seeds learn at different rates, as those of `raysweep simulate`; `normal`, where each seed
is off the mean curve by a normal draw. What a config truly comes to is the mean of the best reports
of trainings that no sweep has seen. Differences are of losses: below 0 is too good.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from raysweep.cluster.simulated import Curve, Machine
from raysweep.cluster.synthetic import SyntheticCurves
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import new_state
from raysweep.orchestrator.simulate import run_simulated
from raysweep.orchestrator.spec import SweepSpec
from raysweep.results.confirmed import Fresh, estimate
from raysweep.results.intervals import Interval
from raysweep.trials.events import Event, Reported, Suggested
from raysweep.trials.streams import Stream

STEPS, TRIALS, TOP, SPREAD = range(1, 28), 40, 5, 0.03
UNSEEN = range(1 << 40, (1 << 40) + 40)
"""Seeds beyond those of any trial; the same for all configs, so that these compare well."""
SPACE = {name: {"uniform": [0, 1]} for name in "xyz"}


def curve_of(noise: str, spec: SweepSpec) -> Curve:
    """(config, seed, step) → metrics."""
    if noise == "rate":
        return SyntheticCurves(spec.parsed_space, spec.goal, spec.seed)
    mean = SyntheticCurves(spec.parsed_space, spec.goal, spec.seed, noise=0.0)

    def curve(config: Mapping[str, Any], seed: int, step: int) -> dict[str, Any]:
        off = Stream(spec.seed, seed, "off").normal(0.0, SPREAD)
        return {"loss": mean(config, 0, step)["loss"] + off}

    return curve


def sweep(rule: str, noise: str, seed: int, replicates: int) -> list[float]:
    """One sweep against the truth: the figures of a row, in order."""
    written = {
        "trainable": "none:none", "space": SPACE, "metric": "loss", "mode": "min", "seed": seed,
        "searcher": "random", "scheduler": {"name": rule, "max_t": len(STEPS)},
        "budget": {"trials": TRIALS}, "confirm": {"top": TOP, "seeds": replicates},
    }  # fmt: skip
    spec = SweepSpec.from_dict(written)
    state, curve = new_state(spec), curve_of(noise, spec)
    made, losses = list[Suggested](), dict[str, list[tuple[int, float]]]()

    def see(event: Event, verdicts: object) -> None:
        if isinstance(event, Suggested):
            made.append(event)
        elif isinstance(event, Reported):
            pairs = zip(event.steps, event.metrics["loss"], strict=True)
            losses.setdefault(event.trial, []).extend(pairs)

    propose = Proposer(state.advice.searcher, spec.parsed_space.check, seed)
    run_simulated(state, propose, Machine(workers=8, step_sigma=0.3), curve, observe=see)
    rows = [
        {
            "trial_id": one.trial, "replicate_of": one.replicate_of, "status": "COMPLETED",
            "config_json": json.dumps(one.config), "steps": losses[one.trial][-1][0],
            "best_value": min(loss for _, loss in losses[one.trial]), "last_value": 0.0,
        }
        for one in made
    ]  # fmt: skip
    found = estimate(rows, losses, spec.goal)

    def truth(one: Fresh) -> float:
        return float(np.mean([min(curve(one.config, n, t)["loss"] for t in STEPS) for n in UNSEEN]))

    best, selected = found.configs[0], {c.trial_id: c for c in found.configs}[found.selected]
    first, then = truth(selected), truth(best)
    assert selected.mean and best.mean and best.expected  # noqa: PT018 - the three are alike
    return [
        selected.value - first, selected.mean.estimate - first, best.mean.estimate - then,
        best.expected.estimate - then, _holds(selected.mean, first), _holds(best.mean, then),
        _holds(best.expected, then), selected is not best, then < first, first - then,
    ]  # fmt: skip


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


FIGURES = (
    "selected_value", "selected_mean", "confirmed_mean", "confirmed_expected", "selected_covered",
    "confirmed_covered", "expected_covered", "differs", "better", "gain",
)  # fmt: skip


def main() -> None:
    """Run all sweeps; print each figure's mean and its standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=60, help="by noise and rule")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 10], help="of each config")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    rows, seeds = [], range(1000, 1000 + options.sweeps)
    for n, noise, rule in product(options.seeds, ("rate", "normal"), ("fifo", "asha")):
        found = np.array([sweep(rule, noise, seed, n) for seed in seeds], float)
        error = found.std(axis=0, ddof=1) / len(seeds) ** 0.5
        figures = np.stack([found.mean(axis=0), error], axis=1).round(4).tolist()
        row = {"noise": noise, "rule": rule, "sweeps": len(seeds), "trials": TRIALS, "top": TOP}
        rows.append(row | {"seeds": n} | dict(zip(FIGURES, figures, strict=True)))
        print(json.dumps(rows[-1]))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
