"""A script in stock Ray Tune, made to be killed: starts an experiment, or restores the one there is.

    python -m tests.schedulers.tune_driver ADDRESS FOLDER SCHEDULER TRIALS LIMIT

Prints a line for each result, and at the end how far each trial came.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import schedulers as rays

from raysweep.cluster.session import connect
from raysweep.schedulers import tune as ours
from raysweep.trials.clock import SystemClock

SCHEDULERS = {
    "hyperband": lambda: ours.HyperBandScheduler(max_t=9),
    "promotion": lambda: ours.PromotionASHAScheduler(max_t=9, reduction_factor=3),
    "stopping": lambda: ours.ASHAScheduler(max_t=9, reduction_factor=3),
    "rays-hyperband": lambda: rays.HyperBandScheduler(max_t=9),
}


class Train(tune.Trainable):  # type: ignore[misc]
    """Its loss is its x and a little that falls; it can be paused and moved."""

    def setup(self, config: dict[str, Any]) -> None:
        self.x, self.steps = config["x"], 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, float]:
        SystemClock().sleep(0.05)
        self.steps += 1
        return {"loss": self.x + 1 / self.steps, "steps": self.steps}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "steps.json").write_text(json.dumps(self.steps))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.steps = json.loads((Path(checkpoint) / "steps.json").read_text())


class Say(tune.Callback):  # type: ignore[misc]
    """One line for each result."""

    def on_trial_result(self, **info: Any) -> None:
        print("result", info["result"]["training_iteration"], flush=True)


def tuner(folder: Path, scheduler: str, trials: int, limit: int) -> tune.Tuner:
    path = folder / "experiment"
    if tune.Tuner.can_restore(str(path)):
        return tune.Tuner.restore(str(path), trainable=Train)
    return tune.Tuner(
        Train,
        param_space={"x": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            scheduler=SCHEDULERS[scheduler](),
            reuse_actors=True,
            max_concurrent_trials=limit or None,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder), name=path.name, verbose=0, callbacks=[Say()]
        ),
    )


def main() -> None:
    address, folder, scheduler, trials, limit = sys.argv[1:]
    with connect(address):
        results = tuner(Path(folder), scheduler, int(trials), int(limit)).fit()
    came = {r.config["x"]: r.metrics["training_iteration"] for r in results if r.metrics}
    print("came " + json.dumps({"errors": results.num_errors, "came": sorted(came.items())}))


if __name__ == "__main__":
    main()
