"""The bandit of PB2: a Gaussian process over time and config, and its upper confidence bound.

Parker-Holder, Nguyen, Roberts: "Provably Efficient Online Hyperparameter Optimization with
Population-Based Bandits", NeurIPS 2020, arXiv:2002.02518; the kernel is that of Bogunovic,
Scarlett, Cevher, "Time-Varying Gaussian Process Bandit Optimization", 2016, arXiv:1601.06650.

    n        observations, m points of a query, d axes of the unit cube
    X  (n, d)   configs;  t  (n,)  the time at which each began its interval, a fraction of the
                times seen: 0 the first, 1 the last
    y  (n,)     what an interval gained per step, standardised
    k           σ² · (1 - ε)^(|t - t'|·T/2) · exp(-‖x - x'‖² / 2ℓ²): eq. (5); T = `_HORIZON`, the
                units in which the paper counts time
    β           c₁ + log(c₂ n), below 0 taken as 0: the exploration weight, with c₁ = 0.2, c₂ = 0.4

Of pending points only the place is known. They shrink the variance and leave the mean alone
(section 4, from Desautels, Krause, Burdick, GP-BUCB, 2014): else all children of one moment would
be sent to the same place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from raysweep.trials.streams import Generator

Array = npt.NDArray[np.float64]

_HORIZON = 10.0
_BOUNDS = {
    "log_length": (math.log(0.05), math.log(3.0)),
    "log_noise": (math.log(1e-4), math.log(1.0)),
    "epsilon": (0.0, 0.5),
}
"""Where the likelihood is searched; the signal's variance σ² is 1, as y is standardised."""
_STARTS = ((math.log(0.3), math.log(0.05), 0.05), (math.log(1.0), math.log(0.3), 0.2))
_C1, _C2 = 0.2, 0.4
_CANDIDATES, _REFINED = 500, 3


class Law(NamedTuple):
    """What the likelihood decides: ℓ, the variance of the noise, and ε, how fast the past fades."""

    length: float
    noise: float
    epsilon: float


def kernel(law: Law, x: Array, t: Array, other_x: Array, other_t: Array) -> Array:
    """k between (n, d), (n,) and (m, d), (m,); returns shape (n, m)."""
    return _faded(law, *_distances(x, t, other_x, other_t))


def _distances(x: Array, t: Array, other_x: Array, other_t: Array) -> tuple[Array, Array]:
    """|t - t'|·T/2 and ‖x - x'‖², each of shape (n, m)."""
    apart = np.abs(t[:, None] - other_t[None, :]) * _HORIZON / 2
    return apart, ((x[:, None, :] - other_x[None, :, :]) ** 2).sum(-1)


def _faded(law: Law, apart: Array, square: Array) -> Array:
    found: Array = (1.0 - law.epsilon) ** apart * np.exp(-square / (2 * law.length**2))
    return found


class Belief:
    """The process, given observations.

    Args:
        x, t, y: (n, d), (n,), (n,).
        law: None: the one under which y is most likely.
    """

    def __init__(self, x: Array, t: Array, y: Array, law: Law | None = None) -> None:
        self._x, self._t = x, t
        self._y = (y - y.mean()) / (y.std() or 1.0)
        self.law = law or self._likeliest()
        self._factor = self._factored(x, t)
        self._weights = cho_solve((self._factor, True), self._y)

    def mean(self, x: Array, t: Array) -> Array:
        """The posterior mean at (m, d), (m,), in standard deviations of y; shape (m,)."""
        found: Array = kernel(self.law, x, t, self._x, self._t) @ self._weights
        return found

    def deviation(self, pending_x: Array, pending_t: Array) -> Callable[[Array, Array], Array]:
        """The posterior standard deviation once results of pending points (p, d), (p,) are known.

        Returns:
            A function from (m, d), (m,) to shape (m,).
        """
        known_x, known_t = np.vstack([self._x, pending_x]), np.concatenate([self._t, pending_t])
        factor = self._factored(known_x, known_t)

        def at(x: Array, t: Array) -> Array:
            across = solve_triangular(factor, kernel(self.law, known_x, known_t, x, t), lower=True)
            found: Array = np.sqrt(np.maximum(1.0 - (across**2).sum(0), 1e-12))
            return found

        return at

    def _factored(self, x: Array, t: Array) -> Array:
        covariance = kernel(self.law, x, t, x, t) + self.law.noise * np.eye(len(x))
        factor: Array = cholesky(covariance, lower=True)
        return factor

    def _likeliest(self) -> Law:
        """Maximises the marginal likelihood from fixed starts, so that nothing is drawn."""
        apart, square = _distances(self._x, self._t, self._x, self._t)
        identity = np.eye(len(self._y))

        def loss(parameters: Array) -> tuple[float, Array]:
            """-log p(y), constants apart, and its gradient: ½ tr((K⁻¹ - ααᵀ) ∂K), α = K⁻¹ y."""
            law = Law(math.exp(parameters[0]), math.exp(parameters[1]), float(parameters[2]))
            signal = _faded(law, apart, square)
            factor = cholesky(signal + law.noise * identity, lower=True)
            weights = cho_solve((factor, True), self._y)
            slope = cho_solve((factor, True), identity) - np.outer(weights, weights)
            gradient = 0.5 * np.array(
                [
                    (slope * signal * square).sum() / law.length**2,
                    np.trace(slope) * law.noise,
                    -(slope * signal * apart).sum() / (1.0 - law.epsilon),
                ]
            )
            value = 0.5 * self._y @ weights + np.log(np.diag(factor)).sum()
            return float(value), gradient

        found = [
            minimize(loss, start, jac=True, method="L-BFGS-B", bounds=list(_BOUNDS.values()))
            for start in _STARTS
        ]
        length, noise, epsilon = min(found, key=lambda result: result.fun).x
        return Law(math.exp(length), math.exp(noise), float(epsilon))


def exploration(n: int) -> float:
    """β after n observations."""
    return max(0.0, _C1 + math.log(_C2 * n)) if n else 0.0


def best_point(
    belief: Belief, at: float, pending: Array, chance: Generator, observations: int
) -> tuple[Array, float]:
    """Where mean + √β · deviation is greatest at the time `at`, shape (d,), and how great.

    Args:
        belief: what is known.
        at: the time of the query, 1 at the newest observation.
        pending: (p, d), the configs that others go on with from now.
        chance: for the candidates.
        observations: n.
    """
    weight = math.sqrt(exploration(observations))
    deviation = belief.deviation(pending, np.full(len(pending), at))

    def bound(x: Array) -> Array:
        t = np.full(len(x), at)
        found: Array = belief.mean(x, t) + weight * deviation(x, t)
        return found

    d = pending.shape[1]
    candidates = chance.random((_CANDIDATES, d))
    values = bound(candidates)
    order = np.argsort(-values, kind="stable")[:_REFINED]
    best, worth = candidates[order[0]], float(values[order[0]])
    for start in candidates[order]:
        found = minimize(
            lambda x: -float(bound(x[None, :])[0]), start, method="L-BFGS-B", bounds=[(0, 1)] * d
        )
        if -found.fun > worth:
            best, worth = np.clip(found.x, 0.0, 1.0), float(-found.fun)
    return best, worth
