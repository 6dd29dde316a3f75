"""A Gaussian process with Matérn-5/2 kernel, fitted by maximum a posteriori.

Notation: n observations, d axes, D columns (`gp_axes`), θ = (log ℓ_1 … log ℓ_d, log s², log σ²),
r² = Σ_j Σ_{c of axis j} (z_c − z'_c)² / ℓ_j², k = s² (1 + √5 r + 5 r²/3) e^{−√5 r},
K = k + σ² diag(w). The mean is a constant, the generalised least squares one for each θ. Targets
are expected to be standardised.

Priors (Hvarfner, Hellsten & Nardi, "Vanilla Bayesian Optimization Performs Great in High
Dimensions", arXiv 2402.02229): ℓ ~ LogNormal(√2 + log √d, √3), so that length scales grow with
the dimension, and σ² ~ LogNormal(−4, 1); s² ~ LogNormal(0, 0.5) instead of their s² = 1.
Gradients: Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), eq. 5.9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, lapack, solve_triangular
from scipy.optimize import minimize

from raysweep.searchers.history import Floats
from raysweep.trials.streams import Generator

_ROOT5 = math.sqrt(5.0)
_JITTER = 1e-8
_FEATURES = 512
_STEPS = 40
"""Iterations of the optimiser; the posterior is flat long before."""


class Kernel(NamedTuple):
    """Hyperparameters: a length scale for each axis, shape (d,), signal and noise variance."""

    lengths: Floats
    signal: float
    noise: float

    def scaled(self, columns: Floats, owner: np.ndarray) -> Floats:
        """The columns in units of their length scales."""
        return np.asarray(columns / self.lengths[owner])

    def __call__(self, left: Floats, right: Floats) -> Floats:
        """The covariance between scaled columns, shape (n, m), without noise."""
        return self.signal * _matern(_squared(left, right))


def _squared(left: Floats, right: Floats) -> Floats:
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2.0 * left @ right.T
    return np.asarray(np.maximum(squares, 0.0))


def _matern(squared: Floats) -> Floats:
    r = _ROOT5 * np.sqrt(squared)
    return np.asarray((1.0 + r + r * r / 3.0) * np.exp(-r))


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
        self._z = kernel.scaled(columns, owner)
        covariance = kernel(self._z, self._z)
        covariance[np.diag_indices_from(covariance)] += kernel.noise * self.weights + _JITTER
        self._lower = _cholesky(covariance)
        ones = _solve(self._lower, np.ones(len(targets)))
        self.mean = float(ones @ targets / max(ones.sum(), 1e-12))
        self._alpha = _solve(self._lower, targets - self.mean)

    def predict(self, columns: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the function, without noise, shapes (m,)."""
        cross = self.kernel(self.kernel.scaled(columns, self.owner), self._z)
        half = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        variance = self.kernel.signal - (half * half).sum(0)
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
        z = self.kernel.scaled(columns, self.owner)
        cross = self.kernel(z, self._z)
        half = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        covariance = self.kernel(z, z) - half.T @ half
        covariance[np.diag_indices_from(covariance)] += 1e-6 * self.kernel.signal
        draws = generator.standard_normal((count, len(z))) @ _cholesky(covariance).T
        return np.asarray(self.mean + cross @ self._alpha + draws)

    def path(self, generator: Generator) -> Callable[[Floats], Floats]:
        """One draw of the function as a whole, by random features and pathwise conditioning.

        Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", arXiv
        2002.09309; the Matérn-5/2 kernel's frequencies are Student's t with 5 degrees of freedom.
        """
        width = self.columns.shape[1]
        spread = np.sqrt(5.0 / generator.chisquare(5.0, (_FEATURES, 1)))
        frequencies = generator.standard_normal((_FEATURES, width)) * spread
        phases = generator.uniform(0.0, 2.0 * math.pi, _FEATURES)
        weights = generator.standard_normal(_FEATURES) * math.sqrt(
            2.0 * self.kernel.signal / _FEATURES
        )

        def prior(z: Floats) -> Floats:
            return np.asarray(np.cos(z @ frequencies.T + phases) @ weights)

        noise = np.sqrt(self.kernel.noise * self.weights) * generator.standard_normal(len(self._z))
        update = _solve(self._lower, self.targets - self.mean - prior(self._z) - noise)

        def drawn(columns: Floats) -> Floats:
            z = self.kernel.scaled(columns, self.owner)
            return np.asarray(self.mean + prior(z) + self.kernel(z, self._z) @ update)

        return drawn

    def left_out(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation at each observation from all the others, shapes (n,).

        Rasmussen & Williams (2006), eqs. 5.10 and 5.12.
        """
        precision = np.diag(_solve(self._lower, np.eye(len(self.targets))))
        return self.targets - self._alpha / precision, np.sqrt(1.0 / precision)


def fit(
    columns: Floats, owner: np.ndarray, targets: Floats, weights: Floats | None = None
) -> Surrogate:
    """The process with the most probable hyperparameters, from two fixed starts.

    Args:
        columns, owner, targets, weights: as for `Surrogate`.
    """
    axes = int(owner.max()) + 1 if len(owner) else 0
    noise = np.ones(len(targets)) if weights is None else weights
    posterior = _Posterior(columns, owner, targets, noise, axes)
    middle = math.log(0.5 * math.sqrt(max(1, axes)))
    starts = [
        np.r_[np.full(axes, middle + shift), 0.0, at] for shift, at in ((0.0, -4.0), (1.2, -2.0))
    ]
    bounds = [(math.log(0.02), math.log(200.0))] * axes + [(-3.0, 3.0), (math.log(1e-6), 1.0)]
    found = [
        minimize(
            posterior.loss, start, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": _STEPS},
        )
        for start in starts
    ]  # fmt: skip
    best = min(found, key=lambda one: float(one.fun))
    return Surrogate(kernel_of(best.x, axes), columns, owner, targets, weights)


def kernel_of(theta: Floats, axes: int) -> Kernel:
    """The hyperparameters behind θ."""
    return Kernel(np.exp(theta[:axes]), math.exp(theta[axes]), math.exp(theta[axes + 1]))


class _Posterior:
    """The negative log posterior of θ and its gradient."""

    def __init__(
        self, columns: Floats, owner: np.ndarray, targets: Floats, weights: Floats, axes: int
    ) -> None:
        self._columns, self._owner, self._axes = columns, owner, axes
        self._targets, self._weights = targets, weights
        self._centre = math.sqrt(2.0) + 0.5 * math.log(max(1, axes))

    def loss(self, theta: Floats) -> tuple[float, Floats]:
        """Value and gradient at θ."""
        axes, n = self._axes, len(self._targets)
        kernel = kernel_of(theta, axes)
        z = kernel.scaled(self._columns, self._owner)
        r = _ROOT5 * np.sqrt(_squared(z, z))
        decay = np.exp(-r)
        clean = kernel.signal * (1.0 + r + r * r / 3.0) * decay
        covariance = clean.copy()
        diagonal = np.diag_indices(n)
        covariance[diagonal] += kernel.noise * self._weights + _JITTER
        try:
            lower = _cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        inverse = _solve(lower, np.eye(n))
        ones = inverse.sum(1)
        mean = float(ones @ self._targets / max(ones.sum(), 1e-12))
        alpha = inverse @ (self._targets - mean)
        value = 0.5 * float((self._targets - mean) @ alpha) + float(np.log(np.diag(lower)).sum())
        pull = np.outer(alpha, alpha) - inverse
        slope = pull * ((5.0 / 3.0) * kernel.signal * (1.0 + r) * decay)
        by_column = (z * z).T @ slope.sum(1) - ((slope @ z) * z).sum(0)
        gradient = np.empty_like(theta)
        gradient[:axes] = -np.bincount(self._owner, by_column, minlength=axes)
        gradient[axes] = -0.5 * float((pull * clean).sum())
        gradient[axes + 1] = -0.5 * kernel.noise * float(pull[diagonal] @ self._weights)
        return self._with_prior(value, gradient, theta)

    def _with_prior(self, value: float, gradient: Floats, theta: Floats) -> tuple[float, Floats]:
        axes = self._axes
        centres = np.r_[np.full(axes, self._centre), 0.0, -4.0]
        widths = np.r_[np.full(axes, math.sqrt(3.0)), 0.5, 1.0]
        off = (theta - centres) / widths
        # densities in ℓ, s² and σ² themselves, hence the further θ
        return value + float(0.5 * off @ off + theta.sum()), gradient + off / widths + 1.0


def _cholesky(matrix: Floats) -> Floats:
    lower, failed = lapack.dpotrf(matrix, lower=1, clean=1, overwrite_a=0)
    if failed:
        raise np.linalg.LinAlgError("not positive definite")
    return np.asarray(lower)


def _solve(lower: Floats, right: Floats) -> Floats:
    return np.asarray(cho_solve((lower, True), right, check_finite=False))
