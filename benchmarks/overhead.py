"""What a sweep costs beside its training: raysweep, Ray Tune and bare actor pools, side by side.

    python -m benchmarks.overhead [--rounds 3] [--json FILE] [--no-tune] [--no-default]

All run the same trivial trainable, 20 reports a trial, on the same two-slot local Ray inside one
process, alternating round by round, so a busy machine disturbs all alike. Small is 60 trials,
large 2,000 for those that can. Timed is the warm part: from the moment at which the first slot
(or all actors) stand to the moment at which every report is where it belongs; for raysweep that is
Parquet, with the sweep closed and its processes gone.
Stock Tune has no warm part, as it starts an actor per trial; all of `fit()` is timed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from raysweep.trials.clock import SystemClock

STEPS, SLOTS = 20, 2
SMALL, LARGE = 60, 2_000
_CLOCK = SystemClock()
_SLOW_S = 30.0
"""A contender that took longer at a size runs there no second time."""
_SETTLE_S = 0.5
"""Between two contenders: the last one's processes are still going away."""


def train(config: Mapping[str, float]) -> Iterator[dict[str, float]]:
    """As little training as there can be."""
    for step in range(1, STEPS + 1):
        yield {"loss": config["x"] / step}


class Contender(NamedTuple):
    """Who runs: `run(trials)` returns the seconds of its warm part, having checked the reports."""

    name: str
    run: Callable[[int], float]
    sizes: tuple[int, ...]


def raysweep_sweep(searcher: str | None, trials: int) -> float:
    """A whole sweep, journal on; every report is read back from Parquet and counted.

    Args:
        searcher: its name; None: the default one.
        trials: how many.
    """
    from raysweep.orchestrator.spec import SweepSpec
    from raysweep.orchestrator.sweep import Sweep
    from raysweep.results.read import read
    from raysweep.trials.events import Event, SlotUp

    up: list[float] = []

    def observe(event: Event, verdicts: Sequence[Any]) -> None:
        if isinstance(event, SlotUp):
            up.append(_CLOCK.now())

    with tempfile.TemporaryDirectory() as folder:
        spec = SweepSpec.from_dict(
            {
                "trainable": train,
                "space": {"x": {"uniform": [0.0, 1.0]}},
                "metric": "loss",
                "mode": "min",
                "budget": {"trials": trials},
                "cluster": {"max_slots": SLOTS},
                "storage": folder,
                **({"searcher": searcher} if searcher else {}),
            }
        )
        sweep = Sweep.create(spec, train=train)
        closed = sweep.run(observe=observe)
        took_s = _CLOCK.now() - up[0]
        rows = sum(_rows(part) for part in (sweep.path / "reports").glob("*.parquet"))
        assert closed.exit_code == 0, closed
        assert rows == trials * STEPS, f"{rows} rows in Parquet"
        assert len(read(sweep.path).trials) == trials
    return took_s


def _rows(part: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(part).num_rows)


def tune_stock(trials: int) -> float:
    """`tune.Tuner` with its defaults, as its documentation shows it."""
    return _tune(trials, reuse=False, loggers=True)


def tune_tuned(trials: int) -> float:
    """`tune.Tuner` with actor reuse and its loggers switched off."""
    return _tune(trials, reuse=True, loggers=False)


def _tune(trials: int, *, reuse: bool, loggers: bool) -> float:
    from ray import tune

    def report(config: dict[str, float]) -> None:
        for metrics in train(config):
            tune.report(metrics)

    with tempfile.TemporaryDirectory() as folder, _loggers(loggers):
        begun = _CLOCK.now()
        tuner = tune.Tuner(
            report,
            param_space={"x": tune.uniform(0.0, 1.0)},
            tune_config=tune.TuneConfig(
                metric="loss",
                mode="min",
                num_samples=trials,
                max_concurrent_trials=SLOTS,
                reuse_actors=reuse,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        grid = tuner.fit()
        took_s = _CLOCK.now() - begun
        assert len(grid) == trials
        assert not grid.errors
    return took_s


@contextmanager
def _loggers(on: bool) -> Iterator[None]:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "0" if on else "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    try:
        yield
    finally:
        del os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"]


class _Bare:
    """What an actor of a bare pool does: one step a call, or one trial a call."""

    def __init__(self) -> None:
        self._trial: Iterator[dict[str, float]] = iter(())

    def ready(self) -> None:
        """It stands."""

    def start(self, config: dict[str, float]) -> dict[str, float]:
        """Begin a trial and take its first step."""
        self._trial = train(config)
        return next(self._trial)

    def step(self) -> dict[str, float]:
        """Take the next step."""
        return next(self._trial)

    def whole(self, config: dict[str, float]) -> list[dict[str, float]]:
        """Run a trial to its end."""
        return list(train(config))


def bare_per_step(trials: int) -> float:
    """A pool of actors, one call per step, no journal, no decisions."""
    import ray

    actors = _actors()
    begun = _CLOCK.now()
    started = reports = 0
    calls: dict[Any, tuple[Any, int]] = {}
    for actor in actors:
        calls[actor.start.remote({"x": started / trials})] = (actor, 1)
        started += 1
    while calls:
        (done,), _ = ray.wait(list(calls))
        actor, step = calls.pop(done)
        reports += "loss" in ray.get(done)
        if step < STEPS:
            calls[actor.step.remote()] = (actor, step + 1)
        elif started < trials:
            calls[actor.start.remote({"x": started / trials})] = (actor, 1)
            started += 1
    took_s = _CLOCK.now() - begun
    assert reports == trials * STEPS
    _end(actors)
    return took_s


def bare_per_trial(trials: int) -> float:
    """A pool of actors, one call per trial, no journal, no decisions."""
    import ray

    actors = _actors()
    begun = _CLOCK.now()
    started = reports = 0
    calls: dict[Any, Any] = {}
    for actor in actors:
        calls[actor.whole.remote({"x": started / trials})] = actor
        started += 1
    while calls:
        (done,), _ = ray.wait(list(calls))
        actor = calls.pop(done)
        reports += len(ray.get(done))
        if started < trials:
            calls[actor.whole.remote({"x": started / trials})] = actor
            started += 1
    took_s = _CLOCK.now() - begun
    assert reports == trials * STEPS
    _end(actors)
    return took_s


def _actors() -> list[Any]:
    import ray

    actor: Any = ray.remote(num_cpus=1)(_Bare)
    actors = [actor.remote() for _ in range(SLOTS)]
    ray.get([each.ready.remote() for each in actors])
    return actors


def _end(actors: list[Any]) -> None:
    import ray

    for actor in actors:
        ray.kill(actor)


CONTENDERS = (
    Contender("raysweep, searcher random", partial(raysweep_sweep, "random"), (SMALL, LARGE)),
    Contender("raysweep, default searcher", partial(raysweep_sweep, None), (SMALL, LARGE)),
    Contender("bare pool, call per trial", bare_per_trial, (SMALL, LARGE)),
    Contender("bare pool, call per step", bare_per_step, (SMALL, LARGE)),
    Contender("Tune, reuse, no loggers", tune_tuned, (SMALL,)),
    Contender("Tune, stock", tune_stock, (SMALL,)),
)


def measure(rounds: int, contenders: Sequence[Contender] = CONTENDERS) -> list[dict[str, Any]]:
    """Every contender at every size of its own, `rounds` times in turn; the medians."""
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for size in (SMALL, LARGE):
            for each in contenders:
                # What takes minutes runs once: that shows two orders of magnitude
                slow = sum(times.get((each.name, size), ())) > _SLOW_S
                if size in each.sizes and not slow:
                    _CLOCK.sleep(_SETTLE_S)
                    times.setdefault((each.name, size), []).append(each.run(size))
    return [_row(name, size, taken) for (name, size), taken in times.items()]


def _row(name: str, trials: int, taken: list[float]) -> dict[str, Any]:
    took_s = statistics.median(taken)
    return {
        "who": name,
        "trials": trials,
        "took_s": took_s,
        "rounds": len(taken),
        "trials_per_s": trials / took_s,
        "reports_per_s": trials * STEPS / took_s,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """A table, fastest first, with each one's share of the bare per-trial pool's speed."""
    table = Table(title=f"{STEPS} reports a trial, {SLOTS} slots, medians")
    for heading in ("trials", "who", "trials/s", "reports/s", "of bare per-trial", "rounds"):
        table.add_column(heading, justify="left" if heading == "who" else "right")
    bare = {row["trials"]: row for row in rows if row["who"] == "bare pool, call per trial"}
    for row in sorted(rows, key=lambda row: (row["trials"], -row["trials_per_s"])):
        share = row["trials_per_s"] / bare[row["trials"]]["trials_per_s"]
        table.add_row(
            f"{row['trials']:,}",
            row["who"],
            f"{row['trials_per_s']:,.1f}",
            f"{row['reports_per_s']:,.0f}",
            f"{share:.2f}" if share >= 0.01 else f"1/{1 / share:,.0f}",
            str(row["rounds"]),
        )
    Console(width=100).print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--no-tune", action="store_true", help="leave out Ray Tune, which is slow")
    parser.add_argument("--no-default", action="store_true", help="leave out the default searcher")
    options = parser.parse_args()
    from raysweep.cluster import session

    logging.getLogger("ray").setLevel(logging.ERROR)
    left_out = ["Tune"] * options.no_tune + ["raysweep, default"] * options.no_default
    chosen = [c for c in CONTENDERS if not c.name.startswith(tuple(left_out))]
    with session.connect(num_cpus=SLOTS):
        for each in chosen[:3]:
            each.run(SMALL)  # warm-up: imports, worker processes
        rows = measure(options.rounds, chosen)
    show(rows)
    print(json.dumps(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
