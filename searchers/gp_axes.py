"""The unit cube as a Gaussian process sees it: numbers, choices and parameters that may be absent.

Notation: d axes (`Space.dims`), D columns of the embedding, points (n, d) with NaN where a
parameter is inactive. The embedding turns the distance between two values of one axis into a
Euclidean one, so that any stationary kernel on it is positive definite:

| axis | columns | squared distance |
|---|---|---|
| number, ordered choice | u | (u − u')² |
| choice | one-hot / √2 | 1 between different options |
| number that may be absent | u − ½ or 0; 0 or ½ | to an absent one (u − ½)² + ¼ |
| choice that may be absent | one-hot / √2, or zeros | to an absent one ½ |
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysweep.searchers.history import Bools, Floats
from raysweep.trials.domains import Choice, Domain, Fixed
from raysweep.trials.space import Space
from raysweep.trials.values import key

_LISTED = 10_000
"""Finite domains of more values are left continuous; their steps are too fine to matter."""


class Axes:
    """The axes of one space.

    Args:
        space: at least one parameter must vary.

    Attributes:
        count: d.
        owner: the axis of each column of the embedding, shape (D,).
        plain: which columns hold numbers that are always there, shape (D,).
        words: which axes are unordered choices, shape (d,).
        sizes: how many values each axis has, shape (d,); 0: too many to count.
        spacing: how far apart they are, 1/sizes, shape (d,); 0 where they are too many.
    """

    def __init__(self, space: Space) -> None:
        self._names = space.dims
        self.count = len(self._names)
        domains = [space.parameters[name].domain for name in self._names]
        self.words = np.array([_is_word(domain) for domain in domains], dtype=bool)
        self.sizes = np.array([_size(domain) for domain in domains], dtype=np.int64)
        self.spacing = np.where(self.sizes > 0, 1.0 / np.maximum(self.sizes, 1), 0.0)
        self._absent = np.array([bool(space.parameters[n].when) for n in self._names], dtype=bool)
        self._values = [_values(domain) for domain in domains]
        self._rules = [_rule(space, name) for name in self._names]
        self.owner = np.repeat(np.arange(self.count), [self._width(j) for j in range(self.count)])
        self.plain = ~(self.words | self._absent)[self.owner]

    def _width(self, axis: int) -> int:
        if self.words[axis]:
            return int(self.sizes[axis])
        return 2 if self._absent[axis] else 1

    def embed(self, points: Floats) -> Floats:
        """The columns, shape (n, D)."""
        columns: list[Floats] = []
        for axis in range(self.count):
            u = points[:, axis]
            gone = np.isnan(u)
            if self.words[axis]:
                index = np.where(gone, -1, u * self.sizes[axis]).astype(np.int64)
                hot = index[:, None] == np.arange(self.sizes[axis])
                columns.append(hot * np.sqrt(0.5))
            elif self._absent[axis]:
                columns.append(np.where(gone, 0.0, u - 0.5)[:, None])
                columns.append(np.where(gone, 0.5, 0.0)[:, None])
            else:
                columns.append(u[:, None])
        return np.hstack(columns)

    def settle(self, points: Floats) -> Floats:
        """The nearest points that stand for configs: on the values, NaN where inactive."""
        settled = np.clip(points, 0.0, 1.0)
        for axis, values in enumerate(self._values):
            if values is not None:
                u = np.where(np.isnan(settled[:, axis]), 0.5, settled[:, axis])
                behind = np.clip(np.searchsorted(values, u), 1, max(1, len(values) - 1))
                if len(values) > 1:
                    nearer = u - values[behind - 1] < values[behind] - u
                    settled[:, axis] = values[behind - nearer]
                else:
                    settled[:, axis] = values[0]
            elif np.isnan(settled[:, axis]).any():
                settled[:, axis] = np.where(np.isnan(settled[:, axis]), 0.5, settled[:, axis])
            settled[~self._active(settled, axis), axis] = np.nan
        return settled

    def _active(self, points: Floats, axis: int) -> Bools:
        active = np.ones(len(points), dtype=bool)
        for parent, allowed in self._rules[axis]:
            if parent is None:
                active &= len(allowed) > 0
            else:
                u = points[:, parent]  # NaN equals nothing: absent parents have absent children
                active &= (np.abs(u[:, None] - allowed) < 1e-9).any(axis=1)
        return active


_Rule = tuple[int | None, Floats]
"""A parent's axis (None: it is fixed) and where on it the child exists; empty: nowhere."""


def _rule(space: Space, name: str) -> list[_Rule]:
    rules: list[_Rule] = []
    for parent, values in space.parameters[name].when.items():
        domain = space.parameters[parent].domain
        if isinstance(domain, Fixed):
            holds = any(key(domain.value) == key(value) for value in values)
            rules.append((None, np.ones(1 if holds else 0)))
        else:
            encoded = np.array([domain.encode(value) for value in values])
            rules.append((space.dims.index(parent), encoded))
    return rules


def _is_word(domain: Domain) -> bool:
    return isinstance(domain, Choice) and not domain.ordered


def _size(domain: Domain) -> int:
    return domain.size if domain.size is not None and domain.size <= _LISTED else 0


def _values(domain: Domain) -> npt.NDArray[np.float64] | None:
    """Where the values of a finite domain lie, ascending; None: everywhere."""
    if not _size(domain):
        return None
    assert domain.size is not None
    if getattr(domain, "log", False):
        return np.array([domain.encode(domain.at(i)) for i in range(domain.size)])
    return (np.arange(domain.size) + 0.5) / domain.size
