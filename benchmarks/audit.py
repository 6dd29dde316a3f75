"""How often the intervals of `raysweep audit` hold the truth, on recorded learning curves.

    python -m benchmarks.audit --json benchmarks/results/audit.json

Many seeded sweeps are played with `audit`. What the audited trials say of all the condemned is
compared with the truth, which is known here: every condemned config's curve is recorded to its end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from raysweep.cluster.recorded import Recording
from raysweep.cluster.recordings import recording
from raysweep.orchestrator.audit import estimate
from raysweep.orchestrator.condemned import Curve, condemnation
from raysweep.orchestrator.play import on_recording, play
from raysweep.orchestrator.spec import SweepSpec
from raysweep.results.intervals import Interval
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event, Reported, Suggested
from raysweep.trials.trial import Status

BENCHES = (
    "lcreal:blood-transfusion-service-center",
    "taskset:patch128_LSTM128_avg_bs64",
    "taskset:patch32_GRU64_avg_bs128",
)
RULES: dict[str, dict[str, Any]] = {
    "asha, stopping": {"name": "asha", "form": "stopping"},
    "asha, promotion": {"name": "asha", "form": "promotion"},
    "median": {"name": "median", "grace_period": 5},
}
TRIALS, WORKERS = 150, 4


class Seen:
    """The record of a sweep, as its directory would have it."""

    def __init__(self, on: Recording) -> None:
        self.on, self.verdicts = on, list[Verdict]()
        self.configs: dict[str, Any] = {}
        self.scores: dict[str, list[float]] = {}

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """See one turn."""
        self.verdicts += verdicts
        if isinstance(event, Suggested):
            self.configs[event.trial] = event.config
        elif isinstance(event, Reported):
            scores = self.scores.setdefault(event.trial, [])
            scores += [report.score for report in event.reports(self.on.goal)]

    def curves(self) -> dict[str, Curve]:
        """By trial what it reported."""
        return {
            trial: Curve(scores, self.on.curves.track(self.configs[trial]).seconds[: len(scores)])
            for trial, scores in self.scores.items()
        }

    def whole(self, trial: str) -> Curve:
        """What a trial reported, or would have."""
        track = self.on.curves.track(self.configs[trial])
        return Curve(self.on.goal.scores(track.metrics[self.on.goal.metric]), track.seconds)


Checked = tuple[int, int, dict[str, tuple[Interval, float]]]


def check(bench: str, rule: str, share: float, seed: int) -> Checked | None:
    """Of one sweep: how many it condemned and audited, and each interval with the truth."""
    on = recording(bench)
    written = {
        "trainable": "none:none",
        "space": {"x": {"uniform": [0, 1]}},
        "metric": "x",
        "mode": "min",
        "searcher": "random",
        "scheduler": {**RULES[rule], "max_t": on.max_t, "audit": share},
        "budget": {"trials": TRIALS},
        "seed": seed,
    }
    spec, seen = on_recording(SweepSpec.from_dict(written), on), Seen(on)
    play(spec, on, workers=WORKERS, observe=seen)
    curves = seen.curves()
    finished = {v.trial for v in seen.verdicts if v.verb == "finish"}
    statuses = dict.fromkeys(curves, Status.PAUSED) | dict.fromkeys(finished, Status.COMPLETED)
    found = condemnation(seen.verdicts, curves, statuses, over=True)
    if not found.audited:
        return None
    told = estimate(found)
    ends = np.array([seen.whole(one.trial).best for one in found.trials])
    unseen = [one for one in found.trials if one.whole is None]
    saved_s = sum(sum(seen.whole(one.trial).seconds[one.step :]) for one in unseen)
    assert told.seconds_saved is not None
    intervals = {
        "best": (told.than_best.probability, float(np.mean(ends < found.found))),
        "survivor": (told.than_survivor.probability, float(np.mean(ends < found.survivor))),
        "regret": (told.regret, max(0.0, found.found - float(ends.min()))),
        "seconds": (told.seconds_saved, saved_s),
    }
    return told.condemned, told.audited, intervals


def summary(bench: str, rule: str, share: float, seeds: range) -> dict[str, Any]:
    """How often each interval held the truth."""
    checked = [one for seed in seeds if (one := check(bench, rule, share, seed))]
    condemned, audited, intervals = zip(*checked, strict=True)
    row: dict[str, Any] = {"bench": bench, "rule": rule, "share": share, "sweeps": len(checked)}
    row |= {"condemned": float(np.mean(condemned)), "audited": float(np.mean(audited))}
    for name in intervals[0]:
        low, high, truth = np.array([(i.low, i.high, t) for i, t in (o[name] for o in intervals)]).T
        slack = 1e-9 * np.abs(truth)  # a sum in another order
        row[name] = {
            "covered": float(np.mean((low - slack <= truth) & (truth <= high + slack))),
            "truth": float(np.median(truth)),
            "high": float(np.median(high)),
        }
    return row


def main() -> None:
    """Check all and print how often the intervals held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=100, help="by bench and rule")
    parser.add_argument("--first", type=int, default=1000, help="seed; the others follow it")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.sweeps)
    rows = [summary(b, r, options.share, seeds) for b in BENCHES for r in RULES]
    table = Table(*rows[0], title="mean of condemned and audited; truth covered")
    for row in rows:
        cells = [c["covered"] if isinstance(c, dict) else c for c in row.values()]
        table.add_row(*(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells))
    Console(width=140).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
