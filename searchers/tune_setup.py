"""Ray Tune's searchers before their first suggestion: unwrapped, and told what to search for."""

from __future__ import annotations

from typing import Any

from ray.tune.search import SearchGenerator
from ray.tune.search.search_algorithm import SearchAlgorithm
from ray.tune.search.searcher import Searcher
from ray.tune.search.variant_generator import parse_spec_vars

from raysweep.searchers.tune_space import TuneSpace
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal

_STOCK, _LEARNS_FROM_EVERY_REPORT = "ray.tune.search.", "ray.tune.search.bohb"


def unwrapped(searcher: Any) -> Searcher:
    """The `Searcher` that a user gave as such or in a SearchGenerator.

    Raises:
        SpecError: if it is none.
    """
    if isinstance(searcher, SearchGenerator):
        searcher = searcher.searcher
    if isinstance(searcher, Searcher):
        return searcher
    hint = ""
    if isinstance(searcher, SearchAlgorithm):
        hint = "; for random and grid search, leave search_alg away"
    raise SpecError(
        f"search_alg is a {type(searcher).__name__}; allowed are instances of subclasses of "
        f"ray.tune.search.Searcher, such as OptunaSearch(){hint}"
    )


def innermost(searcher: Any) -> Any:
    """The searcher in a ConcurrencyLimiter, a Repeater, or both."""
    while isinstance(inner := getattr(searcher, "searcher", None), Searcher):
        searcher = inner
    return searcher


def learns_from_every_report(searcher: Any) -> bool:
    """Whether more than a trial's last report matters; of Tune's own, for TuneBOHB only."""
    module = type(innermost(searcher)).__module__
    return not module.startswith(_STOCK) or module.startswith(_LEARNS_FROM_EVERY_REPORT)


def can_be_taught(searcher: Any) -> bool:
    """Whether it takes in results of configs that it did not suggest."""
    return type(innermost(searcher)).add_evaluated_point is not Searcher.add_evaluated_point


def set_properties(searcher: Any, space: TuneSpace, goal: Goal, num_samples: int) -> None:
    """As `ray.tune.run` does: metric, mode and space for a searcher that has none.

    Raises:
        SpecError: the searcher cannot search that space, or has one of its own as well.
    """
    if not space.original:
        return
    metric = None if searcher.metric else goal.metric
    mode = None if searcher.mode else goal.mode
    name, written = type(innermost(searcher)).__name__, dict(space.original)
    try:
        done = SearchGenerator(searcher).set_search_properties(
            metric, mode, written, num_samples=num_samples, stop={}, time_budget_s=None
        )
    except Exception as error:
        raise SpecError(f"{name} cannot search this param_space: {error}") from error
    if not done and any(parse_spec_vars(written)[1:]):
        raise SpecError(
            f"{name} has a search space of its own, so param_space may hold constants only; put the "
            f"distributions into one of the two"
        )
