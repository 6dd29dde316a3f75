"""What a `tune.Tuner` was given, read as a sweep of ours: the spec, the objects, and what is not taken."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from ray.air.config import CheckpointConfig, FailureConfig
from ray.tune import RunConfig, TuneConfig

from raysweep.orchestrator.rebuild import Objects
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.tune_callbacks import SweepTrial
from raysweep.orchestrator.tune_rules import Aim, read_scheduler, read_searcher
from raysweep.searchers.stoppable import StoppableSearcher
from raysweep.searchers.tune_space import TuneSpace
from raysweep.searchers.tune_variants import Variants
from raysweep.trainables.tune import (
    TuneSettings,
    placement_of,
    resources_of,
    trainable_name,
    tune_target,
)
from raysweep.trials.errors import SpecError
from raysweep.trials.streams import Stream
from raysweep.trials.trial import trial_id

_ENDLESS = 1_000_000
"""Retries, or checkpoints kept, where Tune says "no limit"."""
_PROBES = 8
"""Configs for which a trial's resources are asked, to see whether they hang on the config."""
_UNMEASURED = ("training_iteration", "max")
"""What ranks the trials of a sweep that has no metric: how far they came."""


class Given(NamedTuple):
    """The arguments of a Tuner, as they came."""

    trainable: Any
    param_space: Mapping[str, Any] | None
    tune_config: TuneConfig
    run_config: RunConfig
    seed: int


class Plan(NamedTuple):
    """A sweep of ours that does what a Tuner was asked for.

    Attributes:
        spec: the spec.
        objects: searcher and scheduler, fresh.
        target: the training code, for `check_picklable`.
        space: how configs are translated.
        settings: what the training code is told.
        metric, mode: as asked for; None where there is no metric.
        notes: what was asked for and is done otherwise, in sentences.
    """

    spec: SweepSpec
    objects: Objects
    target: Callable[..., Any] | type[Any]
    space: TuneSpace
    settings: TuneSettings
    metric: str | None
    mode: str | None
    notes: tuple[str, ...]


def read_tuner(given: Given, name: str) -> Plan:
    """The plan for a Tuner's arguments, to run under `name`.

    Raises:
        SpecError: something is asked for that raysweep cannot do, or contradicts itself.
    """
    tune, run = given.tune_config, given.run_config
    storage = _storage(run)
    metric, mode = _goal(tune)
    space = _space(given.param_space, tune)
    goal = (metric, mode) if metric and mode else _UNMEASURED
    aim = Aim(space, goal, tune.num_samples, given.seed)
    search = read_searcher(tune.search_alg, aim)
    scheduler = read_scheduler(tune.scheduler, run.stop, run.failure_config, search.searcher, aim)
    searcher = StoppableSearcher(
        search.searcher, lambda: bool(getattr(scheduler, "stopping", False))
    )
    probes = _probes(given, space)
    settings = TuneSettings(
        decode=space.nested,
        experiment=name,
        path=str((storage / name).resolve()),
        resources=placement_of(given.trainable, probes[0]),
        trial_names=_names(given, storage / name),
    )
    spec = SweepSpec.from_dict(
        {
            "name": name,
            "trainable": f"<python:{trainable_name(given.trainable)}>",
            "space": space.space,
            "metric": goal[0],
            "mode": goal[1],
            "searcher": _named(tune.search_alg, "BasicVariantGenerator"),
            "scheduler": _named(tune.scheduler, "FIFOScheduler"),
            "resources": _resources(given, probes),
            "budget": {"trials": search.trials, "wall_time": _seconds(tune, scheduler)},
            "retries": _retries(run.failure_config),
            "checkpoint": _checkpoints(run.checkpoint_config),
            "cluster": {"max_slots": _slots(tune.max_concurrent_trials, search.at_once)},
            "max_failed_share": 1.0,
            "seed": given.seed,
            "storage": str(storage),
        },
        where="Tuner",
    )
    return Plan(
        spec, Objects(searcher, scheduler), tune_target(given.trainable, settings), space,
        settings, metric, mode, (*_not_taken(tune, run), *search.notes),
    )  # fmt: skip


def _named(asked: Any, default: str) -> dict[str, str]:
    """How a spec names an object: as its user does, whatever we wrap around it."""
    while type(asked).__name__ in ("ConcurrencyLimiter", "SearchGenerator"):
        asked = asked.searcher
    name = asked if isinstance(asked, str) else type(asked).__name__
    return {"name": f"<python:{default if asked is None else name}>"}


def sweep_name(given: Given) -> str:
    """The sweep's name: the run's, or the training code's, in the letters that names may have."""
    wanted = given.run_config.name or trainable_name(given.trainable)
    tidy = re.sub(r"[^a-z0-9_-]+", "-", str(wanted).lower()).strip("-")[:64]
    return tidy or "sweep"


def _probes(given: Given, space: TuneSpace) -> list[dict[str, Any]]:
    """Configs as the training code might get them."""
    drawn = Variants(space, -1, seed=given.seed)
    configs = [drawn.ask(trial_id(n), Stream(given.seed, n)) for n in range(_PROBES)]
    return [space.nested(config) for config in configs if config is not None]


def _resources(given: Given, probes: list[dict[str, Any]]) -> dict[str, Any]:
    """What a trial asks for.

    Raises:
        SpecError: it hangs on the config.
    """
    asked = [resources_of(given.trainable, config) for config in probes]
    if any(each != asked[0] for each in asked):
        raise SpecError(
            f"resources: they differ from config to config ({asked[0]} and others); raysweep gives "
            "all trials of a sweep the same: use tune.with_resources with a dict"
        )
    return asked[0]


def _names(given: Given, path: Path) -> Callable[[str, dict[str, Any]], str] | None:
    """`trial_name_creator`, which takes one of Tune's trials, in the terms of `TuneSettings`."""
    creator = given.tune_config.trial_name_creator
    if creator is None:
        return None
    code = trainable_name(given.trainable)
    return lambda trial, config: creator(SweepTrial(code, trial, config, path))


def _storage(run: RunConfig) -> Path:
    path = str(run.storage_path or "~/ray_results")
    if "://" in path or run.storage_filesystem is not None:
        raise SpecError(
            f"RunConfig.storage_path is {path!r}; raysweep writes to a folder on a file system that "
            "the driver and all nodes share: give one"
        )
    return Path(path).expanduser()


def _goal(tune: TuneConfig) -> tuple[str | None, str | None]:
    """Metric and mode, from the TuneConfig or else from the searcher or scheduler that has them."""
    metric, mode = tune.metric, tune.mode
    for source in (tune.search_alg, tune.scheduler):
        metric = metric or getattr(source, "metric", None)
        mode = mode or getattr(source, "mode", None) or getattr(source, "_mode", None)
    if isinstance(metric, (list, tuple)):
        metric, mode = metric[0], mode[0] if isinstance(mode, (list, tuple)) else mode
    if mode not in (None, "min", "max"):
        raise SpecError(f"TuneConfig.mode is {mode!r}; it must be min or max")
    if metric and not mode:
        raise SpecError(f"TuneConfig.mode is missing; say which way {metric} is better, min or max")
    return metric, mode if metric else None


def _space(param_space: Mapping[str, Any] | None, tune: TuneConfig) -> TuneSpace:
    """The space; open where a searcher may know parameters that `param_space` does not."""
    if tune.search_alg is None or hasattr(tune.search_alg, "native"):
        return TuneSpace(param_space or {})
    return TuneSpace.open(param_space)


def _seconds(tune: TuneConfig, scheduler: Any) -> float | None:
    """The earlier end of the time budget and of a `TimeoutStopper`."""
    budget = tune.time_budget_s
    limit = budget.total_seconds() if isinstance(budget, timedelta) else budget
    given = [s for s in (limit, getattr(scheduler, "timeout_s", None)) if s is not None]
    return min(given) if given else None


def _slots(*limits: int | None) -> int | None:
    given = [limit for limit in limits if limit]
    return min(given) if given else None


def _retries(failure: FailureConfig | None) -> dict[str, int]:
    """Tune counts every failure of a trial alike; -1 is no limit."""
    wanted = failure.max_failures if failure else 0
    times = _ENDLESS if wanted < 0 else wanted
    return {"error": times, "crash": max(times, 1), "oom": max(times, 1), "stuck": times}


def _checkpoints(config: CheckpointConfig | None) -> dict[str, Any]:
    """All are kept where Tune would rank them: the worst of them is known only at the end."""
    if config is None:
        return {"keep": _ENDLESS, "keep_stopped": True}
    ranked = config.checkpoint_score_attribute is not None
    keep = _ENDLESS if ranked or config.num_to_keep is None else config.num_to_keep
    every_steps = config.checkpoint_frequency or None
    return {"keep": keep, "keep_stopped": True, "every_s": None, "every_steps": every_steps}


def _not_taken(tune: TuneConfig, run: RunConfig) -> list[str]:
    """What is asked for and has no effect here, each with what happens instead."""
    notes = []
    for value, what in (
        (tune.trial_dirname_creator, "trial_dirname_creator: folders are named by trial id"),
        (run.progress_reporter, "progress_reporter: raysweep shows its own live view"),
        (run.log_to_file, "log_to_file: each attempt's output is in logs/<trial>-<attempt>.txt"),
        (_own_sync(run), "sync_config: nothing is copied; the storage must be shared"),
    ):
        if value:
            notes.append(f"not taken: {what}")
    checkpoint = run.checkpoint_config
    if checkpoint and checkpoint.checkpoint_score_attribute and checkpoint.num_to_keep:
        notes.append(
            "num_to_keep: all checkpoints stay, ranked in Result.best_checkpoints by "
            f"{checkpoint.checkpoint_score_attribute}"
        )
    return notes


def _own_sync(run: RunConfig) -> bool:
    """Whether the SyncConfig differs from Ray's default one."""
    config = run.sync_config
    if config is None:
        return False
    plain = type(config)()
    return any(getattr(config, f.name) != getattr(plain, f.name) for f in fields(config))
