"""Problems to search, made of recorded results of real trainings; each by name.

| name | what it is | originals |
|---|---|---|
| `yahpo:SCENARIO/INSTANCE` | surrogate fitted to real runs, at full fidelity | YAHPO Gym, arXiv 2109.03670 |
| `lcreal:DATASET` | the nearest of 2,000 configs that were really trained | LCBench, arXiv 2006.13799 |
| `grid:BENCH/DATASET` | a full grid trained with several seeds: one of them is observed, their mean scores | HPOBench, FCNet, NAS-Bench-201 |
| `bbob:FUNCTION/DIMS` | a synthetic function at its first instance, coded here | COCO, arXiv 1903.06396 |
| `coco:SUITE/NUMBER/DIMS` | COCO's own code of a function, `bbob` or `bbob-mixint` | coco-experiment |

The data are read from `../shared/bench/data` beside the project, or from where `--data` says; they
are not part of it. Losses are to be minimised; FCNet's, which span twelve decades, and bbob's are
taken by their logarithm.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.coco import load as load_coco
from benchmarks.recorded import DATA
from benchmarks.synthetic import FUNCTIONS, median_of
from raysweep.cluster.surrogate import load_surrogate
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

Config = Mapping[str, Any]

SUITES = {
    "quick": (
        "yahpo:lcbench/167104", "yahpo:lcbench/168910", "yahpo:rbv2_xgboost/12",
        "lcreal:vehicle", "grid:hpobench/vehicle",
    ),
    "dev": (
        "yahpo:lcbench/167104", "yahpo:lcbench/189905", "yahpo:lcbench/167161",
        "yahpo:lcbench/168910", "yahpo:rbv2_xgboost/12", "yahpo:rbv2_xgboost/1468",
        "yahpo:rbv2_xgboost/31", "yahpo:rbv2_rpart/182", "yahpo:iaml_glmnet/1489",
        "lcreal:vehicle", "lcreal:jannis", "lcreal:Fashion-MNIST",
        "grid:hpobench/vehicle", "grid:hpolib/naval_propulsion", "grid:nasbench201/cifar10",
        "coco:bbob/3/5", "coco:bbob/8/5", "coco:bbob/13/10",
        "coco:bbob-mixint/8/5", "coco:bbob-mixint/15/10",
    ),
    "coco": tuple(
        f"coco:{suite}/{number}/{dims}"
        for suite in ("bbob", "bbob-mixint")
        for number in (1, 3, 8, 13, 15, 21)
        for dims in (5, 10)
    ),
}  # fmt: skip


class Seen(NamedTuple):
    """One evaluation: what the searcher is told, what counts, and how long the training took."""

    observed: float
    loss: float
    cost_s: float


class Problem(NamedTuple):
    """A space, a function on it, and the scale on which regret is read.

    `best` is the least loss known, `median` that of a random config: regret is
    (loss − best) / (median − best).
    """

    name: str
    space: Space
    best: float
    median: float
    evaluate: Callable[[Config, Stream], Seen]

    def regret(self, loss: float) -> float:
        """0 is the best known, 1 a median random config."""
        return (loss - self.best) / (self.median - self.best)


def problem(name: str, data: Path = DATA) -> Problem:
    """The problem called `name`.

    Raises:
        ValueError: there is no such kind of problem.
        FileNotFoundError: its data are not there.
    """
    kind, _, rest = name.partition(":")
    maker = _KINDS.get(kind)
    if maker is None:
        raise ValueError(f"{name!r} is no problem; they begin with {', '.join(_KINDS)}")
    return maker(name, rest, data)


def _yahpo(name: str, rest: str, data: Path) -> Problem:
    scenario, instance = rest.split("/")
    surrogate = load_surrogate(data / "yahpo" / "v1" / scenario)
    known = json.loads((data / "yahpo" / "refs.json").read_text())["refs"][rest]
    sign = -1.0 if known["maximise"] else 1.0
    target, cost = surrogate.outputs.index(known["target"]), surrogate.outputs.index(surrogate.time)

    def evaluate(config: Config, stream: Stream) -> Seen:
        row = surrogate(config, instance)
        loss = sign * float(row[target])
        return Seen(loss, loss, max(0.0, float(row[cost])))

    return Problem(
        name, surrogate.space, sign * known["best"], sign * known["median"], evaluate
    )  # fmt: skip


def _lcreal(name: str, dataset: str, data: Path) -> Problem:
    import pandas as pd

    folder = data / "lcbench" / dataset
    configs = pd.read_parquet(folder / "config.parquet.gzip")
    results = pd.read_parquet(folder / "results.parquet.gzip")
    space = load_surrogate(data / "yahpo" / "v1" / "lcbench").space
    low = {"learning_rate": 1e-4, "batch_size": 16, "max_units": 64}
    high = {"learning_rate": 1e-1, "batch_size": 512, "max_units": 1024}
    edges = {
        "momentum": (0.1, 0.99), "weight_decay": (1e-5, 0.1), "num_layers": (1, 5),
        "max_dropout": (0.0, 1.0),
    }  # fmt: skip

    def unit(columns: Any) -> Any:
        logs = [
            np.log(np.asarray(columns[n], float) / low[n]) / np.log(high[n] / low[n]) for n in low
        ]
        flat = [(np.asarray(columns[n], float) - a) / (b - a) for n, (a, b) in edges.items()]
        return np.stack([*logs, *flat], axis=-1)

    points, errors = unit(configs), 100.0 - results["final_val_accuracy"].to_numpy(float)

    def evaluate(config: Config, stream: Stream) -> Seen:
        error = float(errors[((points - unit(dict(config))) ** 2).sum(-1).argmin()])
        return Seen(error, error, 60.0)

    return Problem(name, space, float(errors.min()), float(np.median(errors)), evaluate)


def _grid(name: str, rest: str, data: Path) -> Problem:
    bench, dataset = rest.split("/")
    with np.load(data / "tables" / f"{bench}.npz", allow_pickle=False) as table:
        values = json.loads(str(table["space"]))
        main, ways = str(table["main"]), json.loads(str(table["metrics"]))
        losses = np.array(table[f"{dataset}/{main}"], dtype=float)
        seconds = np.array(table[f"{dataset}/train_time"], dtype=float)
    losses = -losses if ways[main] == "maximize" else np.log10(losses)
    means = np.nanmean(losses, axis=-1)
    space = Space.from_dict(
        {n: {"choice" if isinstance(v[0], str) else "ordinal": v} for n, v in values.items()}
    )

    def evaluate(config: Config, stream: Stream) -> Seen:
        cell = tuple(values[n].index(config[n]) for n in values)
        seeds = losses[cell][np.isfinite(losses[cell])]
        drawn = stream.integer(0, max(1, len(seeds)))
        observed = float(seeds[drawn]) if len(seeds) else math.nan
        return Seen(observed, float(means[cell]), float(np.nanmean(seconds[cell])))

    return Problem(name, space, float(np.nanmin(means)), float(np.nanmedian(means)), evaluate)


def _bbob(name: str, rest: str, data: Path) -> Problem:
    function, dims = rest.split("/")
    shape = FUNCTIONS[function](int(dims))
    space = Space.from_dict({f"x{i:02d}": {"uniform": [-5.0, 5.0]} for i in range(int(dims))})

    def evaluate(config: Config, stream: Stream) -> Seen:
        value = shape(np.array([config[f"x{i:02d}"] for i in range(int(dims))]))
        return Seen(value, value, 1.0)

    return Problem(name, space, -2.0, median_of(shape, int(dims)), evaluate)


def _coco(name: str, rest: str, data: Path) -> Problem:
    suite, number, dims = rest.split("/")
    space, value, median = load_coco(suite, int(number), int(dims))

    def evaluate(config: Config, stream: Stream) -> Seen:
        loss = value(config)
        return Seen(loss, loss, 1.0)

    return Problem(name, space, -2.0, median, evaluate)


_KINDS: dict[str, Callable[[str, str, Path], Problem]] = {
    "yahpo": _yahpo, "lcreal": _lcreal, "grid": _grid, "bbob": _bbob, "coco": _coco,
}  # fmt: skip
