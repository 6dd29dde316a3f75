"""Whether the forecasts of the scheduler `curve` hold: coverage and sharpness on recorded curves.

    python -m benchmarks.calibration [--on lcbench:167104,...] [--trials 40,120] [--seeds 5]

One cell is a sweep's state at one instant: of so many trials drawn at random, a quarter have their
whole curve, a quarter are held out, and the others stopped at a random rung. The model is fitted as
the scheduler fits it, on all that was seen by then. It sees of the held-out ones the first `--seen`
percent of their steps, and says where they will end: their best score by the last step.

    coverage    share of held-out trials whose end lies in the central 80 % interval
    width       of that interval, as a share of the spread of all ends (their 10 % to 90 % quantile)
    rank        Spearman correlation of the forecast with the end; `last` is that of the best score
                so far, which is what a rule that compares at rungs goes by
    error       median absolute error in the same share; `last` likewise

Trials that diverged before what is seen of them take no part: no rule goes on with them. An interval
ends at the best score so far, below which the end is certain to be.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raysweep.cluster.recorded import ROW, Recording
from raysweep.cluster.recordings import recording
from raysweep.schedulers.curve import curve_rungs
from raysweep.schedulers.curve_learnt import Learnt
from raysweep.trials.streams import Stream

Array = npt.NDArray[np.float64]

TASKS = (
    "lcbench:167104", "lcbench:189905", "lcbench:168335", "lcbench:167185",
    "lcreal:blood-transfusion-service-center", "taskset:patch128_LSTM128_avg_bs64",
    "taskset:patch32_GRU64_avg_bs128", "taskset:patch32_IRNN64_relu_last_bs128",
)  # fmt: skip
OUT = Path(__file__).parent / "results" / "calibration.json"
Z80 = 1.2815515655446004
"""The 90 % quantile of a standard normal: an interval of ± that many sd holds 80 %."""


def drawn(on: Recording, trials: int, seed: int) -> tuple[Array, Array]:
    """So many random configs: their scores, shape (n, steps), and their points, shape (n, d)."""
    stream = Stream(seed, "calibration", on.name)
    if on.pool is None:
        configs = [on.space.sample(stream) for _ in range(trials)]
        points = [on.space.encode(config) for config in configs]
    else:
        rows = stream.generator().permutation(len(on.pool))[:trials].tolist()
        configs = [{**on.pool[row], ROW: row} for row in rows]
        points = [on.space.encode(on.pool[row]) for row in rows]
    tracks = [on.curves.track(config).metrics[on.goal.metric] for config in configs]
    return np.array([on.goal.scores(list(track)) for track in tracks]), np.array(points)


def cell(on: Recording, trials: int, seed: int, seen: int) -> dict[str, float]:
    """The figures of one cell."""
    scores, points = drawn(on, trials, seed)
    steps = curve_rungs(1, on.max_t, 1)
    least = np.minimum.accumulate(scores, axis=1)[:, np.array(steps) - 1]
    generator = Stream(seed, "calibration", "stops").generator()
    at = int(np.searchsorted(steps, max(1, on.max_t * seen // 100), side="right")) - 1
    reached = generator.integers(0, len(steps), trials)
    reached[: trials // 4], reached[-(trials // 4) :] = len(steps) - 1, at
    known = np.where(np.arange(len(steps)) <= reached[:, None], least, np.nan)
    held = np.arange(trials) >= trials - trials // 4
    held &= np.isfinite(scores[:, : steps[at]]).all(axis=1)
    learnt = Learnt.of(steps, known, points)
    forecast = learnt.forecast(known[held], at, learnt.levels[held])
    far = Z80 * forecast.sd
    so_far, ends = learnt.scale.z(least[held, at]), learnt.scale.z(least[held, -1])
    low, high = forecast.mean - far, np.minimum(forecast.mean + far, so_far)
    middle = np.minimum(forecast.mean, so_far)
    spread = float(np.diff(np.quantile(learnt.scale.z(least[:, -1]), [0.1, 0.9]))[0])
    ranks = pd.DataFrame({"end": ends, "forecast": middle, "last": so_far}).corr("spearman")["end"]
    return {
        "coverage": float(np.mean((ends >= low - 1e-9) & (ends <= high + 1e-9))),
        "width": float(np.mean(np.maximum(high - low, 0.0))) / spread,
        "rank": float(ranks["forecast"]),
        "rank_last": float(ranks["last"]),
        "error": float(np.median(np.abs(middle - ends))) / spread,
        "error_last": float(np.median(np.abs(so_far - ends))) / spread,
    }


def measure(
    tasks: Iterable[str], trials: Iterable[int], seeds: int, seen: Iterable[int]
) -> pd.DataFrame:
    """A row for each cell."""
    rows: list[dict[str, Any]] = []
    for task in tasks:
        on = recording(task)
        for count in trials:
            for seed in range(seeds):
                for percent in seen:
                    cells = cell(on, count, seed, percent)
                    rows.append({"task": task, "trials": count, "seen": percent, **cells})
    return pd.DataFrame(rows)


def numbers(text: str) -> list[int]:
    """`"40,120"` as numbers."""
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Measure, print, and write the means."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("--on", default=",".join(TASKS))
    made.add_argument("--trials", type=numbers, default=[40, 120])
    made.add_argument("--seen", type=numbers, default=[10, 25, 50])
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--out", type=Path, default=OUT)
    options = made.parse_args()
    found = measure(options.on.split(","), options.trials, options.seeds, options.seen)
    written: dict[str, Any] = {}
    for by in ("seen", "trials", "task"):
        means = found.drop(columns=[c for c in ("task", "trials", "seen") if c != by]).groupby(by)
        print(means.mean().round(3).to_string(), end="\n\n")
        written[by] = means.mean().round(4).reset_index().to_dict("records")
    overall = found.drop(columns=["task", "trials", "seen"]).mean().round(4).to_dict()
    print(" ".join(f"{name} {value:.3f}" for name, value in overall.items()))
    options.out.write_text(json.dumps({"overall": overall, **written}, indent=1) + "\n")


if __name__ == "__main__":
    main()
