"""How soon rules and searchers find good configs on recorded learning curves, ours and the peers'.

    python -m benchmarks.multifidelity --suite dev --workers 4,32 --seeds 10 \\
        --schedulers fifo,asha,asha-stopping,hyperband,median --searchers random,tpe,auto \\
        --peers ray-asha/random,ray-hyperband/random,optuna-hyperband/optuna-tpe

Everything but the training is real, and steps take their recorded seconds (`benchmarks.contest`); a
contender is a rule with a searcher (`benchmarks.contenders`). All get the same seeds and the same
time: `--trainings` times the mean seconds of a random config's full training, on each worker;
`--trainings-of` gives single ones longer, so that a slow baseline has its chance to reach the target.
Finished runs are written at once under `--work`, so a second call goes on where the first stopped;
`--fresh` runs ours again.

Regret is (score - best known) / (median of random configs, fully trained - best known). It is that of
the best report so far, at whatever step (`--judge score`), or of that report's config after a full
training (`--judge final`). A run has reached best + ε when its regret is at most `--targets`, 0.1 and
0.05: ε is that share of the way from the best known score to a median random one.

Defaults and `auto` were chosen while looking at `--suite dev`; at `--suite unseen` nobody looked.

A task that has a list of configs only is left out where the workers could use up a quarter of it by
full trainings.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.contenders import PEERS, check, run
from benchmarks.contest import Contest, Table
from benchmarks.recorded import DATA
from benchmarks.speedups import Judge, report
from raysweep.cluster.recorded import Recording
from raysweep.cluster.recordings import recording
from raysweep.trials.errors import SpecError

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".bench" / "multifidelity"
SUITES = {
    "quick": ("lcbench:167104", "taskset:patch128_LSTM128_avg_bs64"),
    "dev": (
        "lcbench:167104", "lcbench:189905", "lcbench:168335", "lcbench:167185", "lcbench:167161",
        "lcbench:168910", "lcreal:blood-transfusion-service-center",
        "taskset:patch128_LSTM128_avg_bs64", "taskset:patch32_GRU64_avg_bs128",
        "taskset:patch32_IRNN64_relu_last_bs128",
    ),
    "unseen": (
        "lcbench:168330", "lcbench:167149", "lcbench:126026", "lcbench:189865", "lcbench:34539",
        "lcbench:167201", "taskset:patch128_LSTM128_embed128_bs64",
        "taskset:patch32_LSTM128_bs128", "taskset:patch32_VRNN64_relu_avg_bs128",
    ),
}  # fmt: skip
_SHARE = 4
"""A list of configs must hold that many times what full trainings would use of it."""


class Cell(NamedTuple):
    """One run: a contender on a task with so many workers and a seed."""

    task: str
    workers: int
    seed: int
    contender: str
    trainings: float
    charge: bool

    def path(self, work: Path) -> Path:
        """Where its rows are kept."""
        task, contender = (one.replace(":", "-").replace("/", "-") for one in self[::3])
        charged = "-charged" if self.charge else ""
        name = f"{task}-{self.workers}-{self.seed}-{self.trainings:g}{charged}.parquet"
        return work / contender / name


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """All runs in their order: seed by seed, task by task, the contenders in turn."""
    for seed in range(options.seeds):
        for workers in options.workers:
            for task in options.tasks:
                on = recording(task, options.data)
                for contender in options.contenders:
                    trainings = options.trainings_of.get(contender, options.trainings)
                    if _fits(on, workers, trainings):
                        yield Cell(task, workers, seed, contender, trainings, options.charge)


def _fits(on: Recording, workers: int, trainings: float) -> bool:
    return on.pool is None or len(on.pool) >= _SHARE * workers * trainings


def gather(options: argparse.Namespace) -> Table:
    """The rows of all runs, made where they are not there yet."""
    parts = []
    for cell in cells(options):
        path = cell.path(options.work)
        ours = cell.contender.partition("/")[0] not in PEERS
        if not path.exists() or (options.fresh and ours):
            if options.only_stored:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            _run(cell, options.data).to_parquet(path, index=False)
        on = recording(cell.task, options.data)
        rows = pd.read_parquet(path).assign(
            task=cell.task, workers=cell.workers, seed=cell.seed, contender=cell.contender,
            trainings=cell.trainings, training_s=on.training_s,
        )  # fmt: skip
        for judged in ("score", "final"):
            rows[f"regret_{judged}"] = (rows[judged] - on.best) / (on.median - on.best)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _run(cell: Cell, data: Path) -> Table:
    on = recording(cell.task, data)
    until_s = cell.trainings * on.training_s
    return run(cell.contender, Contest(on, cell.workers, cell.seed, until_s, cell.charge))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("--suite", default="dev", choices=SUITES)
    made.add_argument("--on", default="", help="tasks by name, in the place of a suite")
    made.add_argument("--workers", default="4,32")
    made.add_argument("--schedulers", default="fifo,asha,asha-stopping,hyperband,median")
    made.add_argument("--searchers", default="random,tpe,auto")
    made.add_argument("--peers", default="ray-asha/random,ray-hyperband/random")
    made.add_argument("--baseline", default="ray-asha/random", help="what speedups compare with")
    made.add_argument("--seeds", type=int, default=10)
    made.add_argument(
        "--trainings", type=float, default=20.0, help="simulated time, in mean full trainings"
    )
    made.add_argument(
        "--trainings-of", default="", help="another time for some: ray-asha/random=100"
    )
    made.add_argument("--targets", default="0.1,0.05", help="regrets to be reached")
    made.add_argument("--judge", default="score", choices=("score", "final"))
    made.add_argument(
        "--charge", action="store_true", help="let the searcher's processor time pass"
    )
    made.add_argument("--work", type=Path, default=WORK, help="where finished runs are kept")
    made.add_argument("--out", type=Path, help="where to write the table and the pictures")
    made.add_argument("--fresh", action="store_true", help="run ours again")
    made.add_argument(
        "--only-stored", action="store_true", help="run nothing, report what is there"
    )
    made.add_argument("--data", type=Path, default=DATA)
    return made


def read_options(words: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked before anything runs."""
    made = parser()
    options = made.parse_args(words)
    ours = [f"{rule}/{s}" for rule in _words(options.schedulers) for s in _words(options.searchers)]
    options.contenders = [*ours, *_words(options.peers)]
    options.tasks = _words(options.on) or list(SUITES[options.suite])
    try:
        options.workers = [int(word) for word in _words(options.workers)]
        pairs = (word.rpartition("=") for word in _words(options.trainings_of))
        options.trainings_of = {contender: float(given) for contender, _, given in pairs}
        for contender in options.trainings_of.keys() - set(options.contenders):
            raise ValueError(f"--trainings-of: {contender!r} takes no part; write RULE/SEARCHER=N")
        options.targets = [float(word) for word in _words(options.targets)]
        for contender in options.contenders:
            check(contender)
        for task in options.tasks:
            recording(task, options.data)
    except (ValueError, SpecError) as error:
        made.error(str(error))
    if options.baseline not in options.contenders:
        made.error(f"--baseline {options.baseline} takes no part; there are {options.contenders}")
    return options


def main() -> None:
    options = read_options()
    for workers in options.workers:
        for task in options.tasks:
            if not _fits(recording(task, options.data), workers, options.trainings):
                print(f"{task} is left out at {workers} workers: too few recorded configs")
    judge = Judge(options.judge, tuple(options.targets), options.baseline)
    report(gather(options), options.contenders, judge, options.out)


if __name__ == "__main__":
    main()
