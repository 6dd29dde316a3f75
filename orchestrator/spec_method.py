"""The methods of the literature by their names: a searcher and a scheduler that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from raysweep.schedulers.catalog import SCHEDULERS
from raysweep.searchers.catalog import SEARCHERS
from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest


class Method(NamedTuple):
    """Both halves, as `searcher` and `scheduler` of a spec have them."""

    searcher: dict[str, Any]
    scheduler: dict[str, Any]


METHODS = {
    "asha": Method({"name": "random"}, {"name": "asha"}),
    "bohb": Method({"name": "bohb"}, {"name": "hyperband"}),
    "dehb": Method({"name": "dehb"}, {"name": "dehb"}),
    "hyperband": Method({"name": "random"}, {"name": "hyperband"}),
    "hyper_tune": Method({"name": "hyper_tune"}, {"name": "hyper_tune"}),
    "mobster": Method({"name": "mobster"}, {"name": "asha"}),
    "pasha": Method({"name": "random"}, {"name": "pasha"}),
}


_TOGETHER = "dehb"
"""A searcher and a scheduler of this name that are of no use without each other."""


def pair_amiss(searcher: str, scheduler: str) -> str:
    """What is wrong with a searcher and a scheduler that are each allowed, "" for nothing."""
    if (searcher == _TOGETHER) == (scheduler == _TOGETHER):
        return ""
    has, lacks = ("searcher", "scheduler") if searcher == _TOGETHER else ("scheduler", "searcher")
    other = scheduler if lacks == "scheduler" else searcher
    return (
        f"{has} {_TOGETHER}: it evolves configs fidelity by fidelity together with the {lacks} of "
        f"the same name, and {lacks} is {other}; write method: {{name: {_TOGETHER}, max_t: 81}} in "
        f"the place of both"
    )


def expand_method(raw: dict[str, Any]) -> None:
    """Put the searcher and the scheduler of `method` in its place in `raw`.

    `method: bohb`, or `method: {name: bohb, max_t: 81}` with options of either half.

    Raises:
        SpecError: there is no such method or option, or one of the halves is given as well.
    """
    if "method" not in raw:
        return
    name, options = _read(raw.pop("method"))
    for half in Method._fields:
        if half in raw:
            raise SpecError(
                f"method: {name} stands for a searcher and a scheduler, and {half} is given as well; "
                f"leave one out, or write both: searcher: {_written(METHODS[name].searcher)}, "
                f"scheduler: {_written(METHODS[name].scheduler)}"
            )
    halves = {half: dict(part) for half, part in METHODS[name]._asdict().items()}
    scheduler = SCHEDULERS[halves["scheduler"]["name"]].options
    searcher = {**SEARCHERS[halves["searcher"]["name"]].options, "points_to_evaluate": None}
    for option, value in options.items():
        if option not in scheduler and option not in searcher:
            hint = nearest(option, [*scheduler, *searcher])
            raise SpecError(f"method {name}: {option!r} is no option of it; {hint}")
        halves["scheduler" if option in scheduler else "searcher"][option] = value
    for option, rule in scheduler.items():
        if rule.required and option not in options:
            raise SpecError(
                f"method {name}: {option} is missing; it may be {rule.allowed}, e.g. "
                f"method: {{name: {name}, {option}: 81}}"
            )
    raw.update(halves)


def _read(written: Any) -> tuple[str, dict[str, Any]]:
    name = written.get("name") if isinstance(written, Mapping) else written
    if not isinstance(name, str):
        raise SpecError(f"method: got {written!r}; write a name, or {{name: ..., option: value}}")
    if name not in METHODS:
        raise SpecError(f"method: {name!r} is not one; {nearest(name, METHODS)}")
    options = dict(written) if isinstance(written, Mapping) else {}
    options.pop("name", None)
    return name, options


def _written(part: Mapping[str, Any]) -> str:
    return str(part["name"])
