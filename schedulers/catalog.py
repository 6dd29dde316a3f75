"""The schedulers by name: what `scheduler:` in a spec may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.fifo import Fifo
from raysweep.schedulers.hyperband import HyperBand
from raysweep.schedulers.median import MedianStopping
from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest


class Option(NamedTuple):
    """One option: the least whole number it may be, or the words it may be; and its default."""

    allowed: int | tuple[str, ...]
    default: Any
    required: bool = False


class Entry(NamedTuple):
    """One scheduler: what it is for, what it takes, how it is made."""

    summary: str
    options: Mapping[str, Option]
    build: Callable[..., Scheduler]


_MAX_T = Option(1, None)


def _asha(form: str, **options: int) -> Scheduler:
    return (PromotionAsha if form == "promotion" else StoppingAsha)(**options)


SCHEDULERS: dict[str, Entry] = {
    "fifo": Entry("every trial runs to its end", {"max_t": _MAX_T}, Fifo),
    "median": Entry(
        "stops a trial whose best is worse than the median of the others' averages",
        {
            "max_t": _MAX_T,
            "grace_period": Option(1, 1),
            "interval": Option(1, 1),
            "min_trials": Option(1, 3),
        },
        MedianStopping,
    ),
    "asha": Entry(
        "asynchronous successive halving: gives the best 1/reduction_factor at each rung more",
        {
            "max_t": Option(1, None, required=True),
            "grace_period": Option(1, 1),
            "reduction_factor": Option(2, 3),
            "form": Option(("promotion", "stopping"), "promotion"),
        },
        _asha,
    ),
    "hyperband": Entry(
        "brackets of successive halving, from many short trials to few long ones",
        {
            "max_t": Option(1, None, required=True),
            "grace_period": Option(1, 1),
            "reduction_factor": Option(2, 3),
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
    for option in options:
        if option not in entry.options:
            hint = nearest(option, entry.options)
            raise SpecError(f"scheduler {name}: {option!r} is no option of it; {hint}")
    filled = {
        option: _checked(name, option, rule, options.get(option, rule.default))
        for option, rule in entry.options.items()
    }
    max_t, grace = filled.get("max_t"), filled.get("grace_period", 1)
    if max_t is not None and grace > max_t:
        raise SpecError(f"scheduler {name}: grace_period {grace} is beyond max_t {max_t}; lower it")
    return filled


def _checked(name: str, option: str, rule: Option, value: Any) -> Any:
    if value is None and rule.default is None and not rule.required:
        return None
    if isinstance(rule.allowed, tuple):
        if value not in rule.allowed:
            words = " or ".join(rule.allowed)
            raise SpecError(f"scheduler {name}: {option} is {value!r}; it may be {words}")
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < rule.allowed:
        given = "missing" if value is None else f"{value!r}"
        raise SpecError(
            f"scheduler {name}: {option} is {given}; it must be a whole number, {rule.allowed} or more"
        )
    return value


def build_scheduler(name: str, options: Mapping[str, Any]) -> Scheduler:
    """The scheduler `name` with `options`, checked.

    Raises:
        SpecError: as `check_scheduler`.
    """
    checked = check_scheduler(name, options)
    return SCHEDULERS[name].build(**checked)
