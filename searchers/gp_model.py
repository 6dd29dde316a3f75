"""A Gaussian process with a stationary kernel, conditioned on observations.

Notation: n observations, d axes, D columns x_c (`gp_axes`), length scales ℓ_j, warp w (`gp_warp`),
z_c = w(x_c) / ℓ_j for a column c of axis j, r = |z − z'|, signal variance s², noise variance σ²,
κ = (1 + √5 r + 5 r²/3) e^{−√5 r} (Matérn-5/2) or e^{−r²/2}, φ the main effects (`effects`), v their
variance, k = s² κ(r) + v φ·φ', K = k + σ² diag(w). The mean is a constant, the generalised least
squares one. Targets are expected to be standardised.

Under κ alone two configs that differ in one choice of little length scale have nothing in common,
so the process learns of each combination apart. The main effects, a sum over the choices as in
CoCaBO (Ru et al., arXiv 1906.08878), let an option that was good in one place count in all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from scipy.linalg import cho_solve, lapack, solve_triangular

from raysweep.searchers.gp_warp import warped
from raysweep.searchers.history import Floats
from raysweep.trials.streams import Generator

_ROOT5 = math.sqrt(5.0)
JITTER = 1e-8
_FEATURES = 512


class Placed(NamedTuple):
    """Where a kernel compares: z, shape (n, D), and φ, shape (n, E)."""

    z: Floats
    effects: Floats


class Kernel(NamedTuple):
    """Hyperparameters: a length scale for each axis, shape (d,), signal and noise variance.

    `main` is v; `smooth` tells the squared exponential e^{−r²/2} from Matérn-5/2; `warp` is what
    `gp_warp.warped` takes, shape (2, D), or None.
    """

    lengths: Floats
    signal: float
    noise: float
    smooth: bool = False
    warp: Floats | None = None
    main: float = 0.0

    def place(self, columns: Floats, owner: np.ndarray) -> Placed:
        """The columns as this kernel compares them."""
        return Placed(self.scaled(columns, owner), effects(columns, owner))

    def scaled(self, columns: Floats, owner: np.ndarray) -> Floats:
        """z, shape (n, D)."""
        w = columns if self.warp is None else warped(columns, self.warp)
        return np.asarray(w / self.lengths[owner])

    def __call__(self, left: Placed, right: Placed) -> Floats:
        """The covariance, shape (n, m), without noise."""
        covariance = correlation(squared(left.z, right.z), self.smooth)
        covariance *= self.signal
        if left.effects.shape[1]:
            covariance += self.main * left.effects @ right.effects.T
        return covariance

    def variance(self, at: Placed) -> Floats:
        """The covariance of each with itself, shape (n,)."""
        return np.asarray(self.signal + self.main * (at.effects**2).sum(1))


def effects(columns: Floats, owner: np.ndarray) -> Floats:
    """φ, shape (n, E): the columns of each axis that has several, of |φ|² ≤ 1 together.

    These are the choices, and the parameters that may be absent.
    """
    several = np.flatnonzero(np.bincount(owner) > 1)
    wide = np.isin(owner, several)
    return np.asarray(columns[:, wide] * math.sqrt(2.0 / max(1, len(several))))


def squared(left: Floats, right: Floats) -> Floats:
    """r² between scaled columns, shape (n, m)."""
    squares = left @ (-2.0 * right.T)
    squares += (left**2).sum(1)[:, None]
    squares += (right**2).sum(1)
    return np.maximum(squares, 0.0, out=squares)


def correlation(squared: Floats, smooth: bool) -> Floats:
    """The correlation κ at r², which is written over.

    A prediction at a thousand points is mostly this; what it costs is new memory, hence in place.
    """
    if smooth:
        squared *= -0.5
        return np.exp(squared, out=squared)
    r = np.sqrt(squared)
    r *= _ROOT5
    squared *= 5.0 / 3.0
    squared += r
    squared += 1.0
    squared *= np.exp(np.negative(r, out=r), out=r)
    return squared


def steepness(squared: Floats, smooth: bool) -> Floats:
    """−2 dκ/dr² at r²."""
    if smooth:
        return np.asarray(np.exp(-0.5 * squared))
    r = _ROOT5 * np.sqrt(squared)
    return np.asarray((5.0 / 3.0) * (1.0 + r) * np.exp(-r))


class Process(Protocol):
    """What an acquisition asks of a process, or of several as one."""

    @property
    def kernel(self) -> Kernel:
        """The hyperparameters, of the part that counts most."""
        ...

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the function, without noise, shapes (m,)."""
        ...

    def condition(self, columns: Floats, targets: Floats) -> Process:
        """The same with further observations."""
        ...

    def path(self, generator: Generator) -> Callable[[Floats], Floats]:
        """One draw of the function as a whole."""
        ...


class Surrogate:
    """A fitted process, conditioned on observations.

    Args:
        kernel: the hyperparameters.
        columns: where was observed, shape (n, D).
        owner: the axis of each column.
        targets: what was observed, shape (n,).
        weights: how many times the noise variance each has, shape (n,); None: once.

    Attributes:
        scale: what one unit of the target stands for, where somebody needs it back.
    """

    def __init__(
        self,
        kernel: Kernel,
        columns: Floats,
        owner: np.ndarray,
        targets: Floats,
        weights: Floats | None = None,
    ) -> None:
        self.kernel, self.owner = kernel, owner
        self.scale = 1.0
        self.columns, self.targets = columns, targets
        self.weights = np.ones(len(targets)) if weights is None else weights
        self._at = kernel.place(columns, owner)
        covariance = kernel(self._at, self._at)
        covariance[np.diag_indices_from(covariance)] += kernel.noise * self.weights + JITTER
        self._lower = cholesky(covariance)
        ones = solve(self._lower, np.ones(len(targets)))
        self.mean = float(ones @ targets / max(ones.sum(), 1e-12))
        self._alpha = solve(self._lower, targets - self.mean)

    @cached_property
    def _whitening(self) -> Floats:
        """L⁻ᵀ of K = L Lᵀ: made once, so that a prediction is a product and no system to solve."""
        if not len(self._lower):
            return self._lower  # LAPACK takes no empty matrix, and says so on the terminal
        return np.asarray(lapack.dtrtri(self._lower, lower=1)[0].T)

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the function, without noise, shapes (m,)."""
        at = self.kernel.place(columns, self.owner)
        cross = self.kernel(at, self._at)
        half = cross @ self._whitening
        variance = self.kernel.variance(at) - np.einsum("ij,ij->i", half, half)
        return self.mean + cross @ self._alpha, np.sqrt(np.maximum(variance, 1e-12))

    def condition(self, columns: Floats, targets: Floats) -> Surrogate:
        """The same process with further observations; hyperparameters stay."""
        return Surrogate(
            self.kernel,
            np.vstack([self.columns, columns]),
            self.owner,
            np.concatenate([self.targets, targets]),
            np.concatenate([self.weights, np.ones(len(targets))]),
        )

    def sample(self, columns: Floats, generator: Generator, count: int = 1) -> Floats:
        """Draws of the function at the columns jointly, shape (count, m)."""
        at = self.kernel.place(columns, self.owner)
        cross = self.kernel(at, self._at)
        half = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        covariance = self.kernel(at, at) - half.T @ half
        covariance[np.diag_indices_from(covariance)] += 1e-6 * self.kernel.signal
        draws = generator.standard_normal((count, len(columns))) @ cholesky(covariance).T
        return np.asarray(self.mean + cross @ self._alpha + draws)

    def path(self, generator: Generator) -> Callable[[Floats], Floats]:
        """One draw of the function as a whole, by random features and pathwise conditioning.

        Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", arXiv
        2002.09309; frequencies are normal for the squared exponential kernel and Student's t with
        5 degrees of freedom for Matérn-5/2.
        """
        width = self.columns.shape[1]
        frequencies = generator.standard_normal((_FEATURES, width))
        if not self.kernel.smooth:
            frequencies *= np.sqrt(5.0 / generator.chisquare(5.0, (_FEATURES, 1)))
        phases = generator.uniform(0.0, 2.0 * math.pi, _FEATURES)
        weights = generator.standard_normal(_FEATURES) * math.sqrt(
            2.0 * self.kernel.signal / _FEATURES
        )

        main = generator.standard_normal(self._at.effects.shape[1]) * math.sqrt(self.kernel.main)

        def prior(at: Placed) -> Floats:
            return np.asarray(np.cos(at.z @ frequencies.T + phases) @ weights + at.effects @ main)

        noise = np.sqrt(self.kernel.noise * self.weights)
        noise *= generator.standard_normal(len(self.targets))
        update = solve(self._lower, self.targets - self.mean - prior(self._at) - noise)

        def drawn(columns: Floats) -> Floats:
            at = self.kernel.place(columns, self.owner)
            return np.asarray(self.mean + prior(at) + self.kernel(at, self._at) @ update)

        return drawn

    def left_out(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation at each observation from all the others, shapes (n,).

        Rasmussen & Williams (2006), eqs. 5.10 and 5.12.
        """
        precision = np.diag(inverted(self._lower))
        return self.targets - self._alpha / precision, np.sqrt(1.0 / precision)


def cholesky(matrix: Floats) -> Floats:
    """The lower factor; LinAlgError where there is none."""
    lower, failed = lapack.dpotrf(matrix, lower=1, clean=1, overwrite_a=0)
    if failed:
        raise np.linalg.LinAlgError("not positive definite")
    return np.asarray(lower)


def solve(lower: Floats, right: Floats) -> Floats:
    """K⁻¹ times `right`, K by its factor."""
    return np.asarray(cho_solve((lower, True), right, check_finite=False))


def inverted(lower: Floats) -> Floats:
    """K⁻¹ by its factor."""
    if not len(lower):
        return lower  # as above
    half = np.tril(lapack.dpotri(lower, lower=1)[0])
    return np.asarray(half + np.tril(half, -1).T)
