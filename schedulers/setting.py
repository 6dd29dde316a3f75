"""What a scheduler is made for: the goal, the space and the seed of the sweep around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from raysweep.trials.goal import Goal
from raysweep.trials.space import Space


class Setting(NamedTuple):
    """The sweep as a scheduler sees it before it begins; None: unknown there.

    Attributes:
        goal: what is optimised.
        space: what configs are drawn from.
        seed: the sweep's; what a scheduler draws depends on it and on the trial alone.
        trials: how many trials the budget allows; None: no such limit.
        workers: how many trials run at once, as far as it is known.
        speeds: of devices, 1 that of the reference hardware; learnt for those that are missing.
        prices: dollars an hour of one slot, by device.
    """

    goal: Goal | None = None
    space: Space | None = None
    seed: int = 0
    trials: int | None = None
    workers: int | None = None
    speeds: Mapping[str, float] = {}
    prices: Mapping[str, float] = {}


UNKNOWN = Setting()
