"""The benchmarks of recorded learning curves, by name.

| name | what it is | steps | originals |
|---|---|---|---|
| `lcbench:TASK` | surrogate of 2,000 networks trained on an OpenML task | 50 epochs | YAHPO Gym, arXiv 2109.03670 |
| `lcreal:DATASET` | those networks themselves, where their whole curves are at hand | 50 epochs | LCBench, arXiv 2006.13799 |
| `taskset:TASK` | 1,000 settings of Adam on a small network; a diverged loss is NaN | 50 evaluations | TaskSet, arXiv 2002.11887 |

The last two know their configs and nothing between them. TaskSet recorded no times: each of its steps
counts as one second. All begin with the untrained network, which is not a step here, and LCBench
ends with an odd row, which is none either. `time` is a running maximum: the surrogate's goes
backwards at times. What is not finite ranks last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.cluster.recorded import ROW, RecordedCurves, Recording, Track
from raysweep.cluster.session import bench_data
from raysweep.cluster.surrogate import load_surrogate
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.names import nearest
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

Array = npt.NDArray[np.float64]

MAX_T = 50
_LEAST_S = 1e-3
"""A step takes some time, whatever a surrogate says of it."""
_DRAWS = 400
"""Random configs whose trainings give a surrogate's mean time; best and median, where unknown."""
_ACCURACY = Goal((("val_accuracy", "max"),))
_ENTROPY = Goal((("val_cross_entropy", "min"),))
_LOSS = Goal((("loss", "min"),))
_ADAM = {
    "learning_rate": {"loguniform": [1e-8, 10.0]},
    "one_minus_beta1": {"loguniform": [1e-4, 1.0]},
    "one_minus_beta2": {"loguniform": [1e-6, 1.0]},
    "epsilon": {"loguniform": [1e-10, 1e3]},
    "l1": {"loguniform": [1e-8, 10.0]},
    "l2": {"loguniform": [1e-8, 10.0]},
    "linear_decay": {"loguniform": [1e-7, 1e-4]},
    "exponential_decay": {"loguniform": [1e-6, 1e-3]},
}
"""TaskSet's family adam8p, with the betas by their distance from 1."""
_NETWORK = {
    "batch_size": {"lograndint": [16, 512]},
    "learning_rate": {"loguniform": [1e-4, 1e-1]},
    "momentum": {"uniform": [0.1, 0.99]},
    "weight_decay": {"uniform": [1e-5, 1e-1]},
    "num_layers": {"randint": [1, 5]},
    "max_units": {"lograndint": [64, 1024]},
    "max_dropout": {"uniform": [0.0, 1.0]},
}
"""LCBench's hyperparameters."""
_ORIGINALS = {
    "lcbench": "the folder lcbench of https://github.com/slds-lmu/yahpo_data as yahpo/v1/lcbench",
    "lcreal": (
        "what https://figshare.com/projects/LCBench/74151 has of a data set as "
        "lcbench/DATASET/{config,metrics}.parquet.gzip"
    ),
    "taskset": (
        "the Adam curves of TaskSet (https://github.com/google-research/google-research, task_set; "
        "also in https://github.com/machinelearningnuremberg/DyHPO) as tables/taskset.npz, with "
        "arrays tasks, hp, hp_names, splits and loss (task, config, split, step)"
    ),
}


def recording(name: str, data: Path | None = None) -> Recording:
    """The benchmark called `name`, e.g. `lcbench:167104`.

    Args:
        name: kind and task.
        data: the folder of recorded data; None: where the environment says.

    Raises:
        SpecError: there is no such benchmark, its data are not there, or cannot be read.
    """
    kind, _, task = name.partition(":")
    if kind not in _KINDS:
        raise SpecError(
            f"{name!r} is no recorded benchmark; {nearest(kind, _KINDS)}. Write one as KIND:TASK, "
            f"e.g. lcbench:167104"
        )
    folder = bench_data() if data is None else data
    try:
        return _load(kind, task, folder)
    except FileNotFoundError as error:
        raise SpecError(
            f"{name}: there is no {error.filename}; recorded benchmarks are read from "
            f"$RAYSWEEP_BENCH_DATA, which is now {folder}, and are no part of raysweep: put there "
            f"{_ORIGINALS[kind]}"
        ) from None


@lru_cache(maxsize=16)
def _load(kind: str, task: str, data: Path) -> Recording:
    return _KINDS[kind](f"{kind}:{task}", task, data)


def _lcbench(name: str, task: str, data: Path) -> Recording:
    surrogate = load_surrogate(data / "yahpo" / "v1" / "lcbench")
    if task not in surrogate.instances:
        raise SpecError(f"lcbench: there is no task {task!r}; {nearest(task, surrogate.instances)}")
    accuracy, time = surrogate.outputs.index("val_accuracy"), surrogate.outputs.index("time")
    epochs = range(2, MAX_T + 2)  # the model calls the untrained network epoch 1

    def track(config: Mapping[str, Any]) -> Track:
        rows = surrogate.run(config, task, epochs).astype(float)
        return Track({"val_accuracy": rows[:, accuracy].tolist()}, _steps(rows[:, time]).tolist())

    drawn = [track(surrogate.space.sample(Stream(0, "scale", i))) for i in range(_DRAWS)]
    mean_s = float(np.mean([sum(one.seconds) for one in drawn]))
    best, median = _known(data, task) or _scale(drawn)
    curves = RecordedCurves(track)
    return Recording(name, surrogate.space, _ACCURACY, MAX_T, curves, best, median, mean_s)


def _known(data: Path, task: str) -> tuple[float, float] | None:
    """The best and the median score of a task that long searches have looked at."""
    path = data / "yahpo" / "refs.json"
    found = json.loads(path.read_text())["refs"].get(f"lcbench/{task}") if path.is_file() else None
    return (-found["best"], -found["median"]) if found else None


def _scale(drawn: list[Track]) -> tuple[float, float]:
    values = np.array([track.metrics["val_accuracy"] for track in drawn], float)
    return -float(values.max()), -float(np.median(values[:, -1]))


def _steps(elapsed_s: Array) -> Array:
    """Seconds of each step, from what had elapsed at its end."""
    elapsed_s = np.maximum.accumulate(np.maximum(elapsed_s, 0.0), axis=-1)
    return np.maximum(np.diff(elapsed_s, axis=-1, prepend=0.0), _LEAST_S)


def _lcreal(name: str, dataset: str, data: Path) -> Recording:
    import pandas as pd

    folder = data / "lcbench"
    whole = sorted(path.parent.name for path in folder.glob("*/metrics.parquet.gzip"))
    if whole and dataset not in whole:
        raise SpecError(
            f"lcreal: there are no whole curves of {dataset!r}; {nearest(dataset, whole)}"
        )
    configs = _read_parquet(folder / dataset / "config.parquet.gzip")[list(_NETWORK)]
    columns = ["Train/val_cross_entropy", "time"]
    metrics = _read_parquet(folder / dataset / "metrics.parquet.gzip")[columns]
    rows = pd.DataFrame(metrics).unstack("epoch")
    epochs = range(1, MAX_T + 1)  # 0 is the untrained network
    seconds = _steps(rows["time"][list(epochs)].to_numpy(float))
    entropy = rows["Train/val_cross_entropy"][list(epochs)].to_numpy(float)
    pool = tuple(_native(row) for row in configs.to_dict("records"))
    return _table(name, Space.from_dict(_NETWORK), _ENTROPY, pool, entropy, seconds)


def _read_parquet(path: Path) -> Any:
    import pandas as pd

    if not path.is_file():
        raise FileNotFoundError(2, "no such file", str(path))
    return pd.read_parquet(path)


def _native(row: Mapping[Any, Any]) -> dict[str, Any]:
    whole = {"batch_size", "num_layers", "max_units"}
    return {str(n): int(v) if n in whole else float(v) for n, v in row.items()}


def _taskset(name: str, task: str, data: Path) -> Recording:
    with np.load(data / "tables" / "taskset.npz", allow_pickle=False) as table:
        tasks = [
            str(one).removeprefix("FixedTextRNNClassification_imdb_") for one in table["tasks"]
        ]
        if task not in tasks:
            raise SpecError(f"taskset: there is no task {task!r}; {nearest(task, tasks)}")
        valid = [str(split) for split in table["splits"]].index("valid")
        loss = np.array(table["loss"][tasks.index(task)][:, valid, 1 : MAX_T + 1], float)
        settings = np.array(table["hp"], float)
        names = [str(one) for one in table["hp_names"]]
    pool = tuple(_adam(dict(zip(names, row, strict=True))) for row in settings.tolist())
    return _table(name, Space.from_dict(_ADAM), _LOSS, pool, loss, np.ones_like(loss))


def _adam(setting: dict[str, float]) -> dict[str, float]:
    flipped = {f"one_minus_{beta}": 1.0 - setting.pop(beta) for beta in ("beta1", "beta2")}
    return {**setting, **flipped}


def _table(
    name: str,
    space: Space,
    goal: Goal,
    pool: tuple[dict[str, Any], ...],
    values: Array,
    seconds: Array,
) -> Recording:
    """A benchmark of `pool`, whose metric and seconds by step have the shape (configs, steps)."""
    scores = np.where(np.isfinite(values), -values if goal.mode == "max" else values, np.inf)

    def track(config: Mapping[str, Any]) -> Track:
        row = config[ROW]
        return Track({goal.metric: values[row].tolist()}, seconds[row].tolist())

    best, median = float(scores.min()), float(np.median(scores[:, -1]))
    mean_s = float(seconds.sum(axis=1).mean())
    steps = values.shape[1]
    return Recording(name, space, goal, steps, RecordedCurves(track), best, median, mean_s, pool)


_KINDS: dict[str, Callable[[str, str, Path], Recording]] = {
    "lcbench": _lcbench, "lcreal": _lcreal, "taskset": _taskset,
}  # fmt: skip
