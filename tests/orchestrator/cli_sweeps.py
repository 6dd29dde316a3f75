"""Sweep directories and specs for the tests of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from raysweep.orchestrator.simulate import simulate
from raysweep.orchestrator.spec import SweepSpec
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.trainables.checkpoint import write_checkpoint
from raysweep.trials.clock import ManualClock

SPEC: dict[str, Any] = {
    "name": "small",
    "trainable": "model:train",
    "space": {
        "lr": {"loguniform": [1e-4, 1e-1]},
        "optimizer": {"choice": ["sgd", "adam"]},
        "momentum": {"uniform": [0.0, 0.99], "when": {"optimizer": "sgd"}},
    },
    "metric": "loss",
    "mode": "min",
    "scheduler": {"name": "asha", "max_t": 9},
    "resources": {"cpu": 1},
    "budget": {"trials": 20, "wall_time": "1h"},
    "storage": "sweeps",
}
CODE = """
def train(config):
    for step in range(1, 10):
        yield {"loss": config["lr"] + 1 / step, "note": "fine"}
"""
SLOW = """
import threading

def train(config, trial):
    trial.on_save(lambda folder: (folder / "step").write_text("x"))
    for step in range(trial.step, 1000):
        threading.Event().wait(0.05)
        yield {"loss": config["lr"]}
"""
ANGRY = """
def train(config):
    yield {"loss": config["lr"]}
    raise ValueError("too \\x1b[31mangry\\x1b[0m to go on")
"""


def write_spec(folder: Path, code: str = CODE, **changes: Any) -> Path:
    """`sweep.yaml` and `model.py` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(code)
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SPEC, **changes}))
    return path


def simulated_sweep(folder: Path, *, empty: bool = False, **changes: Any) -> Path:
    """A sweep directory as a run on four simulated workers leaves it, or as it is made."""
    spec = SweepSpec.from_dict({**SPEC, **changes}, folder)
    path = spec.storage_path / spec.name
    manifest = {
        "name": spec.name,
        "seed": spec.seed,
        "spec": spec.to_dict(),
        "folder": str(folder),
        "metrics": dict(spec.goal.metrics),
        "columns": spec.parsed_space.columns(),
    }
    store = Store.create(path, manifest, clock=ManualClock(), fsync="os")
    if not empty:
        simulate(spec, workers=4, journal=store)
    store.close()
    for row in read(path).arrow("trials").to_pylist():
        if row["checkpoint"] is not None:  # the simulator makes none
            attempt, step = map(int, row["checkpoint"].rsplit("/", 1)[-1].split("-"))
            write_checkpoint(path, row["trial_id"], attempt, step, _save)
    return path


def _save(folder: Path) -> None:
    (folder / "weights.txt").write_text("1 2 3")
