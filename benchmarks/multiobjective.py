"""Hypervolume of two metrics at once, ours and the peers', on recorded trainings.

    python -m benchmarks.multiobjective --seeds 5 --seeds-of ax=1 --trials-of ax=50 \\
        --out benchmarks/results/multiobjective.parquet

Each task has two losses, e.g. the error and the logarithm of the training time. An objective is
scaled so that 0 is its best value among random configs and 1 its 90 % quantile, which is the
reference point; what a table's seeds gave is averaged. Regret is 1 − (hypervolume of the trials so
far) / (hypervolume of the known front): of the whole table, or for a surrogate of all runs
together with 5,000 random configs. Finished runs are kept under `--work`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from time import process_time as processor_s
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.peers import PEERS, Peer
from benchmarks.ranking import Table, at, interval, means, ranks
from benchmarks.recorded import DATA
from benchmarks.search import ROOT, pairs
from raysweep.cluster.surrogate import load_surrogate
from raysweep.searchers.base import Proposal
from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.setting import Setting
from raysweep.trials.goal import Goal
from raysweep.trials.pareto import front, hypervolume
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id

_GOAL = Goal((("first", "min"), ("second", "min")))
_SAMPLE = 5_000
_BUDGETS = 25, 50, 100, 200
_SURROGATES = {
    "yahpo:lcbench/167104": ("val_accuracy", "time"),
    "yahpo:lcbench/168910": ("val_accuracy", "time"),
    "yahpo:rbv2_xgboost/12": ("auc", "memory"),
    "yahpo:rbv2_xgboost/1468": ("acc", "timetrain"),
    "yahpo:rbv2_rpart/182": ("acc", "memory"),
    "yahpo:iaml_glmnet/1489": ("mmce", "nf"),
}
_TABLES = {
    "grid:nasbench201/cifar10": ("val_acc", "latency"),
    "grid:hpolib/naval_propulsion": ("val_loss", "model_size"),
    "grid:hpolib/protein_structure": ("val_loss", "train_time"),
    "grid:hpobench/vehicle": ("val_acc", "train_time"),
}
_GREATER = {"val_accuracy", "auc", "acc", "val_acc"}
_DECADES = {"time", "timetrain", "memory", "latency", "val_loss", "model_size", "train_time"}
"""Taken by their logarithm."""


class Task(NamedTuple):
    """A space, two losses, and a sample of them.

    `sample` has the losses of the whole table or of random configs, shape (n, 2); `low` and `high`
    are what becomes 0 and 1.
    """

    space: Space
    evaluate: Callable[[dict[str, Any]], np.ndarray]
    sample: np.ndarray

    @property
    def low(self) -> np.ndarray:
        """What becomes 0, shape (2,)."""
        return np.asarray(self.sample.min(axis=0))

    @property
    def high(self) -> np.ndarray:
        """What becomes 1, shape (2,): the reference point."""
        return np.asarray(np.quantile(self.sample, 0.9, axis=0))


@cache
def task(name: str, data: Path) -> Task:
    """The task called `name`."""
    return _surrogate(name, data) if name in _SURROGATES else _table(name, data)


def _surrogate(name: str, data: Path) -> Task:
    scenario, instance = name.removeprefix("yahpo:").split("/")
    model = load_surrogate(data / "yahpo" / "v1" / scenario)
    metrics = _SURROGATES[name]
    columns = [model.outputs.index(metric) for metric in metrics]

    def evaluate(config: dict[str, Any]) -> np.ndarray:
        return _losses(np.asarray(model(config, instance), float)[columns], metrics)

    stream = Stream(0, name, "sample")
    sample = np.array([evaluate(model.space.sample(stream)) for _ in range(_SAMPLE)])
    return Task(model.space, evaluate, sample)


def _table(name: str, data: Path) -> Task:
    bench, dataset = name.removeprefix("grid:").split("/")
    metrics = _TABLES[name]
    with np.load(data / "tables" / f"{bench}.npz", allow_pickle=False) as table:
        values = json.loads(str(table["space"]))
        both = [np.nanmean(np.asarray(table[f"{dataset}/{m}"], float), axis=-1) for m in metrics]
    cells = _losses(np.stack(both, axis=-1), metrics)
    space = Space.from_dict(
        {n: {"choice" if isinstance(v[0], str) else "ordinal": v} for n, v in values.items()}
    )

    def evaluate(config: dict[str, Any]) -> np.ndarray:
        return np.asarray(cells[tuple(values[n].index(config[n]) for n in values)])

    flat = cells.reshape(-1, 2)
    return Task(space, evaluate, flat[np.isfinite(flat).all(axis=1)])


def _losses(values: np.ndarray, metrics: tuple[str, str]) -> np.ndarray:
    """Values of the two metrics, last axis, as losses."""
    columns = []
    for j, metric in enumerate(metrics):
        column = values[..., j]
        if metric in _GREATER:
            column = -column
        elif metric in _DECADES:
            column = np.log10(np.maximum(column, 1e-6))
        columns.append(column)
    return np.stack(columns, axis=-1)


def run_ours(name: str, on: Task, seed: int, trials: int) -> Table:
    """One of our searchers, one trial after the other."""
    searcher = build_searcher(name, {}, Setting(on.space, seed, _GOAL, trials=trials, workers=1))
    rows = []
    for number in range(trials):
        trial, start = trial_id(number), processor_s()
        answer = searcher.ask(trial, Stream(seed, trial, "ask"))
        assert isinstance(answer, Proposal | dict)
        config = answer if isinstance(answer, dict) else answer.config
        first, second = map(float, on.evaluate(config))
        searcher.suggested(trial, config)
        searcher.tell(Report(trial, 1, 1, {"first": first, "second": second}, first, 1.0))
        searcher.end(trial, Outcome(Status.COMPLETED, 1, first))
        rows.append((number, first, second, processor_s() - start))
    return pd.DataFrame(rows, columns=["trial", "first", "second", "cpu_s"])


def run_peer(name: str, on: Task, seed: int, trials: int) -> Table:
    """One peer in its own process."""
    peer = Peer(name, on.space, seed, trials, objectives=2)
    rows, last = [], None
    try:
        for number in range(trials):
            answer = peer.ask(last)
            last = [float(loss) for loss in on.evaluate(answer.config)]
            rows.append((number, *last, answer.cpu_s))
    finally:
        peer.close()
    return pd.DataFrame(rows, columns=["trial", "first", "second", "cpu_s"])


def regrets(runs: dict[tuple[str, str, int], Table], data: Path) -> Table:
    """Hypervolume regret at the budgets; `runs` by method, task and seed."""
    parts = []
    for name in dict.fromkeys(name for _, name, _ in runs):
        on = task(name, data)
        here = {key: run for key, run in runs.items() if key[1] == name}
        points = {key: run[["first", "second"]].to_numpy() for key, run in here.items()}
        everything = np.vstack([on.sample, *points.values()])

        def volume(losses: np.ndarray, on: Task = on) -> float:
            scaled = (losses - on.low) / (on.high - on.low)
            scaled = scaled[front(scaled)]
            return hypervolume(scaled, np.ones(2))

        best = volume(everything)
        for (method, _, seed), run in here.items():
            for budget in _BUDGETS:
                if budget <= len(run):
                    regret = 1.0 - volume(points[method, name, seed][:budget]) / best
                    cpu_s = float(run["cpu_s"].mean())
                    parts.append((method, name, seed, budget - 1, regret, cpu_s))
    return pd.DataFrame(parts, columns=["method", "problem", "seed", "trial", "regret", "cpu_s"])


def _cells(options: argparse.Namespace) -> Iterator[tuple[str, str, int, int]]:
    fewer, shorter = pairs(options.seeds_of), pairs(options.trials_of)
    for seed in range(options.seeds):
        for name in (*_SURROGATES, *_TABLES):
            for method in options.methods.split(","):
                if seed < fewer.get(method, options.seeds):
                    yield method, name, seed, shorter.get(method, options.trials)


def gather(options: argparse.Namespace) -> dict[tuple[str, str, int], Table]:
    """All runs by method, task and seed, made where they are not there yet."""
    runs = {}
    for method, name, seed, trials in _cells(options):
        plain = name.replace(":", "-").replace("/", "-")
        path = options.work / method / f"{plain}-{seed}-{trials}.parquet"
        if not path.exists():
            run = run_peer if method in PEERS else run_ours
            path.parent.mkdir(parents=True, exist_ok=True)
            run(method, task(name, options.data), seed, trials).to_parquet(path, index=False)
        runs[method, name, seed] = pd.read_parquet(path)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--methods", default="gp,tpe,nsga2,optuna-nsga2,optuna-tpe,optuna-gp,ax,random"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seeds-of", default="ax=1,optuna-gp=1")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--trials-of", default="gp=100,ax=50,optuna-gp=50")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench" / "multiobjective")
    parser.add_argument("--out", type=Path, help="where to write the regrets")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    rows = regrets(gather(options), options.data)
    budgets = [b for b in _BUDGETS if (rows["trial"] == b - 1).any()]
    table = pd.DataFrame({f"@{b}": means(rows, b) for b in budgets})
    table["ms/suggestion"] = rows.groupby("method")["cpu_s"].mean() * 1e3
    print("mean hypervolume regret (0: the known front)")
    print(table.round(3).to_string())
    for budget in budgets:
        ranked = ranks(rows, budget)
        if len(ranked):
            print(f"\naverage rank after {budget}, {len(at(rows, budget).dropna())} shared runs")
            print(interval(ranked).sort_values("rank").round(2).to_string())
    if options.out:
        rows.to_parquet(options.out, index=False)


if __name__ == "__main__":
    main()
