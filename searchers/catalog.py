"""The searchers by name: what `searcher:` in a spec may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from raysweep.searchers.base import Searcher
from raysweep.searchers.grid import grid
from raysweep.searchers.points import Points, PointsFirst
from raysweep.searchers.random_search import RandomSearch
from raysweep.searchers.setting import Setting
from raysweep.searchers.sobol import sobol
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.free import Free
from raysweep.trials.names import nearest
from raysweep.trials.options import (
    Option,
    check_options,
    count,
    flag,
    is_number,
    is_whole,
    number,
    word,
)


class Entry(NamedTuple):
    """One searcher.

    Attributes:
        summary: what it is for.
        options: what it takes.
        build: makes it from the setting and all of its options.
        finite: whether it ever ends by itself.
        learns: whether it looks at results, so that it needs a goal.
    """

    summary: str
    options: Mapping[str, Option]
    build: Callable[..., Searcher]
    finite: bool = False
    learns: bool = False


def _are_points(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(n, str) and is_whole(p) and _are_points(p) for n, p in value.items())
    return is_whole(value) and 1 <= value <= 1_000_000


_POINTS = Option(
    "a whole number from 1 to 1,000,000, or one for each parameter by name", _are_points
)


_PRIOR = Option(
    "a mapping from parameters to the values that are believed to be good",
    lambda value: (
        isinstance(value, Mapping) and bool(value) and all(isinstance(n, str) for n in value)
    ),
)
_LIMITS = Option(
    "a mapping from metrics to the greatest value allowed, e.g. {latency_ms: 20}",
    lambda value: isinstance(value, Mapping) and all(is_number(most) for most in value.values()),
)
_SWEEPS = Option(
    "a list of sweep directories",
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value),
    required=True,
)
_FACTS = Option(
    "a mapping from facts about the task to numbers, e.g. {rows: 60000}",
    lambda value: isinstance(value, Mapping) and all(is_number(v) for v in value.values()),
)
_FIRST = Option(
    "a list of configs, in full or in part",
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(v, Mapping) for v in value),
)
"""`points_to_evaluate`, which every searcher takes."""
_GP = {
    "acquisition": word("logei", "logei", "ucb", "thompson"),
    "initial": count(most=100_000),
    "trust_region": flag(False)._replace(default=None),
    "per_second": flag(False),
    "limits": _LIMITS,
    "replicates": flag(False),
    "warp": flag(False),
    "noise": Option(
        "varying, or the metric that holds the standard error of each result",
        lambda value: isinstance(value, str) and bool(value),
    ),
    "budget_ms": number(None, 1.0, 60_000.0),
}


def _random(setting: Setting) -> Searcher:
    return RandomSearch(setting.space)


def _grid(setting: Setting, points: Any, shuffle: bool) -> Searcher:
    if isinstance(points, Mapping):
        points = {name.replace(".", "/"): number for name, number in points.items()}
    return grid(setting.space, setting.seed, points, shuffle)


def _sobol(setting: Setting) -> Searcher:
    return sobol(setting.space, setting.seed)


def _lazily(module: str, **fixed: Any) -> Callable[..., Searcher]:
    """The `build` of a module that is imported when it is first needed: scipy is slow to load."""

    def build(setting: Setting, **options: Any) -> Searcher:
        home = import_module(f"raysweep.searchers.{module}")
        made: Searcher = home.build(setting, **fixed, **options)
        return made

    return build


SEARCHERS: dict[str, Entry] = {
    "random": Entry("independent draws; never runs out", {}, _random),
    "grid": Entry(
        "every combination once, then ends the sweep; ranges without a step need points",
        {"points": _POINTS, "shuffle": flag(False)},
        _grid,
        finite=True,
    ),
    "sobol": Entry("scrambled Sobol points; covers the space more evenly than random", {}, _sobol),
    "lhs": Entry(
        "Latin hypercubes: every parameter evenly covered, for a known number of trials",
        {"points": count(most=100_000)},
        _lazily("lhs"),
    ),
    "auto": Entry(
        "chooses the method by space, metrics, rungs and results so far, and says why",
        {"prior": _PRIOR},
        _lazily("auto"),
        learns=True,
    ),
    "transfer": Entry(
        "starts from what earlier sweeps learnt",
        {"sweeps": _SWEEPS, "portfolio": count(5, most=100_000), "facts": _FACTS, "prior": _PRIOR},
        _lazily("transfer"),
        learns=True,
    ),
    "tpe": Entry(
        "Parzen estimators of the good and the bad: cheap, for any space and any number of trials",
        {
            "gamma": number(0.1, 0.01, 0.5),
            "candidates": count(24, most=100_000),
            "initial": count(10, most=100_000),
            "prior": _PRIOR,
        },
        _lazily("tpe"),
        learns=True,
    ),
    "gp": Entry(
        "a Gaussian process: the fewest trials to a good config",
        _GP | {"prior": _PRIOR},
        _lazily("gp"),
        learns=True,
    ),
    "prior": Entry(
        "a Gaussian process that starts where the user expects good configs",
        _GP | {"prior": _PRIOR._replace(required=True)},
        _lazily("gp"),
        learns=True,
    ),
    "mobster": Entry(
        "a Gaussian process over config and rung together; for asha and hyperband",
        {"initial": count(most=100_000), "random_share": number(0.2, 0.0, 1.0), "prior": _PRIOR},
        _lazily("gp", by_level=True),
        learns=True,
    ),
    "hyper_tune": Entry(
        "a Gaussian process for each rung, weighted by how well the rung ranks; for rungs",
        {"initial": count(most=100_000), "random_share": number(0.2, 0.0, 1.0), "prior": _PRIOR},
        _lazily("gp", by_level=True, ensemble=True),
        learns=True,
    ),
    "bohb": Entry(
        "Parzen estimators on the deepest rung with enough results; for asha and hyperband",
        {
            "gamma": number(0.15, 0.01, 0.5),
            "candidates": count(24, most=100_000),
            "initial": count(10, most=100_000),
            "random_share": number(0.2, 0.0, 1.0),
            "prior": _PRIOR,
        },
        _lazily("tpe", by_level=True),
        learns=True,
    ),
    "cmaes": Entry(
        "covariance matrix adaptation: hundreds of trials on rugged, correlated parameters",
        {"sigma": number(0.25, 0.01, 1.0), "restart": flag(True)},
        _lazily("cmaes"),
        learns=True,
    ),
    "de": Entry(
        "differential evolution: thousands of cheap trials",
        {
            "population": count(20, least=4, most=100_000),
            "factor": number(0.5, 0.0, 2.0),
            "crossover": number(0.7, 0.0, 1.0),
        },
        _lazily("evolution", kind="de"),
        learns=True,
    ),
    "dehb": Entry(
        "differential evolution at each fidelity of HyperBand's brackets; for the scheduler dehb",
        {"factor": number(0.5, 0.0, 2.0), "crossover": number(0.5, 0.0, 1.0)},
        _lazily("dehb"),
        learns=True,
    ),
    "evolution": Entry(
        "regularised evolution: large discrete spaces, many workers",
        {"population": count(20, least=4, most=100_000), "tournament": count(5, most=100_000)},
        _lazily("evolution", kind="evolution"),
        learns=True,
    ),
    "nsga2": Entry(
        "non-dominated sorting: several metrics, many cheap trials",
        {"population": count(20, least=4, most=100_000)},
        _lazily("evolution", kind="nsga2"),
        learns=True,
    ),
}


def check_searcher(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of searcher `name`, defaults filled in.

    Raises:
        SpecError: for a name, an option or a value that does not exist, with the nearest that does.
    """
    entry = SEARCHERS.get(name)
    if entry is None:
        raise SpecError(f"searcher: {name!r} is not one; {nearest(name, SEARCHERS)}")
    table = {**entry.options, "points_to_evaluate": _FIRST}
    checked = check_options("searcher", name, options, table)
    if checked["points_to_evaluate"] is None:
        del checked["points_to_evaluate"]
    return checked


def build_searcher(name: str, options: Mapping[str, Any], setting: Setting) -> Searcher:
    """The searcher `name` for `setting`.

    Args:
        name: a key of `SEARCHERS`.
        options: as `check_searcher` takes or gives them.
        setting: the space, the seed, the goal, and what is known of the sweep around it.

    Raises:
        SpecError: as `check_searcher`; SpaceError: for a space that this searcher cannot search.
    """
    checked = check_searcher(name, options)
    free = [flat for flat, p in setting.space.parameters.items() if isinstance(p.domain, Free)]
    if free:
        raise SpaceError(
            f"{free[0]} is free: it has no law that {name} could draw from; give it a distribution"
        )
    first = checked.pop("points_to_evaluate", None)
    points = Points(setting.space, first, setting.seed) if first else None
    searcher = SEARCHERS[name].build(setting, **checked)
    return PointsFirst(points, searcher) if points else searcher
