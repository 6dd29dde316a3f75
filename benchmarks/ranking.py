"""What runs of several methods on several problems say: regret, ranks with intervals, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers import PEERS
from raysweep.trials.streams import Stream

Table = pd.DataFrame
BUDGETS = (10, 25, 50, 100)
_DRAWS = 2_000


def at(rows: Table, budget: int) -> Table:
    """The regret after `budget` trials: problems and seeds down, methods across."""
    chosen = rows[rows["trial"] == budget - 1]
    return chosen.pivot_table(index=["problem", "seed"], columns="method", values="regret")


def means(rows: Table, budget: int) -> pd.Series[float]:
    """Each method's regret after `budget` trials: the mean over problems of the mean over seeds."""
    return at(rows, budget).groupby("problem").mean().mean()


def ranks(rows: Table, budget: int) -> Table:
    """Each method's average rank on each problem, over the seeds that all methods share."""
    return at(rows, budget).dropna().rank(axis=1).groupby("problem").mean()


def interval(ranked: Table) -> Table:
    """The mean rank of each method with its 95 % bootstrap interval over problems."""
    generator = Stream(0, "bootstrap").generator()
    values = ranked.to_numpy()
    picks = generator.integers(0, len(values), (_DRAWS, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975], axis=0)
    return pd.DataFrame(
        {"rank": values.mean(axis=0), "low": low, "high": high}, index=ranked.columns
    )


def report(rows: Table, methods: Sequence[str], out: Path | None) -> None:
    """Print the tables; with `out`, keep them and draw the curves."""
    if rows.empty:
        print("no runs")
        return
    budgets = [b for b in BUDGETS if (rows["trial"] == b - 1).any()]
    table = pd.DataFrame({f"@{b}": means(rows, b) for b in budgets})
    table["ms/suggestion"] = rows.groupby("method")["cpu_s"].mean() * 1e3
    table["runs"] = rows.groupby("method").apply(lambda g: len(g.groupby(["problem", "seed"])))
    print("mean normalised regret (0 best known, 1 median random config)")
    print(table.reindex([m for m in methods if m in table.index]).round(3).to_string())
    rows = rows.assign(family=rows["problem"].str.split("/").str[0])
    last = budgets[-1]
    for budget in budgets[-2:]:
        print(f"\nregret after {budget} by family")
        wide = at(rows, budget).reset_index()
        wide["family"] = (
            wide["problem"].str.split("/").str[0].str.replace("lcreal:.*", "lcreal", regex=True)
        )
        print(
            wide.groupby("family")[[m for m in methods if m in wide]].mean().T.round(3).to_string()
        )
        ranked = ranks(rows, budget)
        if len(ranked):
            shared = len(at(rows, budget).dropna())
            print(f"\naverage rank after {budget}, {shared} runs that all methods share")
            print(interval(ranked).sort_values("rank").round(2).to_string())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        columns = ["method", "problem", "seed", "trial", "regret", "cpu_s"]
        small = rows[columns].astype({"regret": "float32", "cpu_s": "float32"})
        small.to_parquet(out / "regret.parquet", index=False, compression="zstd")
        draw(rows, methods, out, last)


def draw(rows: Table, methods: Sequence[str], out: Path, trials: int) -> None:
    """Mean regret by trials: `regret.svg` of all, and of each searcher of ours one before them.

    A curve has the trials at which its method has been on every problem.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "raysweep"
    by_problem: Any = rows.groupby(["method", "problem", "trial"])["regret"].mean()
    grouped = by_problem.groupby(["method", "trial"])
    means: Any = grouped.mean()[grouped.size() == rows["problem"].nunique()]
    there = [method for method in methods if method in means.index.get_level_values(0)]
    curves = {method: means.loc[method] for method in there}
    ours = [method for method in there if method not in PEERS]
    _picture(curves, ours, there, trials, out / "regret.svg", (7.5, 4.5))
    for method in ours:
        shown = [method, *(["random"] if "random" in curves else [])]
        _picture(curves, [method], shown, trials, out / f"{method}.svg", (5.0, 3.0))


def _picture(
    curves: Mapping[str, Any],
    bold: Sequence[str],
    named: Sequence[str],
    trials: int,
    path: Path,
    inches: tuple[float, float],
) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=inches)
    for method, curve in curves.items():
        seen = curve[np.isfinite(curve) & (curve.index >= 4)]
        style: dict[str, Any] = {"linewidth": 2.2 if method in bold else 1.1}
        if len(seen) < len(BUDGETS) * 2:
            style["marker"] = "o"
        if method not in bold:
            style["linestyle"] = "--"
        if method in named:
            style["label"] = method
        else:
            style |= {"color": "0.8", "zorder": 1}
        axes.plot(seen.index + 1, seen.to_numpy(), **style)
    axes.set(xlabel="trials", ylabel="mean normalised regret", yscale="log", xlim=(5, trials))
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
