"""The schedulers by name: what `scheduler:` in a spec may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.fifo import Fifo
from raysweep.schedulers.hyperband import HyperBand
from raysweep.schedulers.median import MedianStopping
from raysweep.schedulers.rungs import rung_steps
from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest
from raysweep.trials.options import Option, check_options, count, word


class Entry(NamedTuple):
    """One scheduler: what it is for, what it takes, how it is made."""

    summary: str
    options: Mapping[str, Option]
    build: Callable[..., Scheduler]


_MAX_T = count()


def _asha(form: str, **options: int) -> Scheduler:
    return (PromotionAsha if form == "promotion" else StoppingAsha)(**options)


SCHEDULERS: dict[str, Entry] = {
    "fifo": Entry("every trial runs to its end", {"max_t": _MAX_T}, Fifo),
    "median": Entry(
        "stops a trial whose best is worse than the median of the others' averages",
        {
            "max_t": _MAX_T,
            "grace_period": count(1),
            "interval": count(1),
            "min_trials": count(3),
        },
        MedianStopping,
    ),
    "asha": Entry(
        "asynchronous successive halving: gives the best 1/reduction_factor at each rung more",
        {
            "max_t": count(required=True),
            "grace_period": count(1),
            "reduction_factor": count(3, least=2),
            "form": word("promotion", "promotion", "stopping"),
        },
        _asha,
    ),
    "hyperband": Entry(
        "brackets of successive halving, from many short trials to few long ones",
        {
            "max_t": count(required=True),
            "grace_period": count(1),
            "reduction_factor": count(3, least=2),
        },
        HyperBand,
    ),
}


def check_scheduler(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of scheduler `name`, defaults filled in.

    Raises:
        SpecError: for a name, an option or a value that does not exist, with the nearest that does.
    """
    entry = SCHEDULERS.get(name)
    if entry is None:
        raise SpecError(f"scheduler: {name!r} is not one; {nearest(name, SCHEDULERS)}")
    filled = check_options("scheduler", name, options, entry.options)
    max_t, grace = filled.get("max_t"), filled.get("grace_period", 1)
    if max_t is not None and grace > max_t:
        raise SpecError(f"scheduler {name}: grace_period {grace} is beyond max_t {max_t}; lower it")
    return filled


def build_scheduler(name: str, options: Mapping[str, Any]) -> Scheduler:
    """The scheduler `name` with `options`, checked.

    Raises:
        SpecError: as `check_scheduler`.
    """
    checked = check_scheduler(name, options)
    return SCHEDULERS[name].build(**checked)


def levels_of(written: Mapping[str, Any]) -> tuple[int, ...]:
    """The steps at which a scheduler compares trials, ascending, and its max_t behind them.

    Args:
        written: its name and options, as a spec has them.

    Returns:
        Nothing for schedulers without rungs, and for Python objects.
    """
    if written.get("name") not in ("asha", "hyperband"):
        return ()
    grace, factor = written.get("grace_period", 1), written.get("reduction_factor", 3)
    max_t = written["max_t"]
    if written["name"] == "asha":
        return (*rung_steps(grace, max_t, factor), max_t)
    shares = [max_t // step for step in rung_steps(1, max_t + 1, factor)]
    return tuple(sorted({step for step in shares if step >= grace}))
