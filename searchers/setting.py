"""What a searcher is made for: the space, the goal, and what is known of the sweep around it."""

from __future__ import annotations

from typing import Any, NamedTuple

from raysweep.trials.goal import Goal
from raysweep.trials.space import Space


class Earlier(NamedTuple):
    """What an earlier sweep learnt, for searchers that start from it.

    Attributes:
        name: which sweep.
        configs: its trials' configs, of a space that may be another; parameters of the same
            name mean the same.
        scores: each one's score, lower is better, `goal.WORST` for failures; same metric and mode
            as the sweep that is starting.
        facts: what else is known of its task, as plain numbers (meta-features), by name.
    """

    name: str
    configs: tuple[dict[str, Any], ...]
    scores: tuple[float, ...]
    facts: dict[str, float] = {}  # noqa: RUF012 - never written to


class Setting(NamedTuple):
    """The sweep as a searcher sees it before it begins.

    Attributes:
        space: what to search.
        seed: the sweep's; what a searcher draws for itself depends on it alone.
        goal: what is optimised; None: unknown, and only searchers that do not learn can be made.
        trials: how many trials the budget allows; None: no such limit.
        workers: how many trials run at once, as far as it is known.
        levels: the steps at which the scheduler compares trials, ascending, the last one a full
            training; empty where every trial runs to its end.
        reduction_factor: how many times as far each of them is as the one before.
        earlier: results of earlier sweeps.
        facts: what is known of this sweep's own task, as plain numbers by name.
    """

    space: Space
    seed: int = 0
    goal: Goal | None = None
    trials: int | None = None
    workers: int | None = None
    levels: tuple[int, ...] = ()
    reduction_factor: int = 3
    earlier: tuple[Earlier, ...] = ()
    facts: dict[str, float] = {}  # noqa: RUF012 - never written to
