"""A density on the unit cube made of one kernel for each of some points, and one prior kernel.

Notation: k kernels at centres μ (k, d), NaN where a parameter is inactive; bandwidths σ (d,);
a choice of c options has the kernel of Aitchison & Aitken (1976), 1 − b on its own option and
b/(c − 1) on each other; a number has a Gaussian cut off at 0 and 1. A kernel says nothing about an
axis on which it is inactive: there the prior stands in its place, uniform. The prior kernel has
weight `prior` against 1 for each other and is uniform throughout. What the user believes may stand
beside them as one more component, of weight `trust`.

Densities of many points under many kernels are one matrix product and one exponential: squares and
normalisers are sums over axes on which both are active.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from raysweep.searchers.belief import Belief
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_model import squared
from raysweep.searchers.history import Floats
from raysweep.trials.streams import Generator

_FLOOR = 0.03
"""The least bandwidth: below it, kernels of few points are spikes."""
_CEILING = 0.3
"""The greatest bandwidth of a single kernel, about a uniform law's spread; it shrinks as others do.
A few good points far apart would else smear their density over everything (measured)."""
_KEPT = 0.8
"""A choice's kernel keeps its own option with this weight when there is one point; more with more."""


class Parzen:
    """The density of `centres`.

    Args:
        axes: of the space.
        centres: shape (k, d).
        prior: the weight of the uniform kernel.
        width: bandwidths are this times the spread of the centres times k^(−1/(d + 4)) (Scott).
        belief: where the user expects good configs.
        trust: its weight, against 1 for each kernel.
    """

    def __init__(
        self,
        axes: Axes,
        centres: Floats,
        prior: float = 1.0,
        width: float = 1.0,
        belief: Belief | None = None,
        trust: float = 0.0,
    ) -> None:
        self._axes, self._centres, self._prior = axes, centres, prior
        self._belief, self._trust = belief, trust if belief else 0.0
        k, d = centres.shape
        gone = np.isnan(centres)
        self._on, self._whole = ~gone, not gone.any()
        self._filled = centres if self._whole else np.where(gone, 0.0, centres)
        shrunk = max(k, 1) ** (-1.0 / (d + 4.0))
        # the uniform law's own spread stands in for one more point
        counts = self._on.sum(0) + 1.0
        means = (self._filled.sum(0) + 0.5) / counts
        squares = (self._on * (self._filled - means) ** 2).sum(0) + 1.0 / 12.0 + (means - 0.5) ** 2
        spread = np.clip(width * np.sqrt(squares / counts), 0.0, _CEILING) * shrunk
        self.sigma = np.maximum(spread, np.maximum(_FLOOR, 0.4 * axes.spacing))
        self._words = np.flatnonzero(axes.words)
        self._keep = 1.0 - (1.0 - _KEPT) * shrunk / 0.5 if k else _KEPT
        self._keep = min(0.95, max(0.5, self._keep))
        if len(self._words):
            options = np.maximum(axes.sizes, 2)
            self._same = np.log(self._keep * options)
            self._other = np.log((1.0 - self._keep) / (options - 1.0) * options)

    def log_density(self, points: Floats) -> Floats:
        """The log of the density relative to the uniform law, shape (n,)."""
        logs = self._log_kernels(points)
        least = math.log(self._prior) if self._prior > 0 else -math.inf
        top = logs.max(axis=1, initial=least)
        believed = None
        if self._belief is not None and self._trust > 0:
            believed = self._belief.log_density(points) + math.log(self._trust)
            top = np.maximum(top, believed)
        # the greatest term apart, so that no exponential is out of range
        total = np.exp(logs - top[:, None]).sum(1) + self._prior * np.exp(-top)
        if believed is not None:
            total += np.exp(believed - top)
        weight = len(self._centres) + self._prior + self._trust
        return np.asarray(np.log(total) + top - math.log(weight))

    def _log_kernels(self, points: Floats) -> Floats:
        """The log of each kernel at each point, shape (n, k)."""
        gone = np.isnan(points)
        if self._whole and not len(self._words) and not gone.any():
            apart = squared(points / self.sigma, self._filled / self.sigma)
            return np.asarray(self._constants().sum(1) - 0.5 * apart)
        on = (~gone).astype(np.float64)
        filled = np.where(gone, 0.0, points)
        logs = on @ self._constants().T
        numbers = ~self._axes.words
        if numbers.any():
            scaled = np.where(numbers, filled / self.sigma, 0.0)
            centres = np.where(numbers, self._filled / self.sigma, 0.0)
            active = np.where(numbers, self._on, False).astype(np.float64)
            here = np.where(numbers, on, 0.0)
            squares = (scaled**2) @ active.T - 2.0 * scaled @ centres.T + here @ (centres**2).T
            logs -= 0.5 * squares
        for axis in self._words:
            same = np.abs(filled[:, axis, None] - self._filled[None, :, axis]) < 1e-9
            both = (on[:, axis, None] > 0) & self._on[None, :, axis]
            logs += (same & both) * (self._same[axis] - self._other[axis])
        return logs

    def _constants(self) -> Floats:
        """What does not depend on the point, by kernel and axis, shape (k, d)."""
        at = self._filled / self.sigma
        mass = ndtr(1.0 / self.sigma - at) - ndtr(-at)
        normal = -np.log(mass * self.sigma * math.sqrt(2.0 * math.pi))
        if len(self._words):
            normal = np.where(self._axes.words, self._other, normal)
        return np.asarray(normal if self._whole else np.where(self._on, normal, 0.0))

    def sample(self, generator: Generator, count: int) -> Floats:
        """Points drawn from the density, shape (count, d); not settled."""
        k, d = self._centres.shape
        uniform = generator.random((count, d))
        if k == 0:
            return uniform
        drawn_by = generator.random(count) * (k + self._prior + self._trust)
        pick = drawn_by.astype(np.int64)
        own = pick < k
        pick = np.minimum(pick, k - 1)
        centres, on = self._filled[pick], self._on[pick] & own[:, None]
        low, high = ndtr(-centres / self.sigma), ndtr((1.0 - centres) / self.sigma)
        drawn = centres + self.sigma * ndtri(
            np.clip(low + uniform * (high - low), 1e-12, 1 - 1e-12)
        )
        kept = generator.random((count, d)) < self._keep
        numbers = np.where(on, np.clip(drawn, 0.0, 1.0), uniform)
        words = np.where(on & kept, centres, uniform)
        points = np.where(self._axes.words, words, numbers)
        if self._belief is not None and self._trust > 0:
            believed = drawn_by >= k + self._prior
            points[believed] = self._belief.sample(generator, int(believed.sum()))
        return points
