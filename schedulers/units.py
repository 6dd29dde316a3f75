"""What rungs may be counted in: the option `unit` of every rule that has rungs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.metered import Metered
from raysweep.schedulers.meters import Meter, OfMetric, OfMoney, OfTime
from raysweep.schedulers.setting import Setting
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.options import Option

STEPS = "steps"
MEASURED = (STEPS, "seconds", "dollars", "cents")
"""The units that no report need name; any other is a metric's name."""


def unit() -> Option:
    """The option."""
    return Option(
        "steps, seconds, dollars, cents, or the name of a metric",
        lambda v: isinstance(v, str) and bool(v.strip()),
        STEPS,
    )


def unit_of(options: Mapping[str, Any]) -> str:
    """The unit of a scheduler's options; steps if they have none."""
    return str(options.get("unit", STEPS))


def check_unit(
    name: str, options: Mapping[str, Any], goal: Goal | None, prices: Mapping[str, float]
) -> None:
    """Refuse a unit that cannot count.

    Args:
        name, options: of a scheduler.
        goal: what is optimised, if it is known.
        prices: as of `Setting`.

    Raises:
        SpecError: it is misspelt, is what is optimised, or is money and nothing has a price.
    """
    given = unit_of(options)
    plain = given.strip().lower().rstrip("s") + "s"
    if given not in MEASURED and plain in MEASURED:
        raise SpecError(f"scheduler {name}: unit is {given!r}; write {plain}")
    if goal is not None and given in dict(goal.metrics):
        raise SpecError(
            f"scheduler {name}: unit is {given!r}, which is optimised; name a metric that counts "
            f"up, such as samples or tokens, or take one of {', '.join(MEASURED)}"
        )
    if given in ("dollars", "cents") and not prices:
        raise SpecError(
            f"scheduler {name}: unit is {given}, and nothing has a price; give cluster.prices, "
            f"dollars an hour of one slot by device: {{H100: 2.5, cpu: 0.1}}"
        )


def in_unit(rule: Scheduler, unit: str, setting: Setting) -> Scheduler:
    """`rule`, made for whole numbers of `unit`, as a scheduler of trials that take steps."""
    return rule if unit == STEPS else Metered(rule, _meter(unit, setting), unit)


def _meter(unit: str, setting: Setting) -> Meter:
    if unit == "seconds":
        return OfTime(setting.speeds)
    if unit in ("dollars", "cents"):
        return OfMoney(setting.prices, 100 if unit == "cents" else 1)
    return OfMetric(unit)
