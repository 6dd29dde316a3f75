"""Every combination of the parameters' values, each once, enumerated without a list of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from collections.abc import Sequence as Values
from typing import Any

from raysweep.searchers.sequence import SequenceSearcher
from raysweep.trials.domains import grid as grid_values
from raysweep.trials.errors import SpaceError
from raysweep.trials.names import nearest
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.values import key

_MAX_BRANCHES = 100_000
_MAX_SIZE = 10**15
_ROUNDS = 6


class GridSequence:
    """The Cartesian product of the parameters' values, of which inactive ones take no part.

    The last parameter (in the space's order) varies fastest. The product is a tree, since what
    follows a parameter depends on its value where others are conditional on it; the number of
    configs below each branch is counted once, so any entry is found in time proportional to the
    number of parameters.

    Args:
        space: the parameters.
        points: how many values to take of ranges: one number for all, or by name. Needed for
            continuous ones; None takes all values of the others.

    Raises:
        SpaceError: for a continuous range without points, or too many branches to count.
    """

    def __init__(self, space: Space, points: int | Mapping[str, int] | None = None) -> None:
        self._space = space
        self._names = list(space.parameters)
        self._values = {name: _values(space, name, points) for name in self._names}
        self._when = {
            name: {parent: frozenset(map(key, values)) for parent, values in parameter.when.items()}
            for name, parameter in space.parameters.items()
        }
        self._live = _live_parents(self._names, self._when)
        self._sizes: dict[tuple[int, tuple[Any, ...]], int] = {}
        self._branches: dict[tuple[int, tuple[Any, ...]], list[int]] = {}
        self._counted = 0
        self.size = self._count(0, {})
        if self.size > _MAX_SIZE:
            raise SpaceError(
                f"the grid has over 10^{len(str(_MAX_SIZE)) - 1} combinations, of which no sweep sees a "
                f"share; at most {_MAX_SIZE:,} are allowed: give it fewer parameters or values, or take "
                f"the searcher sobol"
            )

    def entry(self, index: int) -> dict[str, Any] | None:
        """The `index`-th combination; None if it violates a constraint.

        Raises:
            IndexError: behind the last one.
        """
        if index >= self.size:
            raise IndexError(index)
        config: dict[str, Any] = {}
        for depth, name in enumerate(self._names):
            if not self._active(name, config):
                continue
            values = self._values[name]
            if self._branching(depth):
                ends = self._ends(depth, config)
                branch = bisect_right(ends, index)
                index -= ends[branch - 1] if branch else 0
            else:
                branch, index = divmod(index, self._count(depth + 1, config))
            config[name] = values[branch]
        return config if self._space.allows(config) else None

    def _active(self, name: str, config: Mapping[str, Any]) -> bool:
        return all(
            parent in config and key(config[parent]) in allowed
            for parent, allowed in self._when[name].items()
        )

    def _branching(self, depth: int) -> bool:
        """Whether a later parameter is conditional on this one."""
        return self._names[depth] in self._live[depth + 1]

    def _context(self, depth: int, config: Mapping[str, Any]) -> tuple[int, tuple[Any, ...]]:
        """What the tree below `depth` depends on: the values of parents that are still asked for."""
        return depth, tuple(
            key(config[name]) if name in config else _ABSENT for name in self._live[depth]
        )

    def _count(self, depth: int, config: Mapping[str, Any]) -> int:
        """How many configs continue `config`, which is complete up to `depth`."""
        place = self._context(depth, config)
        size = self._sizes.get(place)
        if size is None:
            size = self._sizes[place] = self._count_anew(depth, config)
        return size

    def _count_anew(self, depth: int, config: Mapping[str, Any]) -> int:
        factor = 1
        for here in range(depth, len(self._names)):
            name = self._names[here]
            if not self._active(name, config):
                continue
            if self._branching(here):
                return factor * self._ends(here, config)[-1]
            factor *= len(self._values[name])
        return factor

    def _ends(self, depth: int, config: Mapping[str, Any]) -> list[int]:
        """Cumulative numbers of configs over the values of the parameter at `depth`."""
        place = self._context(depth, config)
        ends = self._branches.get(place)
        if ends is None:
            name, total, ends = self._names[depth], 0, []
            self._counted += len(self._values[name])
            if self._counted > _MAX_BRANCHES:
                raise SpaceError(
                    f"{name}: the grid has over {_MAX_BRANCHES:,} branches, as other parameters "
                    f"are conditional on it; give it fewer values"
                )
            for value in self._values[name]:
                total += self._count(depth + 1, {**config, name: value})
                ends.append(total)
            self._branches[place] = ends
        return ends


_ABSENT = object()


class Shuffled:
    """A grid in a random order that depends on the seed alone and needs no memory.

    A Feistel network permutes the numbers below the next power of four, and walks on from those
    that are no index (Black & Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).

    Args:
        grid: the grid.
        seed: the seed of the order.
    """

    def __init__(self, grid: GridSequence, seed: int) -> None:
        self._grid, self._seed = grid, seed
        self._bits = max(1, math.ceil((grid.size - 1).bit_length() / 2))

    def entry(self, index: int) -> dict[str, Any] | None:
        """The config at the `index`-th place of the shuffled order."""
        if index >= self._grid.size:
            raise IndexError(index)
        place = self._permute(index)
        while place >= self._grid.size:
            place = self._permute(place)
        return self._grid.entry(place)

    def _permute(self, number: int) -> int:
        left, right = number >> self._bits, number & ((1 << self._bits) - 1)
        for turn in range(_ROUNDS):
            mask = Stream(self._seed, "grid", turn, right).integer(0, 1 << self._bits)
            left, right = right, left ^ mask
        return left << self._bits | right


def grid(
    space: Space,
    seed: int,
    points: int | Mapping[str, int] | None = None,
    shuffle: bool = False,
) -> SequenceSearcher:
    """A searcher over the whole grid; None once every combination has been proposed.

    Args:
        space: the parameters; combinations that violate a constraint are skipped.
        seed: the seed of the order, used with `shuffle` only.
        points: as for `GridSequence`.
        shuffle: whether to go through the grid in random order.

    Raises:
        SpaceError: as `GridSequence`.
    """
    sequence = GridSequence(space, points)
    return SequenceSearcher(Shuffled(sequence, seed) if shuffle else sequence)


def _values(space: Space, name: str, points: int | Mapping[str, int] | None) -> Values[Any]:
    wanted = points.get(name) if isinstance(points, Mapping) else points
    if isinstance(points, Mapping):
        for given in points.keys() - space.parameters.keys():
            raise SpaceError(
                f"searcher grid: points names {given!r}, which is no parameter; "
                f"{nearest(given, space.parameters)}"
            )
    try:
        return grid_values(space.parameters[name].domain, wanted)
    except SpaceError as error:
        raise SpaceError(
            f"{name}: {error}. For the searcher grid write {{name: grid, points: 5}} or "
            f"{{name: grid, points: {{{name}: 5}}}}"
        ) from None


def _live_parents(names: list[str], when: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """For each depth, the parameters before it on which one at or after it is conditional."""
    live = []
    for depth in range(len(names) + 1):
        asked = {parent for name in names[depth:] for parent in when[name]}
        live.append(tuple(name for name in names[:depth] if name in asked))
    return live
