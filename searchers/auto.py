"""Chooses the method for a sweep, and chooses anew as the sweep grows; says which one and why.

The choice hangs on the setting and on how many results there are, and on nothing that a resume
forgets. Every proposal carries the line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.learner import Known, Learner, Method
from raysweep.searchers.setting import Setting
from raysweep.trials.streams import Stream

MANY_AXES = 20
"""Axes beyond which a Gaussian process searches in a trust region."""
MANY_RESULTS = 1_000
"""Results after which a Gaussian process costs more than it finds beside Parzen estimators."""
MANY_WORKERS = 64
"""Trials at once from which a batch of model-based proposals is mixed with Parzen estimators."""


class Choice(NamedTuple):
    """Which searcher, and the reason in one line."""

    searcher: str
    because: str


def choose(setting: Setting, results: int) -> Choice:
    """The searcher for a sweep that has `results` results.

    Args:
        setting: the sweep.
        results: trials that have ended with a score.
    """
    axes, several = len(setting.space.dims), setting.goal and len(setting.goal.metrics) > 1
    if setting.earlier:
        return Choice("transfer", f"{len(setting.earlier)} earlier sweeps to start from")
    if setting.levels and not several:
        return Choice("mobster", f"results at {len(setting.levels)} rungs, learnt from together")
    if results >= MANY_RESULTS:
        return Choice("tpe", f"{results:,} results: Parzen estimators stay quick")
    if several:
        return Choice("gp", f"{len(setting.goal.metrics if setting.goal else ())} metrics, one model of each")
    if axes > MANY_AXES:
        return Choice("gp", f"{axes} parameters: a trust region")
    return Choice("gp", f"{axes} parameters, {results} results: a Gaussian process")


class Auto:
    """The method that hands each proposal to the method of the day.

    Args:
        setting: the sweep.
        methods: how to make each of those that `choose` may name.
    """

    def __init__(self, setting: Setting, methods: dict[str, Callable[[], Method]]) -> None:
        self._setting, self._make = setting, methods
        self._made: dict[str, Method] = {}

    def propose(self, known: Known, stream: Stream) -> Proposal:
        """What the chosen method proposes, with the choice in its reasons."""
        choice = choose(self._setting, len(known.done))
        if choice.searcher not in self._made:
            self._made[choice.searcher] = self._make[choice.searcher]()
        config, why, repeat = self._made[choice.searcher].propose(known, stream)
        return Proposal(config, {**why, "auto": f"{choice.searcher}: {choice.because}"}, repeat)
