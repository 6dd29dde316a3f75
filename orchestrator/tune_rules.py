"""Which searcher and scheduler of ours do what Tune's `search_alg`, `scheduler` and `stop` ask for."""

from __future__ import annotations

from typing import Any, NamedTuple

from ray.air.config import FailureConfig
from ray.tune import create_scheduler, create_searcher
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter, SearchGenerator
from ray.tune.search import Searcher as TuneSearcher

from raysweep.orchestrator.tune_halt import FailFast
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.fifo import Fifo
from raysweep.schedulers.tune_guest import TuneSchedulerGuest
from raysweep.schedulers.tune_stopper import Stopped
from raysweep.searchers.base import Searcher
from raysweep.searchers.tune_guest import TuneGuest
from raysweep.searchers.tune_space import TuneSpace
from raysweep.searchers.tune_variants import Variants
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal, Mode
from raysweep.trials.tune_result import STEP


class Aim(NamedTuple):
    """What a sweep is for: its space, its goal, its number of samples (-1: no end) and its seed."""

    space: TuneSpace
    goal: tuple[str, str]
    num_samples: int
    seed: int

    @property
    def as_goal(self) -> Goal:
        """The goal as raysweep has it."""
        mode: Mode = "max" if self.goal[1] == "max" else "min"
        return Goal(((self.goal[0], mode),))


class Search(NamedTuple):
    """A searcher, how many trials it is to make (None: as many as it likes) and run at once."""

    searcher: Searcher
    trials: int | None
    at_once: int | None = None
    notes: tuple[str, ...] = ()


def read_searcher(asked: Any, aim: Aim) -> Search:
    """The searcher for a `TuneConfig.search_alg`.

    Raises:
        SpecError: it is none that can be hosted.
    """
    if isinstance(asked, str):
        asked = create_searcher(asked)
    if isinstance(asked, SearchGenerator):
        asked = asked.searcher
    if asked is None or type(asked) is BasicVariantGenerator:
        return _variants(asked, aim)
    trials = None if aim.num_samples < 0 else aim.num_samples
    if hasattr(asked, "native"):
        return Search(asked.native(aim.space.space, aim.seed, aim.as_goal), trials)
    if isinstance(asked, TuneSearcher):
        limit = None
        if isinstance(asked, ConcurrencyLimiter) and not asked.batch:
            # slots do the limiting: a limiter would let paused trials keep their places, and a
            # scheduler that pauses all could then start nobody
            limit, asked = asked.max_concurrent, asked.searcher
        guest = TuneGuest(asked, aim.space, aim.as_goal, num_samples=aim.num_samples, seed=aim.seed)
        return Search(guest, trials, limit)
    raise SpecError(
        f"TuneConfig.search_alg is a {type(asked).__name__}; raysweep hosts Tune's Searchers "
        "(also in a ConcurrencyLimiter), its default grid and random search, and its own of "
        "raysweep.tune"
    )


def _variants(asked: Any, aim: Aim) -> Search:
    settings = vars(asked) if asked is not None else {}
    searcher = Variants(
        aim.space,
        aim.num_samples,
        seed=aim.seed,
        points_to_evaluate=settings.get("_points_to_evaluate"),
        constant_grid_search=bool(settings.get("_constant_grid_search", False)),
    )
    return Search(searcher, searcher.count, settings.get("max_concurrent") or None)


def read_scheduler(
    asked: Any, stop: Any, failure: FailureConfig | None, searcher: Searcher, aim: Aim
) -> Scheduler:
    """The scheduler for a `TuneConfig.scheduler`, a `RunConfig.stop` and `fail_fast`.

    Raises:
        SpecError: the scheduler cannot be hosted, or `stop` is nothing that stops.
    """
    if isinstance(asked, str):
        asked = create_scheduler(asked)
    scheduler: Scheduler
    if asked is None or type(asked) is FIFOScheduler:
        scheduler = Fifo()
    elif hasattr(asked, "native"):
        _check_time(asked)
        scheduler = asked.native()
    elif isinstance(asked, TrialScheduler):
        listener = searcher if isinstance(searcher, TuneGuest) else None
        scheduler = TuneSchedulerGuest(asked, aim.as_goal, seed=aim.seed, listener=listener)
    else:
        raise SpecError(
            f"TuneConfig.scheduler is a {type(asked).__name__}; give a ray.tune.schedulers."
            "TrialScheduler, or one of raysweep.tune"
        )
    if failure and failure.fail_fast:
        scheduler = FailFast(scheduler)
    return Stopped(scheduler, stop) if stop else scheduler


def _check_time(scheduler: Any) -> None:
    """Our schedulers count steps here; under stock Tune they can count anything."""
    if getattr(scheduler, "time_attr", STEP) != STEP:
        raise SpecError(
            f"scheduler: time_attr is {scheduler.time_attr!r}; in raysweep's loop its limits are "
            f"counted in reports: give time_attr={STEP!r} and the limits in reports"
        )
