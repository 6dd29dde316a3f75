"""A trial that is paused gives its place among the concurrent ones back, and takes it again.

Tune's limits on concurrency count trials that are paused, so a scheduler that pauses whole rungs
would wait for ever for trials that the limit keeps away. The functions walk from Tune's search
algorithm through whatever its searchers wrap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


def _parts(search_alg: Any) -> Iterator[Any]:
    """The search algorithm and the searchers inside it, outermost first."""
    part, depth = search_alg, 0
    while part is not None and depth < 20:
        yield part
        part, depth = getattr(part, "searcher", None), depth + 1


def _live(part: Any) -> set[str] | None:
    """The trials that count against this part's limit; None: it has no limit that can be lent."""
    if not getattr(part, "max_concurrent", 0) or getattr(part, "batch", False):
        return None
    # RAY_ATTRIBUTES: BasicVariantGenerator names its set _live_trials, ConcurrencyLimiter live_trials
    live = getattr(part, "live_trials", None)
    live = getattr(part, "_live_trials", None) if live is None else live
    return live if isinstance(live, set) else None


def _count(part: Any, change: int) -> None:
    if hasattr(part, "num_unfinished_live_trials"):
        part.num_unfinished_live_trials += change


def room(search_alg: Any) -> float:
    """How many more trials may run at once; infinite without a limit."""
    least = math.inf
    for part in _parts(search_alg):
        live = _live(part)
        if live is not None:
            least = min(least, part.max_concurrent - len(live))
    return least


def give_back(search_alg: Any, trial: str) -> None:
    """`trial` is paused: it counts against no limit, and a searcher that asks for it is told."""
    for part in _parts(search_alg):
        live = _live(part)
        if live is not None and trial in live:
            live.remove(trial)
            _count(part, -1)
    _tell(search_alg, "on_pause", trial)


def take_again(search_alg: Any, trial: str) -> None:
    """`trial` is about to go on, or to end, which a limit hears of only for those that it counts."""
    for part in _parts(search_alg):
        live = _live(part)
        if live is not None and trial not in live:
            live.add(trial)
            _count(part, 1)
    _tell(search_alg, "on_unpause", trial)


def _tell(search_alg: Any, hook: str, trial: str) -> None:
    """Call `on_pause` or `on_unpause` of the innermost searcher, as Tune's own BOHB wants it."""
    *_, innermost = _parts(search_alg)
    call = getattr(innermost, hook, None)
    if call is not None:
        call(trial)
