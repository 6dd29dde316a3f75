"""HyperBand: brackets that trade many short trials against few long ones, without idle workers.

Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar: "Hyperband: A Novel Bandit-Based Approach to
Hyperparameter Optimization", JMLR 18 (2018), Algorithm 1 with the sizes of its Table 1:

    s_max   the largest s for which the first rung R // η^s is still grace_period or more
    n_s     ⌊(s_max + 1) / (s + 1)⌋ · η^s trials in bracket s = s_max … 0
    rungs   R // η^s, R // η^(s-1), …, R // η; at R a trial is complete

Everything is counted in whole numbers: a logarithm would lose a bracket for R = 243, η = 3.

A bracket is synchronous: a rung is decided once every trial that can still reach it has reached
it or ended, and then the best ⌊m/η⌋ of the m that reached it (at least one) go on. Nobody waits
for that with idle hands: while one bracket's rung fills, further trials open the next bracket, and
after s = 0 it begins again with s_max. A trial that ended counts as what it showed, but its place
among the best goes to the next one, so that no failure thins a bracket out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sortedcontainers import SortedList

from raysweep.schedulers.base import Promotion
from raysweep.schedulers.rungs import Rung, reason
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Config, Outcome, Report, TrialId

_Key = tuple[float, int]
_RULE = "hyperband"


class Shape(NamedTuple):
    """One bracket: how many trials start in it, and its steps; the last of these is max_t."""

    trials: int
    steps: tuple[int, ...]


def brackets(max_t: int, grace_period: int = 1, reduction_factor: int = 3) -> list[Shape]:
    """The brackets of one round, the one with most trials first.

    Example:
        >>> brackets(9)
        [Shape(trials=9, steps=(1, 3, 9)), Shape(trials=3, steps=(3, 9)), Shape(trials=3, steps=(9,))]
    """
    steps = [max_t]
    while steps[0] // reduction_factor >= grace_period:
        steps.insert(0, steps[0] // reduction_factor)
    rounds = len(steps)
    return [
        Shape(rounds // (s + 1) * reduction_factor**s, tuple(steps[rounds - 1 - s :]))
        for s in range(rounds - 1, -1, -1)
    ]


class _Bracket:
    """One bracket at its current rung, `level`; `due` can still reach it, `waiting` have."""

    def __init__(self, number: int, shape: Shape, reduction_factor: int) -> None:
        self.number, self.shape, self._eta = number, shape, reduction_factor
        self.joined = self.level = 0
        self.sealed = False
        self.rung = Rung(shape.steps[0])
        self.due: set[TrialId] = set()
        self.waiting: dict[TrialId, _Key] = {}

    @property
    def full(self) -> bool:
        return self.sealed or self.joined >= self.shape.trials

    @property
    def decided(self) -> bool:
        """Whether no rung is left at which to compare anybody."""
        return self.level == len(self.shape.steps) - 1

    def join(self, trial: TrialId) -> None:
        self.joined += 1
        if not self.decided:
            self.due.add(trial)

    def arrive(self, trial: TrialId, score: float) -> Reason:
        self.due.discard(trial)
        key = self.rung.record(score)
        if score != WORST:
            self.waiting[trial] = key
        return reason(_RULE, self.rung, score, self.rung.standing(key, self._eta, least=1))

    def leave(self, trial: TrialId) -> None:
        self.due.discard(trial)
        self.waiting.pop(trial, None)

    def settle(self) -> tuple[list[tuple[TrialId, Reason]], list[TrialId]]:
        """Decide the rung if nobody can reach it any more: the winners, best first, and the losers."""
        if self.due or self.decided or not self.full:
            return [], []
        ranked = sorted((key, trial) for trial, key in self.waiting.items())
        if not ranked:
            self.level = len(self.shape.steps) - 1
            return [], []
        standing = self.rung.standing(ranked[0][0], self._eta, least=1)
        winners = ranked[: standing.keep]
        cutoff = winners[-1][0][0]
        won = [
            (trial, Reason(_RULE, self.rung.step, key[0], cutoff, rank, standing.peers))
            for rank, (key, trial) in enumerate(winners, 1)
        ]
        self.level += 1
        self.rung = Rung(self.shape.steps[self.level])
        self.due = set() if self.decided else {trial for trial, _ in won}
        self.waiting = {}
        return won, [trial for _, trial in ranked[standing.keep :]]

    def state(self) -> dict[str, Any]:
        return {
            "joined": self.joined,
            "sealed": self.sealed,
            "level": self.level,
            "scores": self.rung.state(),
            "due": sorted(self.due),
            "waiting": {trial: list(self.waiting[trial]) for trial in sorted(self.waiting)},
        }

    def load(self, state: dict[str, Any]) -> None:
        self.joined, self.sealed, self.level = state["joined"], state["sealed"], state["level"]
        self.rung = Rung(self.shape.steps[self.level])
        self.rung.load(state["scores"])
        self.due = set(state["due"])
        self.waiting = {trial: (score, order) for trial, (score, order) in state["waiting"].items()}


class HyperBand:
    """Brackets of successive halving, filled one after the other.

    Args:
        max_t: R, the step at which a trial is complete.
        grace_period: the least step at which trials are compared.
        reduction_factor: η ≥ 2.
    """

    def __init__(self, max_t: int, grace_period: int = 1, reduction_factor: int = 3) -> None:
        self._max_t, self._eta = max_t, reduction_factor
        self._shapes = brackets(max_t, grace_period, reduction_factor)
        self._opened = 0
        self._brackets: dict[int, _Bracket] = {}  # not full, or with a rung to decide
        self._member: dict[TrialId, _Bracket] = {}  # due or waiting in one of these
        self._ready: SortedList = SortedList()  # (-step to run to, bracket, rank, trial)
        self._place: dict[TrialId, tuple[tuple[int, int, int, TrialId], Reason]] = {}

    def grant(self, trial: TrialId, config: Config) -> int:
        """A new trial joins the bracket that is being filled and may run to its first rung."""
        bracket = self._filling() or self._bracket(self._opened)
        if bracket.number == self._opened:
            self._opened += 1
            self._brackets[bracket.number] = bracket
        bracket.join(trial)
        if bracket.decided:
            self._drop(bracket)
        else:
            self._member[trial] = bracket
        return bracket.shape.steps[0]

    def _bracket(self, number: int) -> _Bracket:
        return _Bracket(number, self._shapes[number % len(self._shapes)], self._eta)

    def _filling(self) -> _Bracket | None:
        bracket = self._brackets.get(self._opened - 1)
        return None if bracket is None or bracket.full else bracket

    def _drop(self, bracket: _Bracket) -> None:
        if bracket.full and bracket.decided:
            self._brackets.pop(bracket.number, None)

    def on_report(self, report: Report) -> Decision:
        """Pause at rungs, finish at max_t; the last to reach a rung hears at once how it fared."""
        if report.step >= self._max_t:
            return Finish(Reason("max_t", self._max_t, report.score))
        bracket = self._member.get(report.trial)
        if bracket is None or report.trial not in bracket.due or report.step < bracket.rung.step:
            return CONTINUE
        why = bracket.arrive(report.trial, report.score)
        if report.score == WORST:
            del self._member[report.trial]
        self._settle(bracket)
        if report.trial in self._place:
            return RunTo(*self._take(report.trial))
        return Stop(why) if report.score == WORST else Pause(why)

    def _settle(self, bracket: _Bracket) -> None:
        won, lost = bracket.settle()
        step = bracket.shape.steps[bracket.level]
        for rank, (trial, why) in enumerate(won):
            entry = (-step, bracket.number, rank, trial)
            self._ready.add(entry)
            self._place[trial] = (entry, why)
        for trial in [*lost, *(trial for trial, _ in won if bracket.decided)]:
            del self._member[trial]
        self._drop(bracket)

    def _take(self, trial: TrialId) -> tuple[int, Reason]:
        """Strike `trial` off the list of those that may go on: to which step, and why."""
        entry, why = self._place.pop(trial)
        self._ready.remove(entry)
        return -entry[0], why

    def next_paused(self, more: bool = True) -> Promotion | None:
        """The winner that is nearest to its end; of these, of the oldest bracket, the best.

        `more` False, while nobody has won: the bracket that is being filled is decided among those
        that it has.
        """
        if not self._ready and not more and (filling := self._filling()):
            filling.sealed = True
            self._settle(filling)
        if not self._ready:
            return None
        trial = self._ready[0][-1]
        return Promotion(trial, *self._take(trial))

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Nobody waits for it any more; what it showed at the rung stays."""
        if trial in self._place:
            self._take(trial)
        bracket = self._member.pop(trial, None)
        if bracket is not None:
            bracket.leave(trial)
            self._settle(bracket)

    def state(self) -> dict[str, Any]:
        """The open brackets, who is due and who waits in each, and who may go on."""
        return {
            "opened": self._opened,
            "brackets": {str(number): b.state() for number, b in self._brackets.items()},
            "ready": [[*entry, *self._place[entry[-1]][1]] for entry in self._ready],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._opened = state["opened"]
        for number, saved in state["brackets"].items():
            bracket = self._brackets[int(number)] = self._bracket(int(number))
            bracket.load(saved)
            self._member |= dict.fromkeys([*bracket.due, *bracket.waiting], bracket)
        for step, number, rank, trial, *why in state["ready"]:
            self._ready.add((step, number, rank, trial))
            self._place[trial] = ((step, number, rank, trial), Reason(*why))
