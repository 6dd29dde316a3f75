"""What a change of loop, or of scheduler, is worth: Tune's and ours crossed, on recorded curves.

    python -m benchmarks.tune_interop [--trials 81] [--workers 4] [--step-ms 2] [--rounds 3] [--short]

Each of Ray Tune's loop and raysweep's runs each of Tune's ASHA, our stopping ASHA and our promotion
ASHA over the same configs in the same order, all on one embedded Ray, in turn, round by round; a
round has configs of its own. A trial reports what was recorded of one config of LCBench: its
validation cross-entropy after each of 50 epochs. It sleeps the recorded seconds scaled down, and
saves a checkpoint at each rung, which is where a trial may be paused. Tune runs with actor reuse
and without its loggers.

*Regret* is the recorded final value of the config that the run would choose, that is the best last
report among the trials that came farthest, scaled so that 0 is the round's best config and 1 its
median one. *Wall* is all of `fit()`; *training* is the part of it from the first trial's start to
the last report; *ideal* is the trials' sleep over the workers, what a loop without cost would take;
*driver* is the processor time of this process, which a busy machine changes least.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import resource
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.recorded import DATA, MAX_T, TABLE, Curves, load, regret
from raysweep.trials.clock import SystemClock
from raysweep.trials.streams import Stream

RESULT = Path(__file__).parent / "results" / "tune_interop.json"
FACTOR, RUNGS = 3, (1, 3, 9, 27)
LOOPS = ("Tune", "raysweep")
FIGURES = ("regret", "epochs", "full_trials", "wall_s", "training_s", "ideal_s", "driver_s")
FORMS = {
    "regret": ".3f",
    "epochs": ".0f",
    "wall_s": ".1f",
    "training_s": ".1f",
    "ideal_s": ".1f",
    "driver_s": ".1f",
    "wall_speedup": ".1f",
    "training_speedup": ".1f",
}
"""What the table shows, and with how many decimals."""
SCHEDULERS = ("Tune's ASHA", "our ASHA, stopping", "our ASHA, promotion")
_CLOCK = SystemClock()
_SETTLE_S = 0.5
"""Between two runs: the last one's processes are still going away."""


class Settings(NamedTuple):
    """How much is run."""

    trials: int
    workers: int
    step_ms: float
    rounds: int


def train(config: Mapping[str, int], losses: Mapping[int, Any], sleeps: Mapping[int, Any]) -> None:
    """Replay a recorded training, from its checkpoint if it has one; for `tune.with_parameters`."""
    from ray import tune

    index, state = config["index"], {"epoch": 0, "first_s": _CLOCK.now()}
    last = tune.get_checkpoint()
    if last:
        with last.as_directory() as folder:
            state = json.loads((Path(folder) / "state.json").read_text())
    for epoch in range(int(state["epoch"]) + 1, MAX_T + 1):
        _CLOCK.sleep(sleeps[index][epoch - 1])
        metrics = {
            "loss": losses[index][epoch - 1],
            "epoch": epoch,
            "first_s": state["first_s"],
            "last_s": _CLOCK.now(),
        }
        if epoch not in RUNGS:
            tune.report(metrics)
            continue
        with tempfile.TemporaryDirectory() as folder:
            saved = {"epoch": epoch, "first_s": state["first_s"]}
            (Path(folder) / "state.json").write_text(json.dumps(saved))
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def run(loop: str, scheduler: str, picked: Sequence[int], curves: Curves, settings: Settings) -> dict[str, Any]:  # fmt: skip
    """One run over the configs `picked`: its figures, after a check that every config was tried."""
    from ray import tune

    import raysweep

    scale = settings.step_ms / 1e3 / float(curves.seconds.mean())
    losses = {index: curves.loss[index].tolist() for index in picked}
    sleeps = {index: (curves.seconds[index] * scale).tolist() for index in picked}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        tuner = {"Tune": tune.Tuner, "raysweep": raysweep.Tuner}[loop](
            tune.with_parameters(train, losses=losses, sleeps=sleeps),
            param_space={"index": tune.grid_search(list(picked))},
            tune_config=tune.TuneConfig(
                metric="loss", mode="min", scheduler=_scheduler(scheduler), reuse_actors=True
            ),
            run_config=tune.RunConfig(name="interop", storage_path=folder, verbose=0),
        )
        begun, used_s = _CLOCK.now(), _processor_s()
        results = list(tuner.fit())
        wall_s, driver_s = _CLOCK.now() - begun, _processor_s() - used_s
        broken = [result.error for result in results if result.error]
        assert not broken, broken[0]
        assert [result.config["index"] for result in results] == list(picked)
        last = [result.metrics for result in results]
    epochs = {index: int(row["epoch"]) for index, row in zip(picked, last, strict=True)}
    slept_s = sum(sum(sleeps[index][:count]) for index, count in epochs.items())
    return {
        "loop": loop,
        "scheduler": scheduler,
        "wall_s": wall_s,
        "training_s": max(m["last_s"] for m in last) - min(m["first_s"] for m in last),
        "ideal_s": slept_s / settings.workers,
        "driver_s": driver_s,
        "epochs": sum(epochs.values()),
        "full_trials": sum(count == MAX_T for count in epochs.values()),
        "regret": regret(picked, last, curves),
    }


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _scheduler(name: str) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    from raysweep import tune as ours

    kinds: tuple[Any, ...] = (ASHAScheduler, ours.ASHAScheduler, ours.PromotionASHAScheduler)
    kind = dict(zip(SCHEDULERS, kinds, strict=True))[name]
    return kind(max_t=MAX_T, grace_period=RUNGS[0], reduction_factor=FACTOR)


@contextmanager
def _quiet() -> Iterator[None]:
    """Tune at its quickest: without loggers, and without the table that it prints first."""
    variables = os.environ  # noqa: TID251 - Tune has no other switches for these
    wanted = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    before = {name: variables.pop(name, None) for name in wanted}
    variables.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            del variables[name]
            if value is not None:
                variables[name] = value


def measure(curves: Curves, settings: Settings) -> list[dict[str, Any]]:
    """Every combination in every round; each round begins with another one of them."""
    crossed = [(loop, scheduler) for scheduler in SCHEDULERS for loop in LOOPS]
    runs = []
    for number in range(settings.rounds):
        draws = Stream(number, "tune_interop").generator()
        picked = draws.choice(len(curves.loss), settings.trials, replace=False).tolist()
        first = number % len(crossed)
        for loop, scheduler in crossed[first:] + crossed[:first]:
            _CLOCK.sleep(_SETTLE_S)
            load_before = os.getloadavg()[0]
            figures = run(loop, scheduler, picked, curves, settings)
            runs.append({"round": number, **figures, "load_before": load_before})
    return runs


def summarise(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each combination: of each figure (median, least, most) over the rounds.

    A speedup is a time in Tune's loop over the same in ours, with the same scheduler in the same
    round.
    """
    rows = []
    for scheduler in SCHEDULERS:
        stock, ours = (_of(runs, loop, scheduler) for loop in LOOPS)
        for loop, mine in zip(LOOPS, (stock, ours), strict=True):
            row: dict[str, Any] = {"loop": loop, "scheduler": scheduler}
            rows.append(row | {name: _spread([r[name] for r in mine]) for name in FIGURES})
        for name in ("wall", "training"):
            ratios = [a[f"{name}_s"] / b[f"{name}_s"] for a, b in zip(stock, ours, strict=True)]
            rows[-1][f"{name}_speedup"] = _spread(ratios)
    return rows


def _of(runs: Sequence[Mapping[str, Any]], loop: str, scheduler: str) -> list[Mapping[str, Any]]:
    chosen = [run for run in runs if (run["loop"], run["scheduler"]) == (loop, scheduler)]
    return sorted(chosen, key=lambda run: int(run["round"]))


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def show(rows: Sequence[Mapping[str, Any]], settings: Settings) -> None:
    """The summary as a table: medians with their ranges."""
    title = (
        f"{settings.trials} trials of up to {MAX_T} epochs of {settings.step_ms:g} ms, "
        f"{settings.workers} workers, {settings.rounds} rounds: median (range)"
    )
    table = Table("scheduler", "loop", title=title)
    for figure in FORMS:
        table.add_column(figure.replace("_", " "), justify="right")
    for row in rows:
        cells = [_cell(row.get(figure), form) for figure, form in FORMS.items()]
        table.add_row(row["scheduler"], row["loop"], *cells)
    Console(width=180).print(table)


def _cell(spread: Sequence[float] | None, form: str) -> str:
    if spread is None:
        return ""
    middle, least, most = (format(value, form) for value in spread)
    return middle if least == most else f"{middle} ({least}…{most})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=81)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--step-ms", type=float, default=2.0, help="an epoch's mean sleep")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA, help=f"the folder that has {TABLE}")
    parser.add_argument("--json", type=Path, help=f"where the figures go; {RESULT.name} here")
    parser.add_argument("--short", action="store_true", help="6 trials, 2 workers, one round")
    options = parser.parse_args(arguments)
    settings = Settings(options.trials, options.workers, options.step_ms, options.rounds)
    if options.short:
        settings = Settings(6, 2, options.step_ms, 1)
    try:
        curves = load(options.data)
    except FileNotFoundError as error:
        parser.error(str(error))
    from raysweep.cluster import session

    logging.getLogger("ray").setLevel(logging.ERROR)
    with session.connect("local", num_cpus=settings.workers):
        if not options.short:  # warm-up: imports, worker processes
            measure(curves, settings._replace(trials=4, rounds=1))
        runs = measure(curves, settings)
    rows = summarise(runs)
    show(rows, settings)
    text = json.dumps({**facts(), "settings": settings._asdict(), "summary": rows, "runs": runs})
    print(text)
    target = options.json or (None if options.short else RESULT)
    if target:
        target.write_text(text + "\n")


def facts() -> dict[str, Any]:
    """What the figures hang on beside the code: machine and versions."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("ray", "numpy", "pyarrow")},
        "curves": TABLE,
    }


if __name__ == "__main__":
    main()
