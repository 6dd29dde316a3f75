"""Chooses the method for a sweep, and chooses anew as the sweep grows; says which one and why.

The choice hangs on the setting and on how many results there are, and on nothing that a resume
forgets. Every proposal carries the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.belief import Belief
from raysweep.searchers.gp import GaussianProcess
from raysweep.searchers.learner import Known, Learner, Method
from raysweep.searchers.setting import Setting
from raysweep.searchers.tpe import ParzenEstimators
from raysweep.searchers.transfer import Transfer
from raysweep.trials.streams import Stream

MANY_AXES = 20
"""Axes beyond which the Gaussian process searches in a trust region."""
MANY_RESULTS = 1_000
"""Results after which Parzen estimators find as much, in a tenth of the time."""
MANY_PENDING = 64
"""Trials under way from which suggestions are needed faster than a Gaussian process makes them."""
TURN = 3
"""At rungs one proposal in so many is by Parzen estimators. A process that has seen full trainings of
one region only can take early steps for the whole truth and stay there (docs/searchers/auto.md)."""


class Choice(NamedTuple):
    """Which method, and the reason in one line."""

    method: str
    because: str

    def __str__(self) -> str:
        return f"{self.method}: {self.because}"


def choose(setting: Setting, results: int, pending: int = 0, issued: int = 0) -> Choice:
    """The method for a sweep that has `results` results.

    Args:
        setting: the sweep.
        results: trials that have ended with a score.
        pending: trials without a result, on their way to one; where there are rungs, those that
            have come to none yet.
        issued: proposals made before.
    """
    axes = len(setting.space.dims)
    several = len(setting.goal.metrics) if setting.goal else 1
    if axes == 0:
        return Choice("random", "nothing varies")
    quick = "bohb" if setting.levels and several == 1 else "tpe"
    if results >= MANY_RESULTS and quick == "tpe":
        return Choice(quick, f"{results:,} results, and Parzen estimators stay quick")
    if pending >= MANY_PENDING:
        return Choice(quick, f"{pending} trials under way, which a model must not keep waiting")
    if several > 1:
        return Choice("gp", f"{several} metrics, a Gaussian process for each")
    if setting.earlier:
        return Choice("transfer", f"{len(setting.earlier)} earlier sweeps to start from")
    if setting.levels and issued % TURN == TURN - 1:
        return Choice(quick, f"one proposal in {TURN} at rungs, for a second opinion")
    if setting.levels:
        return Choice("mobster", f"results at {len(setting.levels)} rungs, learnt from together")
    if axes > MANY_AXES:
        return Choice("gp", f"{axes} parameters, so in a trust region")
    return Choice("gp", f"{axes} parameters and few results, where a Gaussian process does best")


_METHODS: dict[str, Callable[[Setting, Belief | None], Method]] = {
    "gp": lambda setting, belief: GaussianProcess(setting, belief=belief),
    "mobster": lambda setting, belief: GaussianProcess(setting, belief=belief, by_level=True),
    "tpe": lambda setting, belief: ParzenEstimators(setting, belief=belief),
    "bohb": lambda setting, belief: ParzenEstimators(
        setting, gamma=0.15, by_level=True, random_share=0.2, belief=belief
    ),
    "transfer": lambda setting, belief: Transfer(setting, belief=belief),
}


class Auto:
    """The method that hands each proposal to the method of the day.

    Args:
        setting: the sweep.
        belief: where the user expects good configs; every method gets it.
    """

    def __init__(self, setting: Setting, belief: Belief | None = None) -> None:
        self._setting, self._belief = setting, belief
        self._made: dict[str, Method] = {}

    def propose(self, known: Known, stream: Stream) -> Proposal:
        """What the chosen method proposes, with the choice in its reasons."""
        pending = known.silent if self._setting.levels else known.busy
        choice = choose(self._setting, len(known.done), len(pending), known.issued)
        if choice.method == "random":
            return Proposal(self._setting.space.sample(stream), {"auto": str(choice)})
        if choice.method not in self._made:
            self._made[choice.method] = _METHODS[choice.method](self._setting, self._belief)
        config, why, repeat = self._made[choice.method].propose(known, stream)
        return Proposal(config, {**why, "auto": str(choice)}, repeat)


def build(setting: Setting, prior: Mapping[str, Any] | None = None) -> Searcher:
    """The searcher `auto`."""
    return Learner(setting, Auto(setting, Belief(setting.space, prior) if prior else None))
