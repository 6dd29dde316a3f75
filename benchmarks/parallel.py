"""What a searcher loses by being asked before it knows: regret after as many trials, by workers.

    python -m benchmarks.parallel --out benchmarks/results/parallel.parquet

Trials run side by side on simulated workers, each for a lognormal time (median 1, log-sd 0.5); a
worker that is free is given a new config at once, whatever that costs to find. Trials count in the
order in which they end. Regret is that of `benchmarks.search`, of the best config so far. Finished
runs are kept under `--work`, so a second call goes on where the first stopped.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections.abc import Iterator
from pathlib import Path
from time import process_time as processor_s
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.problems import Problem, Seen, problem
from benchmarks.recorded import DATA
from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.setting import Setting
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, TrialId, trial_id

Table = pd.DataFrame
WORK = Path(__file__).resolve().parent.parent / ".bench" / "parallel"
PROBLEMS = (
    "yahpo:lcbench/167104,yahpo:rbv2_xgboost/12,lcreal:vehicle,grid:hpobench/vehicle,"
    "bbob:rosenbrock/5"
)
SHOWN = (25, 50, 100, 200, 300, 400, 512)
_SIGMA = 0.5


class Cell(NamedTuple):
    """One run: a searcher with so many workers on a problem with a seed."""

    method: str
    workers: int
    problem: str
    seed: int
    trials: int

    def path(self, work: Path) -> Path:
        """Where its rows are kept."""
        plain = self.problem.replace(":", "-").replace("/", "-")
        return work / f"{self.method}@{self.workers}-{plain}-{self.seed}-{self.trials}.parquet"


class Running(NamedTuple):
    """A trial on a worker, ordered by when it ends."""

    ends: float
    number: int
    trial: TrialId
    seen: Seen


def run(cell: Cell, on: Problem) -> Table:
    """The trials in the order in which they end: loss, when, and the processor time of asking."""
    goal = Goal((("loss", "min"),))
    setting = Setting(on.space, cell.seed, goal, trials=cell.trials, workers=cell.workers)
    searcher = build_searcher(cell.method, {}, setting)
    running: list[Running] = []
    rows: list[tuple[int, float, float, float]] = []
    asked, now, spent_s = 0, 0.0, 0.0
    while len(rows) < cell.trials:
        while len(running) < cell.workers and asked < cell.trials:
            begun = processor_s()
            heapq.heappush(running, _started(searcher, on, cell.seed, asked, now))
            spent_s += processor_s() - begun
            asked += 1
        now, _, trial, seen = heapq.heappop(running)
        _end(searcher, trial, seen)
        rows.append((len(rows), seen.loss, now, spent_s))
    return pd.DataFrame(rows, columns=["trial", "loss", "at", "cpu_s"])


def _started(searcher: Searcher, on: Problem, seed: int, number: int, now: float) -> Running:
    trial = trial_id(number)
    answer = searcher.ask(trial, Stream(seed, trial, "ask"))
    config = answer.config if isinstance(answer, Proposal) else answer
    assert isinstance(config, dict), "the problems' spaces never run out"
    searcher.suggested(trial, config)
    lasts = Stream(seed, trial, "duration").lognormal(1.0, _SIGMA)
    return Running(now + lasts, number, trial, on.evaluate(config, Stream(seed, trial, "noise")))


def _end(searcher: Searcher, trial: TrialId, seen: Seen) -> None:
    score = seen.observed if math.isfinite(seen.observed) else WORST
    searcher.tell(Report(trial, 1, 1, {"loss": seen.observed}, score, seen.cost_s))
    status = Status.COMPLETED if score < WORST else Status.FAILED
    searcher.end(trial, Outcome(status, 1, score))


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """All runs: seed by seed, problem by problem, the methods in turn."""
    fewer = _pairs(options.trials_of)
    for seed in range(options.seeds):
        for name in options.problems.split(","):
            for method in options.searchers.split(","):
                for workers in map(int, options.workers.split(",")):
                    trials = fewer.get(f"{method}@{workers}", options.trials)
                    yield Cell(method, workers, name, seed, trials)


def _pairs(text: str) -> dict[str, int]:
    return {name: int(count) for name, count in (p.split("=") for p in text.split(",") if p)}


def gather(options: argparse.Namespace) -> Table:
    """The rows of all runs at the trials that are shown, made where they are not there yet."""
    parts = []
    for cell in cells(options):
        path = cell.path(options.work)
        on = problem(cell.problem, options.data)
        if not path.exists():
            if options.only_stored:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            run(cell, on).to_parquet(path, index=False)
            print(f"{cell.method}@{cell.workers} {cell.problem} {cell.seed}", flush=True)
        rows = pd.read_parquet(path)
        losses = rows["loss"].fillna(math.inf).cummin().to_numpy()
        rows["regret"] = np.array([on.regret(float(loss)) for loss in losses])
        shown = rows[rows["trial"].isin([count - 1 for count in SHOWN])]
        facts: dict[str, Any] = cell._asdict()
        del facts["trials"]
        parts.append(shown.drop(columns="loss").assign(**facts))
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(trial=rows["trial"] + 1)


def report(rows: Table) -> None:
    """Mean regret over problems and seeds, and how long the trials took side by side."""
    keys = ["method", "workers"]
    mean = rows.pivot_table(index=keys, columns="trial", values="regret", sort=False)
    print("mean normalised regret (0 best known, 1 median random config) after so many trials")
    print(mean.round(3).to_string(na_rep="-"))
    last = rows.sort_values("trial").groupby([*keys, "problem", "seed"]).last().reset_index()
    last["ms/suggestion"] = 1e3 * last["cpu_s"] / last["trial"]
    print("\nafter the last of them: trials, trial times passed, processor time, runs")
    grouped = last.groupby(keys, sort=False)
    table = grouped[["trial", "at", "ms/suggestion"]].mean().round(1)
    print(table.assign(runs=grouped.size()).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--searchers", default="random,tpe,auto,gp")
    parser.add_argument("--workers", default="1,16,256")
    parser.add_argument("--problems", default=PROBLEMS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=512)
    parser.add_argument(
        "--trials-of",
        default="auto@1=100,auto@16=100,gp@1=300,gp@16=100",
        help="fewer trials for some: METHOD@WORKERS=COUNT",
    )
    parser.add_argument("--work", type=Path, default=WORK, help="where finished runs are kept")
    parser.add_argument(
        "--only-stored", action="store_true", help="run nothing, show what is there"
    )
    parser.add_argument("--out", type=Path, help="where to write the table")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    rows = gather(options)
    report(rows)
    if options.out:
        rows.to_parquet(options.out, index=False, compression="zstd")


if __name__ == "__main__":
    main()
