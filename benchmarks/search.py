"""How good the searchers are, ours and the peers, on recorded real problems.

    python -m benchmarks.search --suite dev --searchers auto,gp,tpe \\
        --peers optuna,hyperopt,hebo,ax,smac,random --seeds 10 --seeds-of ax=1,hebo=1

Problem by problem and seed by seed, all methods take their turn with the same budget. Every
finished run is written at once under `--work`, so a second call goes on where the first stopped;
`--fresh` runs ours again. `--kept` names the table of an earlier report: what peers did there
counts where it has not been run here. Regret is (loss − best known) / (median of random − best known) of the
best config so far, by its mean loss where training is noisy; peers see the noisy one.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from time import process_time as processor_s
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.peers import FAMILIES, PEERS, Peer
from benchmarks.problems import SUITES, Problem, problem
from benchmarks.ranking import Table, report
from benchmarks.recorded import DATA
from raysweep.searchers.base import Proposal
from raysweep.searchers.catalog import SEARCHERS, build_searcher
from raysweep.searchers.setting import Earlier, Setting
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id

GOAL = Goal((("loss", "min"),))
ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".bench" / "search"


class Cell(NamedTuple):
    """One run: a method on a problem with a seed."""

    method: str
    problem: str
    seed: int
    trials: int

    def path(self, work: Path) -> Path:
        """Where its rows are kept."""
        plain = self.problem.replace(":", "-").replace("/", "-")
        return work / self.method / f"{plain}-{self.seed}-{self.trials}.parquet"


def run_ours(
    cell: Cell,
    on: Problem,
    name: str,
    options: dict[str, Any],
    earlier: tuple[Earlier, ...] = (),
) -> Table:
    """One of our searchers, one trial after the other."""
    setting = Setting(on.space, cell.seed, GOAL, trials=cell.trials, workers=1, earlier=earlier)
    searcher = build_searcher(name, options, setting)
    rows = []
    for number in range(cell.trials):
        trial = trial_id(number)
        start = processor_s()
        answer = searcher.ask(trial, Stream(cell.seed, trial, "ask"))
        cpu_s = processor_s() - start
        config = answer.config if isinstance(answer, Proposal) else answer
        assert isinstance(config, dict), "the problems' spaces never run out"
        seen = on.evaluate(config, Stream(cell.seed, trial, "noise"))
        score = seen.observed if math.isfinite(seen.observed) else WORST
        start = processor_s()
        searcher.suggested(trial, config)
        searcher.tell(Report(trial, 1, 1, {"loss": seen.observed}, score, seen.cost_s))
        status = Status.COMPLETED if score < WORST else Status.FAILED
        searcher.end(trial, Outcome(status, 1, score))
        rows.append((number, seen.loss, seen.cost_s, cpu_s + processor_s() - start))
    return _table(rows)


def run_peer(cell: Cell, on: Problem) -> Table:
    """One peer in its own process."""
    peer = Peer(cell.method, on.space, cell.seed, cell.trials)
    rows, last = [], None
    try:
        for number in range(cell.trials):
            answer = peer.ask(last)
            noise = Stream(cell.seed, trial_id(number), "noise")
            seen = on.evaluate(answer.config, noise)
            last = seen.observed if math.isfinite(seen.observed) else math.nan
            rows.append((number, seen.loss, seen.cost_s, answer.cpu_s))
    finally:
        peer.close()
    return _table(rows)


def _table(rows: list[tuple[int, float, float, float]]) -> Table:
    return pd.DataFrame(rows, columns=["trial", "loss", "cost_s", "cpu_s"])


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """All runs in their order: problem by problem, seed by seed, the methods in turn."""
    fewer, shorter = pairs(options.seeds_of), pairs(options.trials_of)
    for seed in range(options.seeds):
        for name in options.problems:
            for method in options.methods:
                if seed < fewer.get(method, options.seeds):
                    yield Cell(method, name, seed, shorter.get(method, options.trials))


def pairs(text: str) -> dict[str, int]:
    """`ax=1,hebo=2` by name."""
    return {name: int(count) for name, count in (p.split("=") for p in text.split(",") if p)}


def _methods(options: argparse.Namespace) -> list[str]:
    peers = [
        p for given in options.peers.split(",") if given for p in FAMILIES.get(given, (given,))
    ]
    unknown = [p for p in peers if p not in PEERS]
    if unknown:
        raise SystemExit(f"no peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    return [*(s for s in options.searchers.split(",") if s), *peers]


def _run(cell: Cell, options: argparse.Namespace) -> Table:
    on = problem(cell.problem, options.data)
    if cell.method in PEERS:
        return run_peer(cell, on)
    name, _, given = cell.method.partition("@")
    if name not in SEARCHERS:
        raise SystemExit(f"no searcher {name!r}; there are {', '.join(SEARCHERS)}")
    chosen = dict(pair.split("=") for pair in given.split("+") if pair)
    return run_ours(cell, on, name, {k: _value(v) for k, v in chosen.items()})


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def gather(options: argparse.Namespace) -> Table:
    """The rows of all runs, made where they are not there yet."""
    parts = []
    kept = _kept(options.kept)
    for cell in cells(options):
        path = cell.path(options.work)
        if not path.exists() or (options.fresh and cell.method not in PEERS):
            if (cell.method, cell.problem, cell.seed) in kept:
                parts.append(kept[cell.method, cell.problem, cell.seed])
                continue
            if options.only_stored:
                continue
            try:
                table = _run(cell, options)
            except (RuntimeError, FileNotFoundError) as error:
                print(f"{cell.method} on {cell.problem}: {str(error)[-300:]}", flush=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            table.to_parquet(path, index=False)
        rows = pd.read_parquet(path)
        on = problem(cell.problem, options.data)
        regret: Any = on.regret(rows["loss"])  # type: ignore[arg-type]  # a column at once
        rows["regret"] = regret.fillna(math.inf).cummin()
        parts.append(rows.assign(method=cell.method, problem=cell.problem, seed=cell.seed))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _kept(path: Path | None) -> dict[tuple[Any, ...], Table]:
    """The peers' rows in the table of an earlier report, by method, problem and seed."""
    if path is None:
        return {}
    rows = pd.read_parquet(path)
    runs = rows[rows["method"].isin(PEERS)].groupby(["method", "problem", "seed"])
    return {cell: part for cell, part in runs if isinstance(cell, tuple)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--suite", default="dev", help=f"one of {', '.join(SUITES)}")
    parser.add_argument("--on", default="", help="problems by name, in the place of a suite")
    parser.add_argument(
        "--searchers", default="auto,gp,tpe", help="ours: NAME or NAME@option=value"
    )
    parser.add_argument("--peers", default="optuna,hyperopt,hebo,ax,smac,random")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seeds-of", default="", help="fewer seeds for dear methods: ax=1,hebo=1")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--trials-of", default="", help="fewer trials for dear methods: hebo=50")
    parser.add_argument("--work", type=Path, default=WORK, help="where finished runs are kept")
    parser.add_argument("--kept", type=Path, help="an earlier report's regret.parquet")
    parser.add_argument("--out", type=Path, help="where to write the table and the pictures")
    parser.add_argument("--fresh", action="store_true", help="run ours again")
    parser.add_argument(
        "--only-stored", action="store_true", help="run nothing, report what is there"
    )
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    options.problems = [p for p in options.on.split(",") if p] or list(SUITES[options.suite])
    options.methods = _methods(options)
    report(gather(options), options.methods, options.out)


if __name__ == "__main__":
    main()
