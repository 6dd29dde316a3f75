"""What the user believes about good configs: "lr is about 3e-4, and adam is probably right".

Notation: on each axis with a belief the density of a normal around the value, cut off at the ends
of the range, or of a choice that gives the option a certain weight; 1 on all others. A searcher
multiplies what it maximises by density^(β/n) after n results, so that the belief leads at first and
the results in the end (Hvarfner et al., "πBO", ICLR 2022, arXiv 2204.11051, eq. 6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from raysweep.searchers.history import Floats
from raysweep.trials.domains import Choice
from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest
from raysweep.trials.space import Space
from raysweep.trials.streams import Generator

_WIDTHS = {"low": 0.25, "medium": 0.12, "high": 0.05}
"""By confidence the standard deviation on an axis of length 1."""
_WEIGHTS = {"low": 2.0, "medium": 5.0, "high": 15.0}
"""By confidence how much likelier the option is than each other."""
_BETA = 10.0


class Belief:
    """A density over the space's unit cube.

    Args:
        space: what is searched.
        written: by parameter a value, or `{value: ..., confidence: low | medium | high}`.

    Attributes:
        weight: β.

    Raises:
        SpecError: for a parameter, a value or a confidence that does not exist.
    """

    weight = _BETA

    def __init__(self, space: Space, written: Mapping[str, Any]) -> None:
        self._count = len(space.dims)
        self._numbers: list[tuple[int, float, float]] = []
        self._words: list[tuple[int, Floats]] = []
        for given, stated in written.items():
            name = given.replace(".", "/")
            if name not in space.dims:
                raise SpecError(
                    f"prior: {given!r} is no parameter that varies; {nearest(name, space.dims)}"
                )
            value, confidence = _read(given, stated)
            domain = space.parameters[name].domain
            if not domain.contains(value):
                raise SpecError(f"prior.{given}: got {value!r}; allowed is {domain.describe()}")
            axis, u = space.dims.index(name), domain.encode(value)
            if isinstance(domain, Choice) and not domain.ordered:
                weights = np.ones(domain.size)
                weights[int(u * domain.size)] = _WEIGHTS[confidence]
                self._words.append((axis, weights / weights.sum()))
            else:
                self._numbers.append((axis, u, _WIDTHS[confidence]))

    def log_density(self, points: Floats) -> Floats:
        """The log of the density relative to the uniform law, shape (n,); absent axes count 0."""
        total = np.zeros(len(points))
        for axis, u, sd in self._numbers:
            z = (points[:, axis] - u) / sd
            mass = ndtr((1.0 - u) / sd) - ndtr(-u / sd)
            log = -0.5 * z * z - math.log(sd * math.sqrt(2.0 * math.pi) * mass)
            total += np.where(np.isnan(z), 0.0, log)
        for axis, weights in self._words:
            column = points[:, axis]
            index = np.where(np.isnan(column), 0, column * len(weights)).astype(np.int64)
            log = np.log(weights * len(weights))[np.minimum(index, len(weights) - 1)]
            total += np.where(np.isnan(column), 0.0, log)
        return total

    def sample(self, generator: Generator, count: int) -> Floats:
        """Points drawn from the density, shape (count, d), not settled."""
        points = generator.random((count, self._count))
        for axis, u, sd in self._numbers:
            low, high = ndtr(-u / sd), ndtr((1.0 - u) / sd)
            points[:, axis] = np.clip(
                u + sd * ndtri(low + points[:, axis] * (high - low)), 0.0, 1.0
            )
        for axis, weights in self._words:
            index = np.searchsorted(np.cumsum(weights), points[:, axis])
            points[:, axis] = (np.minimum(index, len(weights) - 1) + 0.5) / len(weights)
        return points


def _read(name: str, stated: Any) -> tuple[Any, str]:
    """Value and confidence out of either form."""
    if not isinstance(stated, Mapping):
        return stated, "medium"
    unknown = set(stated) - {"value", "confidence"}
    if unknown or "value" not in stated:
        raise SpecError(
            f"prior.{name}: got {dict(stated)!r}; write a value, or {{value: ..., confidence: medium}}"
        )
    confidence = stated.get("confidence", "medium")
    if confidence not in _WIDTHS:
        raise SpecError(
            f"prior.{name}: confidence is {confidence!r}; it may be low, medium or high"
        )
    return stated["value"], confidence
