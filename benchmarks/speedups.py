"""What runs in simulated time say: time to a target, speedups with intervals, regret over time.

A contender's *time* on a task is the expected running time of the black-box benchmarks (Hansen, Auger,
Brockhoff, Tušar, Tušar: "Anytime Performance Assessment in Blackbox Optimization Benchmarking",
2022): all seconds that its seeds spent until they reached the target or ran out of time, divided by
how many reached it. Where none did, that counts as if one had at the very end: so a baseline that
fails looks better than it is, and its rivals' speedups smaller. A contender that never got there is no
sooner than the baseline, however short its runs were. *Reached* says how often.

A *speedup* is the baseline's time divided by the contender's, as the geometric mean over tasks, each
with the seeds that both have. Its interval is the 95 % bootstrap over tasks and, within each, seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from raysweep.trials.streams import Stream

Table = pd.DataFrame
Array = npt.NDArray[np.float64]
MARKS = (2.5, 5.0, 10.0, 20.0)
"""When regret is read: after so many mean full trainings per worker."""
_DRAWS = 2_000
_RUN = ["workers", "contender", "task", "seed"]


class Judge(NamedTuple):
    """By what runs are compared.

    Attributes:
        by: `score`, the best report so far, or `final`, its config after a full training.
        targets: regrets to be reached.
        baseline: the contender that speedups compare with.
    """

    by: str
    targets: tuple[float, ...]
    baseline: str


def summary(rows: Table, judge: Judge) -> Table:
    """A row for each run: regret at each mark (`@5`) and seconds to each target (`to 0.1`; NaN: never)."""
    found = []
    column = f"regret_{judge.by}"
    for key, run in rows.groupby(_RUN, sort=False):
        at_s, regret = run["at_s"].to_numpy(float), run[column].to_numpy(float)
        last = run.iloc[-1]
        row = dict(zip(_RUN, key, strict=True)) | {
            name: last[name] for name in ("trials", "steps", "cpu_s", "until_s", "training_s")
        }
        for mark in MARKS:
            if mark <= last["trainings"]:
                row[f"@{mark:g}"] = _regret_at(at_s, regret, mark * last["training_s"])
        for target in judge.targets:
            hits = np.flatnonzero(regret <= target)
            row[f"to {target:g}"] = at_s[hits[0]] if len(hits) else np.nan
        found.append(row)
    return pd.DataFrame(found)


def _regret_at(at_s: Array, regret: Array, moment_s: float) -> float:
    """What stood at a moment; before the first report as much as at it."""
    index = int(np.searchsorted(at_s, moment_s, side="right")) - 1
    return float(regret[max(index, 0)])


def time_s(spent_s: Array, reached: npt.NDArray[np.bool_]) -> Array:
    """Expected seconds to a target, over the last axis, the seeds."""
    total: Array = spent_s.sum(axis=-1) / np.maximum(reached.sum(axis=-1), 1)
    return total


Side = tuple[Array, npt.NDArray[np.bool_]]
"""What the seeds of one contender on one task spent, in seconds, and which reached the target."""


def _log_ratio(baseline: Side, contender: Side) -> Array:
    """The logarithm of a speedup; where the contender never got there, it is none."""
    ratio = np.log(time_s(*baseline)) - np.log(time_s(*contender))
    return np.where(contender[1].any(axis=-1), ratio, np.minimum(ratio, 0.0))


class Speedup(NamedTuple):
    """Geometric mean over `tasks` tasks, with its interval."""

    mean: float
    low: float
    high: float
    tasks: int


def speedup(runs: Table, contender: str, baseline: str, target: float) -> Speedup | None:
    """How much sooner a contender reaches the target than the baseline; None: no run in common.

    Args:
        runs: of `summary`, with one number of workers.
    """
    generator = Stream(0, "bootstrap", contender).generator()
    column = f"to {target:g}"
    chosen = runs[runs["contender"].isin([contender, baseline])]
    wide = chosen.pivot_table(index=["task", "seed"], columns="contender", values="until_s")
    if not {contender, baseline} <= set(wide.columns):
        return None
    shared = wide.dropna().index
    ratios, drawn = [], []
    for task in shared.get_level_values("task").unique():
        seeds = shared[shared.get_level_values("task") == task].get_level_values("seed")
        sides = []
        for name in (baseline, contender):
            one = chosen[(chosen["contender"] == name) & (chosen["task"] == task)]
            side = one.set_index("seed").loc[list(seeds)]
            spent_s = side[column].fillna(side["until_s"]).to_numpy(float)
            sides.append((spent_s, side[column].notna().to_numpy()))
        picks = generator.integers(0, len(seeds), (_DRAWS, len(seeds)))
        ratios.append(float(_log_ratio(*sides)))
        drawn.append(_log_ratio(*((spent_s[picks], hit[picks]) for spent_s, hit in sides)))
    if not ratios:
        return None
    table = np.array(drawn)  # (tasks, draws)
    picks = generator.integers(0, len(table), (len(table), _DRAWS))
    means = table[picks, np.arange(_DRAWS)].mean(axis=0)
    low, high = np.exp(np.quantile(means, [0.025, 0.975]))
    return Speedup(float(np.exp(np.mean(ratios))), float(low), float(high), len(ratios))


def compared(runs: Table, contenders: Sequence[str], judge: Judge) -> Table:
    """A row for each contender, with one number of workers: regrets, shares, speedups."""
    marks = [f"@{mark:g}" for mark in MARKS if f"@{mark:g}" in runs]
    rows: dict[str, dict[str, Any]] = {}
    for contender in contenders:
        own = runs[runs["contender"] == contender]
        if own.empty:
            continue
        row: dict[str, Any] = {m: f"{own.groupby('task')[m].mean().mean():.3f}" for m in marks}
        for target in judge.targets:
            row[f"reached {target:g}"] = f"{own[f'to {target:g}'].notna().mean():.0%}"
            found = speedup(runs, contender, judge.baseline, target)
            row[f"speedup {target:g}"] = (
                f"{found.mean:.2f} ({found.low:.2f}…{found.high:.2f})" if found else ""
            )
        row |= {
            "trials": f"{own['trials'].mean():,.0f}",
            "ms/trial": f"{1e3 * own['cpu_s'].sum() / own['trials'].sum():.1f}",
            "runs": len(own),
        }
        rows[contender] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def report(rows: Table, contenders: Sequence[str], judge: Judge, out: Path | None) -> None:
    """Print the tables; with `out`, keep the runs and draw regret over time."""
    if rows.empty:
        print("no runs")
        return
    runs = summary(rows, judge)
    what = {"score": "the best report", "final": "the best report's config, fully trained"}
    for workers, part in runs.groupby("workers"):
        tasks = part["task"].nunique()
        print(
            f"\n{workers} workers, {tasks} tasks; regret of {what[judge.by]} after so many mean "
            f"full trainings per worker; speedups over {judge.baseline}"
        )
        print(compared(part, contenders, judge).to_string())
        if part["contender"].value_counts().nunique() > 1:
            print("not all have all runs yet: regrets and shares are over what each has")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        runs.to_parquet(out / f"runs-{judge.by}.parquet", index=False)
        for workers, part in rows.groupby("workers"):
            _draw(part, contenders, judge, out / f"regret-{judge.by}-{workers}.svg")


def _draw(rows: Table, contenders: Sequence[str], judge: Judge, path: Path) -> None:
    """Mean regret over time, in mean full trainings per worker."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "raysweep"
    from matplotlib import pyplot as plt

    end = float(rows["trainings"].max())
    moments = np.geomspace(end / 100.0, end, 120)
    figure, axes = plt.subplots(figsize=(8.0, 5.0))
    styles = ("-", "--", "-.", ":")
    for place, contender in enumerate(contenders):
        curves: dict[str, list[list[float]]] = {}
        own = rows[rows["contender"] == contender]
        for (task, _), run in own.groupby(["task", "seed"]):
            at_s, regret = run["at_s"].to_numpy(float), run[f"regret_{judge.by}"].to_numpy(float)
            scale = float(run["training_s"].iloc[0])
            over = float(run["trainings"].iloc[0])  # beyond that nobody knows
            curve = [
                _regret_at(at_s, regret, scale * moment) if moment <= over else np.nan
                for moment in moments
            ]
            curves.setdefault(str(task), []).append(curve)
        if curves:
            mean = np.mean([np.mean(seeds, axis=0) for seeds in curves.values()], axis=0)
            axes.plot(moments, mean, styles[place // 10 % 4], label=contender, linewidth=1.4)
    title = f"{rows['workers'].iloc[0]:,} workers, {rows['task'].nunique()} tasks"
    axes.set(xlabel="mean full trainings per worker", ylabel="mean normalised regret", title=title)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0.0, min(1.0, axes.get_ylim()[1]))
    axes.legend(fontsize=7, ncols=2)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
