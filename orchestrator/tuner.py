"""`raysweep.Tuner`: what `tune.Tuner` takes, run by raysweep.

A script that says `tuner = tune.Tuner(...)` moves over by taking `Tuner` from raysweep instead;
training code, param_space, searchers, schedulers, stoppers and callbacks stay as they are
(docs/from-ray-tune.md lists what differs).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import RunConfig, TuneConfig

from raysweep.orchestrator.live_view import live_view
from raysweep.orchestrator.sweep import Observer, Sweep
from raysweep.orchestrator.tune_callbacks import SweepTrial, TuneCallbacks
from raysweep.orchestrator.tune_plan import Given, Plan, read_tuner, sweep_name
from raysweep.orchestrator.tune_results import ResultGrid
from raysweep.results.layout import is_sweep
from raysweep.results.read import read
from raysweep.trainables.tune import trainable_name
from raysweep.trials.errors import SpecError

_LOG = logging.getLogger(__name__)


class Tuner:
    """A hyperparameter search, to be run by `fit`.

    Args:
        trainable: a function that calls `tune.report` or returns or yields metrics, a subclass of
            `tune.Trainable`, or a registered name.
        param_space: the search space, with Tune's domains.
        tune_config: metric, mode, search_alg, scheduler, num_samples, ...
        run_config: name, storage_path, stop, callbacks, failure_config, checkpoint_config, ...
        seed: of every random draw; the same seed gives the same configs.

    Raises:
        SpecError: what was asked for contradicts itself, or cannot be done here; nothing was
            started.

    Example:
        >>> from ray import tune
        >>> import raysweep
        >>> def train(config):
        ...     for step in range(10):
        ...         tune.report({"loss": (config["x"] - 2) ** 2 / (step + 1)})
        >>> tuner = raysweep.Tuner(
        ...     train,
        ...     param_space={"x": tune.uniform(-5, 5)},
        ...     tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=20),
        ... )
        >>> tuner.fit().get_best_result().config                            # doctest: +SKIP
        {'x': 2.03}
    """

    def __init__(
        self,
        trainable: Any = None,
        *,
        param_space: Mapping[str, Any] | None = None,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
        seed: int = 0,
    ) -> None:
        if trainable is None:
            raise SpecError("Tuner: there is no trainable; pass the training function or class")
        given = Given(
            trainable, param_space, tune_config or TuneConfig(), run_config or RunConfig(), seed
        )
        self._given = given
        self._plan: Plan = read_tuner(given, _free_name(given))
        self._sweep: Sweep | None = None
        self._results: ResultGrid | None = None

    @classmethod
    def restore(
        cls,
        path: str | Path,
        trainable: Any,
        resume_unfinished: bool = True,
        resume_errored: bool = False,
        restart_errored: bool = False,
        param_space: Mapping[str, Any] | None = None,
        *,
        tune_config: TuneConfig | None = None,
        run_config: RunConfig | None = None,
        seed: int = 0,
    ) -> Tuner:
        """A sweep that was interrupted, to go on with by `fit`.

        raysweep stores no pickles, so whatever was given as an object is given again: the same
        trainable, param_space, tune_config and run_config. What searcher and scheduler knew is
        told to them again from the sweep's journal.

        Args:
            path: the sweep directory.
            trainable, param_space, tune_config, run_config, seed: as they were.
            resume_unfinished: True; a sweep's open trials always go on.
            resume_errored, restart_errored: False; a failed trial has used up its retries.

        Raises:
            SpecError: there is no such sweep, or something was given that does not fit it.
        """
        path = Path(path)
        if not is_sweep(path):
            raise SpecError(f"{path} holds no sweep; `Tuner.can_restore(path)` tells")
        for name, asked, only in (
            ("resume_unfinished", resume_unfinished, True),
            ("resume_errored", resume_errored, False),
            ("restart_errored", restart_errored, False),
        ):
            if asked is not only:
                raise SpecError(
                    f"{name}={asked}: a sweep's unfinished trials go on and its failed ones stay "
                    f"failed; leave it {only}, and set FailureConfig(max_failures=...) for retries"
                )
        run_config = run_config or RunConfig()
        given = Given(trainable, param_space, tune_config or TuneConfig(), run_config, seed)
        tuner = cls.__new__(cls)
        tuner._given = given
        run_config.name, run_config.storage_path = path.name, str(path.parent)
        tuner._plan = read_tuner(given, path.name)
        tuner._check_same(path)
        tuner._sweep = Sweep.reopen(path, train=tuner._plan.target, objects=tuner._plan.objects)
        tuner._results = None
        return tuner

    @classmethod
    def can_restore(cls, path: str | Path) -> bool:
        """Whether `path` holds a sweep."""
        return is_sweep(Path(path))

    def fit(self) -> ResultGrid:
        """Run the sweep, or go on with it, until it comes to rest.

        Raises:
            ClusterError: Ray cannot be reached, or can never hold one trial.
            StoreBusy: another driver is at work on this sweep.
        """
        plan = self._plan
        for note in plan.notes:
            _LOG.warning("Tuner: %s", note)
        if self._sweep is None:
            self._sweep = Sweep.create(plan.spec, train=plan.target, objects=plan.objects)
        sweep = self._sweep
        callbacks = self._callbacks(sweep)
        in_main = threading.current_thread() is threading.main_thread()
        with live_view(sweep, quiet=self._given.run_config.verbose == 0) as observe:
            closed = sweep.run(observe=_both(observe, callbacks), handle_signals=in_main)
        if closed.exit_code:
            _LOG.error("%s ended early: %s", sweep.path, closed.reason)
        self._results = self._grid(sweep)
        return self._results

    def get_results(self) -> ResultGrid:
        """The results of `fit`, or of a restored sweep as far as it has come.

        Raises:
            SpecError: there is nothing yet.
        """
        if self._results is not None:
            return self._results
        if self._sweep is None or not is_sweep(self._sweep.path):
            raise SpecError("there are no results yet; call fit() first")
        return self._grid(self._sweep)

    def _grid(self, sweep: Sweep) -> ResultGrid:
        checkpoint = self._given.run_config.checkpoint_config
        by = checkpoint.checkpoint_score_attribute if checkpoint else None
        order = (by, checkpoint.checkpoint_score_order or "max") if checkpoint and by else None
        plan = self._plan
        return ResultGrid(read(sweep.path), plan.space.nested, plan.metric, plan.mode, order)

    def _callbacks(self, sweep: Sweep) -> Observer | None:
        given, plan = self._given, self._plan
        if not given.run_config.callbacks:
            return None

        def make(trial: str, config: Mapping[str, Any]) -> SweepTrial:
            names = given.tune_config.trial_name_creator
            shown = plan.space.nested(config)
            return SweepTrial(trainable_name(given.trainable), trial, shown, sweep.path, names)

        info = {
            "stop": given.run_config.stop,
            "num_samples": given.tune_config.num_samples,
            "total_num_samples": plan.spec.budget.trials or given.tune_config.num_samples,
        }
        return TuneCallbacks(given.run_config.callbacks, make, sweep.path, plan.spec.goal, info)

    def _check_same(self, path: Path) -> None:
        """Refuse a restore with another space or searcher than the sweep began with.

        Raises:
            SpecError: what differs.
        """
        before, now = read(path).manifest["spec"], self._plan.spec.to_dict()
        for key in ("trainable", "space", "metric", "mode", "seed"):
            if before[key] != now[key]:
                raise SpecError(
                    f"{path}: the sweep has {key} {before[key]!r:.200}, and this Tuner "
                    f"{now[key]!r:.200}; give restore() what the sweep was started with"
                )


def _free_name(given: Given) -> str:
    """The name wanted, or with a number behind it: a sweep is never written over."""
    wanted = sweep_name(given)
    folder = Path(str(given.run_config.storage_path or "~/ray_results")).expanduser()
    name, number = wanted, 1
    while (folder / name).exists():
        number += 1
        name = f"{wanted[:58]}-{number}"
    if name != wanted and given.run_config.name:
        _LOG.warning("%s exists already: this sweep goes to %s", folder / wanted, folder / name)
    return name


def _both(first: Observer, second: Observer | None) -> Observer:
    if second is None:
        return first
    then: Callable[..., None] = second

    def observe(event: Any, verdicts: Any) -> None:
        first(event, verdicts)
        then(event, verdicts)

    return observe
