"""What a scheduler is made for: the goal, the space and the seed of the sweep around it."""

from __future__ import annotations

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
    """

    goal: Goal | None = None
    space: Space | None = None
    seed: int = 0
    trials: int | None = None
    workers: int | None = None


UNKNOWN = Setting()
