"""What earlier sweeps of other tasks are worth: leave one task out, start from the others.

    python -m benchmarks.transfer

Tasks are LCBench's: surrogates of them (`lcbench`) and tables of trainings that really took place
(`lcreal`). For each task and seed, the earlier sweeps are what `tpe` found in `--earlier` trials on
each other task of the same family; then `transfer` searches the task that was left out, beside
searchers that start cold. Two adversarial cases show what misleading sweeps cost: their scores
negated (`transfer:negated`), or shuffled among their configs (`transfer:shuffled`). Regret is
(loss − best known) / (median of random − best known) of the best config so far. A difference's
interval is a 95 % bootstrap over tasks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks.problems import problem
from benchmarks.ranking import Table
from benchmarks.recorded import DATA
from benchmarks.search import GOAL, Cell, run_ours
from raysweep.searchers.base import Proposal
from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.setting import Earlier, Setting
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id

BUDGETS = (5, 10, 25, 50)
COLD = ("random", "tpe", "gp")
WARM = ("transfer", "transfer:negated", "transfer:shuffled")
RESULTS = Path(__file__).resolve().parent / "results" / "transfer.json"
FAMILIES = {
    "lcbench": tuple(
        f"yahpo:lcbench/{task}"
        for task in (
            "167104", "189905", "168335", "167185", "167161", "168910", "168330", "167149",
            "126026", "189865", "34539", "167201",
        )
    ),
    "lcreal": tuple(
        f"lcreal:{task}"
        for task in (
            "APSFailure", "Fashion-MNIST", "adult", "bank-marketing", "christine", "covertype",
            "fabert", "jannis", "kc1", "nomao", "segment", "vehicle",
        )
    ),
}  # fmt: skip


@cache
def sweep_of(task: str, seed: int, trials: int, data: Path) -> Earlier:
    """An earlier sweep of `task`: what `tpe` tried, and its scores."""
    on = problem(task, data)
    seed += 1_000  # no cold run repeats it
    searcher = build_searcher("tpe", {}, Setting(on.space, seed, GOAL, trials=trials))
    configs, scores = [], []
    for number in range(trials):
        trial = trial_id(number)
        answer = searcher.ask(trial, Stream(seed, trial, "ask"))
        assert isinstance(answer, Proposal)
        seen = on.evaluate(answer.config, Stream(seed, trial, "noise"))
        score = seen.observed if np.isfinite(seen.observed) else WORST
        searcher.suggested(trial, answer.config)
        searcher.tell(Report(trial, 1, 1, {}, score, seen.cost_s))
        searcher.end(trial, Outcome(Status.COMPLETED, 1, score))
        configs.append(answer.config)
        scores.append(score)
    return Earlier(task, tuple(configs), tuple(scores))


def misled(sweep: Earlier, how: str, seed: int) -> Earlier:
    """The same configs with scores that say the contrary, or nothing."""
    if how == "negated":
        return sweep._replace(scores=tuple(-score for score in sweep.scores))
    if how == "shuffled":
        order = Stream(seed, sweep.name, "shuffle").generator().permutation(len(sweep.scores))
        return sweep._replace(scores=tuple(sweep.scores[i] for i in order))
    return sweep


def run(cell: Cell, tasks: tuple[str, ...], earlier: int, data: Path) -> Table:
    """One method on the task that is left out; its rows with the regret so far."""
    on = problem(cell.problem, data)
    name, _, how = cell.method.partition(":")
    sweeps: tuple[Earlier, ...] = ()
    options: dict[str, Any] = {}
    if name == "transfer":
        others = [task for task in tasks if task != cell.problem]
        sweeps = tuple(
            misled(sweep_of(task, cell.seed, earlier, data), how, cell.seed) for task in others
        )
        options = {"sweeps": others}
    rows = run_ours(cell, on, name, options, sweeps)
    regret = pd.Series([on.regret(loss) for loss in rows["loss"]])
    rows["regret"] = regret.fillna(np.inf).cummin()
    return rows.assign(method=cell.method, problem=cell.problem, seed=cell.seed)


def cells(options: argparse.Namespace) -> Iterator[tuple[str, Cell]]:
    """All runs, each with its family; the methods in turn on each task."""
    for seed in range(options.seeds):
        for family in options.families:
            for task in FAMILIES[family][: options.tasks]:
                for method in options.methods:
                    yield family, Cell(method, task, seed, BUDGETS[-1])


def summary(rows: Table) -> list[dict[str, Any]]:
    """Per family and method: the mean regret at each budget, and what it is against `gp`."""
    found = []
    for (family, method), part in rows.groupby(["family", "method"], sort=False):
        row: dict[str, Any] = {"family": family, "method": method}
        row["ms_per_suggestion"] = round(float(part["cpu_s"].mean()) * 1e3, 2)
        row["runs"] = part.groupby(["problem", "seed"]).ngroups
        gp = rows[(rows["family"] == family) & (rows["method"] == "gp")]
        for budget in BUDGETS:
            own, theirs = (
                one[one["trial"] == budget - 1].groupby("problem")["regret"].mean()
                for one in (part, gp)
            )
            row[f"regret@{budget}"] = round(float(own.mean()), 4)
            if len(theirs) and method != "gp":
                low, high = interval((own - theirs).to_numpy())
                row[f"less_gp@{budget}"] = [round(low, 4), round(high, 4)]
        found.append(row)
    return found


def interval(differences: Any) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean."""
    picks = (
        Stream(0, "bootstrap").generator().integers(0, len(differences), (2_000, len(differences)))
    )
    low, high = np.quantile(differences[picks].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def show(found: list[dict[str, Any]]) -> None:
    """The table as Markdown: regrets, and in brackets the interval of the difference to `gp`."""
    console = Console(width=200)
    heads = ["family", "method", *(f"@{b}" for b in BUDGETS), "CPU ms a suggestion", "runs"]
    console.print("| " + " | ".join(heads) + " |", markup=False)
    console.print("|" + "---|" * len(heads), markup=False)
    for row in found:
        fields = [row["family"], row["method"]]
        for budget in BUDGETS:
            apart = row.get(f"less_gp@{budget}")
            text = "" if apart is None else f" ({apart[0]:+.3f} … {apart[1]:+.3f})"
            fields.append(f"{row[f'regret@{budget}']:.3f}{text}")
        fields += [f"{row['ms_per_suggestion']:.0f}", str(row["runs"])]
        console.print("| " + " | ".join(fields) + " |", markup=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--methods", default=",".join((*COLD, *WARM)))
    parser.add_argument("--tasks", type=int, default=12, help="the first so many of each family")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--earlier", type=int, default=60, help="trials of each earlier sweep")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    options.families = options.families.split(",")
    options.methods = options.methods.split(",")
    parts = []
    for family, cell in cells(options):
        tasks = FAMILIES[family][: options.tasks]
        rows = run(cell, tasks, options.earlier, options.data)
        parts.append(rows.assign(family=family))
    table = pd.concat(parts, ignore_index=True)
    found = summary(table)
    show(found)
    kept = table[table["trial"].isin([b - 1 for b in BUDGETS])]
    runs = kept[["family", "method", "problem", "seed", "trial", "regret"]].round({"regret": 5})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    record = {"summary": found, "runs": runs.to_dict("records")}
    options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
