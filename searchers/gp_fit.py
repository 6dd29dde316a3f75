"""The most probable hyperparameters of a Gaussian process.

Notation: as in `gp_model`; θ = (log ℓ_1 … log ℓ_d, log s², log σ², the warps' log a, their log b), with
log v behind them where there are main effects.

Priors (Hvarfner, Hellsten & Nardi, "Vanilla Bayesian Optimization Performs Great in High
Dimensions", arXiv 2402.02229): ℓ ~ LogNormal(√2 + log √d, √3), so that length scales grow with
the dimension, and σ² ~ LogNormal(−4, 1); s² ~ LogNormal(0, 0.5) instead of their s² = 1; v ~ LogNormal(−1.5, 1).
Gradients: Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), eq. 5.9.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize

from raysweep.searchers.gp_model import (
    JITTER,
    Kernel,
    Surrogate,
    cholesky,
    correlation,
    effects,
    inverted,
    squared,
    steepness,
)
from raysweep.searchers.gp_warp import SPREAD, slopes
from raysweep.searchers.history import Bools, Floats

_STEPS = 40
"""Iterations of the optimiser; the posterior is flat long before."""


def fit(
    columns: Floats,
    owner: np.ndarray,
    targets: Floats,
    weights: Floats | None = None,
    warps: Bools | None = None,
    smooth: bool = False,
) -> Surrogate:
    """The process with the most probable hyperparameters, from two fixed starts.

    Args:
        columns, owner, targets, weights: as for `Surrogate`.
        warps: which columns to warp, shape (D,); each the only one of its axis. None: none.
        smooth: with the squared exponential kernel.
    """
    noise = np.ones(len(targets)) if weights is None else weights
    posterior = Posterior(columns, owner, targets, noise, smooth, warps)
    middle = math.log(0.5 * math.sqrt(max(1, posterior.axes)))
    found = [
        minimize(
            posterior.loss, posterior.start(middle + shift, at), jac=True, method="L-BFGS-B",
            bounds=posterior.bounds(), options={"maxiter": _STEPS},
        )
        for shift, at in ((0.0, -4.0), (1.2, -2.0))
    ]  # fmt: skip
    best = min(found, key=lambda one: float(one.fun))
    return Surrogate(posterior.kernel(best.x), columns, owner, targets, weights)


class Posterior:
    """The negative log posterior of θ and its gradient.

    Args:
        columns, owner, targets, weights, smooth, warps: as for `fit`.
    """

    def __init__(
        self,
        columns: Floats,
        owner: np.ndarray,
        targets: Floats,
        weights: Floats,
        smooth: bool = False,
        warps: Bools | None = None,
    ) -> None:
        self._columns, self._owner, self._smooth = columns, owner, smooth
        self._targets, self._weights = targets, weights
        axes = self.axes = int(owner.max()) + 1 if len(owner) else 0
        self._warped = np.flatnonzero(warps) if warps is not None else np.arange(0)
        self._warps = slice(axes + 2, axes + 2 + 2 * len(self._warped))
        main = effects(columns, owner)
        self._main = main @ main.T if main.shape[1] else None
        more, last = 2 * len(self._warped), int(self._main is not None)
        centre = math.sqrt(2.0) + 0.5 * math.log(max(1, axes))
        self._centres = np.r_[np.full(axes, centre), 0.0, -4.0, np.zeros(more), [-1.5] * last]
        self._widths = np.r_[
            np.full(axes, math.sqrt(3.0)), 0.5, 1.0, np.full(more, SPREAD), [1.0] * last
        ]  # fmt: skip
        # densities in ℓ, s², σ² and v themselves, hence a further θ; that of a warp is in its log
        self._inside = np.r_[np.ones(axes + 2), np.zeros(more), np.ones(last)]

    def start(self, lengths: float, noise: float) -> Floats:
        """θ with equal length scales, given in logarithms, and no warp."""
        more = np.zeros(2 * len(self._warped))
        last = [] if self._main is None else [-2.0]
        return np.concatenate([np.full(self.axes, lengths), [0.0, noise], more, last])

    def bounds(self) -> list[tuple[float, float]]:
        """The lowest and the highest θ."""
        lengths = [(math.log(0.02), math.log(200.0))] * self.axes
        return [
            *lengths,
            (-3.0, 3.0),
            (math.log(1e-6), 1.0),
            *[(-2.0, 2.0)] * 2 * len(self._warped),
            *[(-12.0, 2.0)] * (self._main is not None),
        ]

    def kernel(self, theta: Floats) -> Kernel:
        """The hyperparameters behind θ."""
        axes, warp = self.axes, None
        if len(self._warped):
            warp = np.full((2, len(self._owner)), np.nan)
            warp[:, self._warped] = theta[self._warps].reshape(2, -1)
        signal, noise = map(float, np.exp(theta[axes : axes + 2]))
        main = 0.0 if self._main is None else math.exp(theta[-1])
        return Kernel(np.exp(theta[:axes]), signal, noise, self._smooth, warp, main)

    def loss(self, theta: Floats) -> tuple[float, Floats]:
        """Value and gradient at θ."""
        axes, n = self.axes, len(self._targets)
        kernel = self.kernel(theta)
        z = kernel.scaled(self._columns, self._owner)
        apart = squared(z, z)
        falls = kernel.signal * steepness(apart, self._smooth)
        clean = kernel.signal * correlation(apart, self._smooth)
        covariance = clean.copy()
        if self._main is not None:
            covariance += kernel.main * self._main
        diagonal = np.diag_indices(n)
        covariance[diagonal] += kernel.noise * self._weights + JITTER
        try:
            lower = cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        inverse = inverted(lower)
        ones = inverse.sum(1)
        mean = float(ones @ self._targets / max(ones.sum(), 1e-12))
        alpha = inverse @ (self._targets - mean)
        value = 0.5 * float((self._targets - mean) @ alpha) + float(np.log(np.diag(lower)).sum())
        pull = np.outer(alpha, alpha) - inverse
        slope = pull * falls
        by_point = z * slope.sum(1)[:, None] - slope @ z  # the derivative by each of z
        gradient = np.empty_like(theta)
        by_column = (by_point * z).sum(0)
        gradient[:axes] = -np.bincount(self._owner, by_column, minlength=axes)
        gradient[axes] = -0.5 * float((pull * clean).sum())
        gradient[axes + 1] = -0.5 * kernel.noise * float(pull[diagonal] @ self._weights)
        if kernel.warp is not None:
            by_warp = by_point / kernel.lengths[self._owner]
            parts = [(by_warp * part).sum(0) for part in slopes(self._columns, kernel.warp)]
            gradient[self._warps] = np.concatenate([part[self._warped] for part in parts])
        if self._main is not None:
            gradient[-1] = -0.5 * kernel.main * float((pull * self._main).sum())
        off = (theta - self._centres) / self._widths
        value += float(0.5 * off @ off + self._inside @ theta)
        return value, gradient + off / self._widths + self._inside
