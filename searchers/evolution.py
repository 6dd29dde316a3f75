"""Populations: regularised evolution, differential evolution and NSGA-II, one trial at a time.

Notation: the population is a number of results out of the history, chosen anew for each proposal;
so any number of workers may ask, and nothing has to be stored. All of them move points of the unit
cube and settle them on the space's values; conditions and absent parameters need no care.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.history import Floats, Ints
from raysweep.searchers.learner import Design, Known, Learner
from raysweep.searchers.setting import Setting
from raysweep.trials.pareto import by_front
from raysweep.trials.streams import Generator, Stream

_ETA = 15.0
"""Distribution index of crossover and mutation in NSGA-II; greater keeps children nearer."""


class Rule(Protocol):
    """How a child is made."""

    name: str

    def child(
        self, known: Known, axes: Axes, size: int, generator: Generator
    ) -> tuple[Floats, list[int]]:
        """A point, shape (d,), not settled, and the rows of its parents."""
        ...


class Population:
    """The method of all three.

    Args:
        setting: the sweep.
        rule: how a child is made.
        population: how many results are its parents' pool; the first so many trials are Sobol
            points.
    """

    def __init__(self, setting: Setting, rule: Rule, population: int) -> None:
        self._setting, self._rule, self._size = setting, rule, population
        self._axes = Axes(setting.space)
        self._design = Design(setting.space, setting.seed)

    def propose(self, known: Known, stream: Stream) -> Proposal:
        """A design point while there is no population, then a child."""
        few = min(self._size, 4)
        if known.issued < self._size or len(known.done) < few:
            return self._design.propose(known.issued)
        generator = stream.generator()
        point, parents = self._rule.child(known, self._axes, self._size, generator)
        why = {
            "model": self._rule.name,
            "parents": [known.ids[row] for row in parents],
            "n": len(known.done),
        }
        return Proposal(self._setting.space.decode(self._axes.settle(point[None])[0]), why)


class Ageing:
    """Regularised evolution: the best of a few of the newest, mutated.

    Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019,
    Algorithm 1: the oldest leave the population, however good they are.
    """

    name = "evolution"

    def __init__(self, tournament: int = 5) -> None:
        self._tournament = tournament

    def child(
        self, known: Known, axes: Axes, size: int, generator: Generator
    ) -> tuple[Floats, list[int]]:
        """A mutation of the tournament's winner: one axis for certain, others by chance."""
        newest = known.done[-size:]
        picked = generator.choice(newest, min(self._tournament, len(newest)), replace=False)
        winner = int(picked[np.argmin(known.scores[picked])])
        point = filled(known.points[winner], generator)
        d = axes.count
        moves = generator.random(d) < 1.0 / d
        moves[generator.integers(0, d)] = True
        scale = np.maximum(0.15, np.where(axes.sizes > 0, 1.0 / np.maximum(axes.sizes, 1), 0.0))
        numbers = _reflected(point + generator.standard_normal(d) * scale)
        fresh = np.where(axes.words, generator.random(d), numbers)
        return np.where(moves, fresh, point), [winner]


class Differences:
    """Differential evolution, current-to-best/1/bin, steady state.

    Storn & Price (1997); a slot of the population holds the best result so far among those whose
    number falls on it, so a child replaces its parent when it is better.
    """

    name = "de"

    def __init__(self, factor: float = 0.5, crossover: float = 0.7) -> None:
        self._factor, self._crossover = factor, crossover

    def child(
        self, known: Known, axes: Axes, size: int, generator: Generator
    ) -> tuple[Floats, list[int]]:
        """The slot of this trial, moved towards the best and along a difference of two others."""
        rows = self._holders(known, size)
        target = rows[known.issued % len(rows)]
        others = generator.choice(rows, min(2, len(rows)), replace=False)
        best = rows[int(np.argmin(known.scores[rows]))]
        x, top, a, b = (
            filled(known.points[int(r)], generator) for r in (target, best, others[0], others[-1])
        )
        mutant = _reflected(x + self._factor * (top - x) + self._factor * (a - b))
        crossed = generator.random(axes.count) < self._crossover
        crossed[generator.integers(0, axes.count)] = True
        parents = dict.fromkeys(int(r) for r in (target, best, *others))
        return np.where(crossed, mutant, x), list(parents)

    def _holders(self, known: Known, size: int) -> Ints:
        """The best row of each slot."""
        rows = known.done
        order = rows[np.argsort(known.scores[rows], kind="stable")]
        _, first = np.unique(order % size, return_index=True)
        return order[np.sort(first)]


class Sorting:
    """NSGA-II: parents by front and crowding, simulated binary crossover, polynomial mutation.

    Deb et al. (2002); operators: Deb & Agrawal (1995), Deb & Goyal (1996). With one metric it is
    a genetic algorithm.
    """

    name = "nsga2"

    def child(
        self, known: Known, axes: Axes, size: int, generator: Generator
    ) -> tuple[Floats, list[int]]:
        """A child of the winners of two binary tournaments."""
        rows, fitness = self._survivors(known, size)
        mother, father = (self._winner(rows, fitness, generator) for _ in range(2))
        a, b = (filled(known.points[row], generator) for row in (mother, father))
        point = self._mutated(self._crossed(a, b, axes, generator), axes, generator)
        return point, list(dict.fromkeys([mother, father]))

    def _survivors(self, known: Known, size: int) -> tuple[Ints, Floats]:
        """The rows that the algorithm would have kept, and their place, lower is better."""
        order = by_front(known.objectives[known.done], 20 * size)[:size]
        return known.done[order], np.arange(len(order), dtype=np.float64)

    def _winner(self, rows: Ints, fitness: Floats, generator: Generator) -> int:
        pair = generator.integers(0, len(rows), 2)
        return int(rows[pair[np.argmin(fitness[pair])]])

    def _crossed(self, a: Floats, b: Floats, axes: Axes, generator: Generator) -> Floats:
        if generator.random() > 0.9:
            return a
        d, u = axes.count, generator.random(axes.count)
        spread = np.where(u < 0.5, 2 * u, 1 / (2 * (1 - u))) ** (1 / (_ETA + 1))
        mixed = 0.5 * ((1 + spread) * a + (1 - spread) * b)
        either = np.where(generator.random(d) < 0.5, a, b)
        return np.where(axes.words, either, np.where(generator.random(d) < 0.5, mixed, a))

    def _mutated(self, point: Floats, axes: Axes, generator: Generator) -> Floats:
        d, u = axes.count, generator.random(axes.count)
        step = np.where(
            u < 0.5, (2 * u) ** (1 / (_ETA + 1)) - 1, 1 - (2 * (1 - u)) ** (1 / (_ETA + 1))
        )
        moved = np.where(axes.words, generator.random(d), _reflected(point + step))
        return np.where(generator.random(d) < 1.0 / d, moved, np.clip(point, 0.0, 1.0))


def filled(point: Floats, generator: Generator) -> Floats:
    """Absent parameters at random, in case the child has them."""
    return np.where(np.isnan(point), generator.random(len(point)), point)


def _reflected(point: Floats) -> Floats:
    return np.clip(1.0 - np.abs(1.0 - np.abs(point)), 0.0, 1.0)


_RULES: dict[str, Callable[..., Rule]] = {
    "evolution": Ageing, "de": Differences, "nsga2": Sorting,
}  # fmt: skip


def build(setting: Setting, kind: str, population: int, **options: Any) -> Searcher:
    """The searcher `kind`: evolution, de or nsga2."""
    return Learner(setting, Population(setting, _RULES[kind](**options), population))
