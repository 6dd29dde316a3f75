"""DEHB: differential evolution at each fidelity of HyperBand's brackets.

Awad, Mallik, Hutter: "DEHB: Evolutionary Hyperband for Scalable, Robust and Efficient Hyperparameter
Optimization", IJCAI 2021, arXiv:2105.09821, section 4:

    subpopulation   for each fidelity, of as many slots as its largest rung has trials; the trials
                    of a fidelity go through the slots in turn
    mutation        rand/1: v = a + F (b − c), F = 0.5
    crossover       binomial with the slot's holder, Cr = 0.5, one axis of v for certain
    selection       a trial takes its slot if it is no worse than the holder
    parent pool     whom a, b, c are drawn from: the best of the fidelity below, as many as the rung
                    has trials; at a bracket's first rung, of its own fidelity

In the first round of brackets a rung above the first takes the best configs of the one below, as
HyperBand does, which fills the subpopulations. What of v lies outside the space is drawn anew. Every
evaluation is a trial from its first step, as in the paper.

Asynchronous: a trial's fidelity and slot follow from its number alone (`trials/timetable.py`).
Where the paper waits for a rung and opens another bracket meanwhile, a trial here takes the best
that there is by then.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raysweep.searchers.base import Answer, Proposal, Searcher
from raysweep.searchers.evolution import filled
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.history import Fate, Floats, key_of
from raysweep.searchers.learner import Design, Known, Learner
from raysweep.searchers.setting import Setting
from raysweep.trials.streams import Generator, Stream
from raysweep.trials.timetable import Place, Timetable
from raysweep.trials.trial import TrialId, trial_number

_PARENTS = 3


class Subpopulations:
    """Who holds which slot of which fidelity: rows of a history, by level and slot.

    Args:
        table: gives level and slot of each trial.
    """

    def __init__(self, table: Timetable) -> None:
        self._table = table
        self._read = self._ended = 0
        self.holders: list[dict[int, int]] = [{} for _ in table.populations]
        self.tried: list[set[bytes]] = [set() for _ in table.populations]

    def slot(self, place: Place) -> int:
        """Which slot of its level a place is for."""
        return place.turn % self._table.populations[place.level]

    def follow(self, known: Known) -> None:
        """Take in what has become known since the last call, in the order in which it did."""
        for row in range(self._read, len(known.ids)):
            if (place := self._place(known, row)) is not None:
                self.tried[place.level].add(key_of(known.points[row]))
        self._read = len(known.ids)
        for row in known.ended[self._ended :]:
            place = self._place(known, row)
            if place is None or known.fates[row] != Fate.DONE:
                continue
            slots, slot = self.holders[place.level], self.slot(place)
            if slot not in slots or known.scores[row] <= known.scores[slots[slot]]:
                slots[slot] = row
        self._ended = len(known.ended)

    def _place(self, known: Known, row: int) -> Place | None:
        number = trial_number(known.ids[row])
        return None if number is None else self._table.place(number)

    def best(self, known: Known, level: int) -> list[int]:
        """The holders at a level, the best first."""
        return sorted(self.holders[level].values(), key=lambda row: (known.scores[row], row))


class DifferentialEvolution:
    """The method of `dehb`.

    Args:
        setting: its `levels` are the fidelities; without any there is one.
        factor: F.
        crossover: Cr.

    Attributes:
        number: of the trial that is asked for.
    """

    def __init__(self, setting: Setting, factor: float = 0.5, crossover: float = 0.5) -> None:
        self._space, self._factor, self._crossover = setting.space, factor, crossover
        self._axes = Axes(setting.space)
        self._table = Timetable(setting.levels or (1,), setting.reduction_factor)
        self._groups = Subpopulations(self._table)
        self._design = Design(setting.space, setting.seed)
        self.number = 0

    def propose(self, known: Known, stream: Stream) -> Proposal:
        """The best of the rung below in the first round, else a child; a design point at first."""
        self._groups.follow(known)
        place = self._table.place(self.number)
        if place.bracket < self._table.rounds and place.rung:
            row = self._promoted(known, place)
            if row is not None:
                return self._proposal(known, place, known.points[row], [row], "promoted", True)
        if (place.bracket == 0 and place.rung == 0) or not any(self._groups.holders):
            return self._design.propose(self.number)
        return self._child(known, place, stream.generator())

    def _promoted(self, known: Known, place: Place) -> int | None:
        """The best of the level below whose config nobody at this level has."""
        taken = set(self._groups.tried[place.level])
        for trial, proposal in known.held.items():
            number = trial_number(trial)
            if number is not None and self._table.place(number).level == place.level:
                taken.add(key_of(self._space.encode(proposal.config)))
        for row in self._groups.best(known, place.level - 1):
            if key_of(known.points[row]) not in taken:
                return row
        return None

    def _child(self, known: Known, place: Place, generator: Generator) -> Proposal:
        below = place.level - 1 if place.rung else place.level
        pool = self._groups.best(known, below)[: max(place.size, _PARENTS)]
        others = [row for slots in self._groups.holders for row in slots.values()]
        pool += [row for row in dict.fromkeys(others) if row not in pool][: _PARENTS - len(pool)]
        parents = generator.permutation(np.array(pool))[:_PARENTS].tolist()
        donors = [filled(known.points[row], generator) for row in parents]
        donors += list(generator.random((_PARENTS - len(donors), self._axes.count)))
        holder = self._groups.holders[place.level].get(self._groups.slot(place))
        target = generator.random(self._axes.count)
        if holder is not None:
            target = filled(known.points[holder], generator)
        point = crossed(target, mutant(donors, self._factor, generator), self._crossover, generator)
        rows = parents if holder is None else [holder, *parents]
        return self._proposal(known, place, self._axes.settle(point[None])[0], rows, "child", False)

    def _proposal(
        self, known: Known, place: Place, point: Floats, rows: list[int], how: str, repeat: bool
    ) -> Proposal:
        why = {
            "model": "dehb",
            "parents": [known.ids[row] for row in dict.fromkeys(rows)],
            "n": len(known.done),
            "note": f"{how}, for step {place.step}, slot {self._groups.slot(place)}",
        }
        return Proposal(self._space.decode(point), why, repeat)


def mutant(donors: Sequence[Floats], factor: float, generator: Generator) -> Floats:
    """rand/1: a + F (b − c), shape (d,); what leaves [0, 1] is drawn anew."""
    a, b, c = donors
    moved = a + factor * (b - c)
    outside = (moved < 0.0) | (moved > 1.0)
    return np.where(outside, generator.random(len(moved)), moved)


def crossed(target: Floats, mutant: Floats, crossover: float, generator: Generator) -> Floats:
    """Binomial crossover: each axis of the mutant with probability Cr, one for certain."""
    taken = generator.random(len(target)) < crossover
    taken[generator.integers(0, len(target))] = True
    return np.where(taken, mutant, target)


class Dehb(Learner):
    """A learner that tells its method which trial is asked for."""

    def __init__(self, setting: Setting, method: DifferentialEvolution) -> None:
        super().__init__(setting, method)
        self._evolution = method

    def ask(self, trial: TrialId, stream: Stream) -> Answer:
        """A config for the fidelity at which the scheduler `dehb` will let this trial run."""
        number = trial_number(trial)
        self._evolution.number = self.known.issued if number is None else number
        return super().ask(trial, stream)


def build(setting: Setting, **options: float) -> Searcher:
    """The searcher `dehb`."""
    return Dehb(setting, DifferentialEvolution(setting, **options))
