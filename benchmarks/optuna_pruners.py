"""Optuna's pruners on recorded curves in simulated time: workers of a study, one event after another.

Each worker asks the study for a trial, reports every step of the recorded curve when its recorded
seconds have passed, and asks `should_prune` after each, as a script with `study.optimize` would. A
recording that has a list of configs only gives the nearest one that is not used yet; the sampler
believes that it got what it asked for.
"""

from __future__ import annotations

import heapq
import itertools
import math
import warnings
from time import process_time as processor_s
from typing import Any, NamedTuple

from benchmarks.contest import Contest, Finds, Table
from benchmarks.peers import described
from raysweep.cluster.recorded import ROW
from raysweep.searchers.among import Pool


class _Running(NamedTuple):
    """A trial on a worker, and the step that it is at."""

    trial: Any
    config: dict[str, Any]
    step: int


class _Study:
    """An Optuna study that proposes configs of the contest's recording."""

    def __init__(self, contest: Contest, pruner: str, sampler: str, eta: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._on = optuna, contest.on
        self._study = optuna.create_study(
            study_name=f"contest {contest.seed}",  # HyperBand's brackets hang on it
            sampler=_sampler(sampler, contest),
            pruner=_pruner(pruner, contest.on.max_t, eta),
            direction="maximize" if contest.on.goal.mode == "max" else "minimize",
        )
        self._pool = Pool(contest.on.space, contest.on.pool) if contest.on.pool else None
        self._laws = described(contest.on.space)

    def ask(self) -> _Running | None:
        """A new trial; None once all recorded configs are used."""
        if self._pool is not None and not len(self._pool):
            return None
        trial = self._study.ask()
        config = {law["name"]: _suggest(trial, law) for law in self._laws}
        if self._pool is not None:
            row = self._pool.nearest(config)
            assert row is not None, "some are left"
            self._pool.take(row)
            config = {ROW: row}
        return _Running(trial, config, 0)

    def report(self, running: _Running) -> bool:
        """Take in the step that a trial is at; whether it goes on."""
        trial, config, step = running
        value = self._on.curves(config, 0, step)[self._on.goal.metric]
        trial.report(value, step)
        states = self._optuna.trial.TrialState
        if step < self._on.curves.length(config):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a curve of NaN has no best
                pruned = trial.should_prune()
            if not pruned:
                return True
            self._study.tell(trial, state=states.PRUNED)
        elif math.isfinite(value):
            self._study.tell(trial, value)
        else:
            self._study.tell(trial, state=states.FAIL)
        return False


def _sampler(name: str, contest: Contest) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    if name == "optuna-random":
        return RandomSampler(seed=contest.seed)
    return TPESampler(seed=contest.seed, constant_liar=contest.workers > 1)


def _pruner(name: str, max_t: int, eta: int) -> Any:
    from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner

    if name == "median":
        return MedianPruner()
    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=eta)
    return HyperbandPruner(min_resource=1, max_resource=max_t, reduction_factor=eta)


def _suggest(trial: Any, law: dict[str, Any]) -> Any:
    suggest = trial.suggest_float if law["kind"] == "float" else trial.suggest_int
    return suggest(law["name"], law["low"], law["high"], log=law["log"])


def run_optuna(contest: Contest, pruner: str, sampler: str, eta: int) -> Table:
    """A study with so many simulated workers.

    Args:
        contest: where, with how many workers, and for how long.
        pruner: median, halving or hyperband.
        sampler: optuna-tpe or optuna-random.
        eta: the reduction factor of the last two.
    """
    study, curves = _Study(contest, pruner, sampler, eta), contest.on.curves
    finds = Finds(contest)
    order = itertools.count()
    queue: list[tuple[float, int, _Running]] = []

    def go_on(running: _Running, at_s: float) -> None:
        after = running._replace(step=running.step + 1)
        heapq.heappush(queue, (at_s + curves.step_s(after.config, after.step), next(order), after))

    def start(at_s: float) -> None:
        begun = processor_s()
        running = study.ask()
        spent_s = processor_s() - begun
        finds.cpu_s += spent_s
        if running is not None:
            at_s += spent_s if contest.charge else 0.0
            finds.suggested(str(running.trial.number), running.config, at_s)
            go_on(running, at_s)

    for _ in range(contest.workers):
        start(0.0)
    while queue and queue[0][0] <= contest.until_s:
        at_s, _, running = heapq.heappop(queue)
        metrics = curves(running.config, 0, running.step)
        score = contest.on.goal.score(metrics)
        finds.report(str(running.trial.number), running.step, score, at_s)
        if study.report(running):
            go_on(running, at_s)
        else:
            start(at_s)
    return finds.table()
