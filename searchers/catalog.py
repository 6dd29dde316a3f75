"""The searchers by name: what `searcher:` in a spec may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from raysweep.searchers.base import Searcher
from raysweep.searchers.grid import grid
from raysweep.searchers.random_search import RandomSearch
from raysweep.searchers.sobol import sobol
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.free import Free
from raysweep.trials.goal import Goal
from raysweep.trials.names import nearest
from raysweep.trials.space import Space


class Option(NamedTuple):
    """One option: what it may be in words, the check of it, and its default."""

    allowed: str
    fits: Callable[[Any], bool]
    default: Any = None


class Entry(NamedTuple):
    """One searcher: what it is for, what it takes, how it is made, and whether it ever ends."""

    summary: str
    options: Mapping[str, Option]
    build: Callable[..., Searcher]
    finite: bool = False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_points(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(n, str) and _is_count(points) for n, points in value.items())
    return value is None or _is_count(value)


_POINTS = Option("a whole number, 1 or more, or one for each parameter by name", _are_points)
_SHUFFLE = Option("true or false", lambda value: isinstance(value, bool), default=False)


def _random(space: Space, seed: int, goal: Goal | None) -> Searcher:
    return RandomSearch(space)


def _grid(space: Space, seed: int, goal: Goal | None, **options: Any) -> Searcher:
    points = options["points"]
    if isinstance(points, Mapping):
        points = {name.replace(".", "/"): number for name, number in points.items()}
    return grid(space, seed, points, options["shuffle"])


def _sobol(space: Space, seed: int, goal: Goal | None) -> Searcher:
    return sobol(space, seed)


SEARCHERS: dict[str, Entry] = {
    "random": Entry("independent draws; never runs out", {}, _random),
    "grid": Entry(
        "every combination once, then ends the sweep; ranges without a step need points",
        {"points": _POINTS, "shuffle": _SHUFFLE},
        _grid,
        finite=True,
    ),
    "sobol": Entry("scrambled Sobol points; covers the space more evenly than random", {}, _sobol),
}


def check_searcher(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of searcher `name`, defaults filled in.

    Raises:
        SpecError: for a name, an option or a value that does not exist, with the nearest that does.
    """
    entry = SEARCHERS.get(name)
    if entry is None:
        raise SpecError(f"searcher: {name!r} is not one; {nearest(name, SEARCHERS)}")
    for option in options:
        if option not in entry.options:
            hint = nearest(option, entry.options) if entry.options else "it takes none"
            raise SpecError(f"searcher {name}: {option!r} is no option of it; {hint}")
    filled = {option: options.get(option, rule.default) for option, rule in entry.options.items()}
    for option, rule in entry.options.items():
        if not rule.fits(filled[option]):
            raise SpecError(
                f"searcher {name}: {option} is {filled[option]!r}; it may be {rule.allowed}"
            )
    return filled


def build_searcher(
    name: str, options: Mapping[str, Any], space: Space, seed: int, goal: Goal | None = None
) -> Searcher:
    """The searcher `name` over `space`.

    Args:
        name: a key of `SEARCHERS`.
        options: as `check_searcher` takes or gives them.
        space: what to search.
        seed: the sweep's seed; what a searcher draws for itself depends on it alone.
        goal: what is optimised, for searchers that look at more than a report's score.

    Raises:
        SpecError: as `check_searcher`; SpaceError: for a space that this searcher cannot search.
    """
    checked = check_searcher(name, options)
    free = [flat for flat, p in space.parameters.items() if isinstance(p.domain, Free)]
    if free:
        raise SpaceError(
            f"{free[0]} is free: it has no law that {name} could draw from; give it a distribution"
        )
    return SEARCHERS[name].build(space, seed, goal, **checked)
