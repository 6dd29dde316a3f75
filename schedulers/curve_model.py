"""A probabilistic model of learning curves, learnt from the curves of one sweep.

    t_0 < … < t_m       the rungs' steps; the last is max_t
    y_k                 the least score that a trial has shown up to t_k
    z_k                 y_k as a normal score (`curve_learnt`): 0 the median trial, -3 one in 700
    l_k                 log(t_k / t_{k-1})
    r_k                 (z_{k-1} - z_k) / l_k, the rate of improvement; r_0 = 0
    h                   what the trial's config alone lets expect (`curve_configs`)
    w_k                 √(0.1 + r_{k-1}²), so quick learners are less certain than those at rest

It is a chain of Bayesian linear regressions, one for each rung k ≥ 1:

    r_k = b_k · (1, z_{k-1}, r_{k-1}, h) + w_k ε,   ε ~ N(0, v_k)

The prior of b_k is normal about b_{k-1}, so rungs that few have reached go by those below: the
freeze-thaw idea (Swersky, Snoek, Adams, arXiv:1406.3896) that a curve goes on as the others of its
sweep did, with a kernel that is learnt in the place of one that is given. Of trials that were paused
for what they had shown, each regression sees all that it is conditioned on, so their selection does
not bias it (Little, Rubin, "Statistical Analysis with Missing Data", section 7.4: monotone patterns).

Parameters are rounded, so that the last bits of a linear algebra library decide nothing, and
forecasts are made of sums, products and roots alone: one trial's does not depend on whose are made
with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_PRIOR_SD = np.array([0.4, 0.4, 0.3, 0.1])
"""Of a coefficient about that of the rung below, in the order 1, z, r, h."""
_PRIOR_COUNT = 4.0
"""Trials that the noise of the rung below counts as."""
_AT_REST, _FIRST = 0.1, 0.3
"""w² of a curve that is flat, and at the first rung, where no rate is known."""
_FIRST_RATE, _FIRST_NOISE = 0.2, 0.2
_LASTS = 0.6
"""How much of a rate is expected to last until the next rung."""
_STRETCH_COUNT = 10.0
"""Forecasts that held 80 % of what came, before there were any."""
_HOLDS_80 = 1.2815515655446004
"""So many sd about the mean hold 80 % of a normal law."""
_DIGITS = 9


class Forecast(NamedTuple):
    """What the best score up to max_t will be on the model's scale: `mean` and `sd`, shape (n,)."""

    mean: Array
    sd: Array


class CurveModel(NamedTuple):
    """The chain, fitted.

    Attributes:
        logs: l_1 … l_m, shape (m,).
        weights: b_1 … b_m, shape (m, 4).
        noise: v_1 … v_m, shape (m,).
        doubt: covariances of b_1 … b_m, shape (m, 4, 4).
        stretch: what the sd of forecasts is multiplied by.
    """

    logs: Array
    weights: Array
    noise: Array
    doubt: Array
    stretch: float = 1.0

    @classmethod
    def fit(cls, steps: Sequence[int], z: Array, levels: Array) -> CurveModel:
        """Learn from curves.

        Args:
            steps: of the rungs, m + 1 of them.
            z: shape (n, m + 1), NaN from the first rung that a trial has not reached.
            levels: h of each trial, shape (n,).
        """
        logs = np.diff(np.log(np.array(steps, float)))
        rates = rates_of(z, logs)
        mean, v = np.array([_FIRST_RATE, 0.0, 0.0, 0.0]), _FIRST_NOISE
        weights, noise, doubt = [], [], np.empty((len(logs), 4, 4))
        for k in range(1, len(steps)):
            if k == 2:  # from here on there is a rate to go by
                mean = np.array([0.3, 0.3, 0.0, 0.3]) * mean + np.array([0.0, 0.0, _LASTS, 0.0])
            there = np.isfinite(z[:, k])
            of, rate = z[there, k - 1], rates[there, k - 1]
            w = _unrest(rate, k)
            x = np.stack([np.ones_like(of), of, rate, levels[there]], axis=1) / w[:, None]
            target = rates[there, k] / w
            prior = np.diag(v / _PRIOR_SD**2)
            precision = x.T @ x + prior
            mean = np.linalg.solve(precision, x.T @ target + prior @ mean)
            mean[1] = min(mean[1], 0.9 / logs[k - 1])  # who is ahead stays ahead
            mean[2] = min(max(mean[2], 0.0), 0.95)  # a rate fades: the chain must not explode
            rest = target - x @ mean
            v = float((_PRIOR_COUNT * v + rest @ rest) / (_PRIOR_COUNT + len(rest)))
            weights.append(mean)
            noise.append(v)
            doubt[k - 1] = v * np.linalg.inv(precision)
        m = len(logs)
        return cls(
            logs,
            np.round(np.array(weights).reshape(m, 4), _DIGITS),
            np.round(np.array(noise), _DIGITS),
            np.round(doubt, _DIGITS),
        )

    def forecast(
        self, z: Array, rate: Array, levels: Array, rung: int, until: int | None = None
    ) -> Forecast:
        """Where trials at rung `rung`, with these z, r and h of shape (n,), will end.

        At rung `until`, that is, by default the last.

        The mean follows the chain with rates that are not negative; the covariance of (z, r) is
        carried along, the doubt about each b_k included.
        """
        mean, zz, zr, rr = z + 0.0, np.zeros_like(z), np.zeros_like(z), np.zeros_like(z)
        last = len(self.logs) if until is None else until
        for k in range(rung + 1, last + 1):
            b, length = self.weights[k - 1], self.logs[k - 1]
            unrest = _unrest(rate, k) ** 2 + rr
            added = self.noise[k - 1] * unrest + _quadratic(self.doubt[k - 1], mean, rate, levels)
            rate = np.maximum(b[0] + b[1] * mean + b[2] * rate + b[3] * levels, 0.0)
            mean = mean - length * rate
            az, ar = 1.0 - length * b[1], -length * b[2]
            zz, zr, rr = (
                az * az * zz + 2 * az * ar * zr + ar * ar * rr + length * length * added,
                az * b[1] * zz + (az * b[2] + ar * b[1]) * zr + ar * b[2] * rr - length * added,
                b[1] * b[1] * zz + 2 * b[1] * b[2] * zr + b[2] * b[2] * rr + added,
            )
        return Forecast(mean, self.stretch * np.sqrt(np.maximum(zz, 0.0)))

    def stretched(self, z: Array, levels: Array) -> CurveModel:
        """With the `stretch` by which its forecasts of these curves hold 80 % of what came.

        Each of the curves, as of `fit`, is forecast from half of its rungs to its last.
        """
        reached = np.isfinite(z).sum(axis=1) - 1
        rates, errors = rates_of(z, self.logs), []
        for last in np.unique(reached[reached > 0]).tolist():
            at, half = np.flatnonzero(reached == last), last // 2
            said = self.forecast(z[at, half], rates[at, half], levels[at], half, last)
            errors.extend(np.abs(z[at, last] - np.minimum(said.mean, z[at, half])) / said.sd)
        if not errors:
            return self
        found = float(np.quantile(errors, 0.8)) / _HOLDS_80
        shrunk = (_STRETCH_COUNT + len(errors) * found) / (_STRETCH_COUNT + len(errors))
        return self._replace(stretch=round(min(max(shrunk, 0.3), 3.0), _DIGITS))

    def resolved(self) -> Array:
        """How much of a typical forecast's variance each rung takes away, shape (m,)."""
        shares, flat = [], np.zeros(1)
        typical = np.full(1, self.typical_rate())
        for k in range(len(self.logs) + 1):
            shares.append(float(self.forecast(flat, typical if k else flat, flat, k).sd[0]) ** 2)
        return np.maximum(-np.diff(np.array(shares)), 1e-12)

    def typical_rate(self) -> float:
        """The rate after the first rung of a trial that begins at the median."""
        return max(0.0, float(self.weights[0, 0])) if len(self.logs) else 0.0

    def state(self) -> list[Any]:
        """As plain JSON data."""
        return [*(part.tolist() for part in self[:4]), self.stretch]

    @classmethod
    def of(cls, state: list[Any]) -> CurveModel:
        """The model that gave this `state`."""
        logs, weights, noise, doubt = (np.array(part, dtype=np.float64) for part in state[:4])
        return cls(logs, weights, noise, doubt, state[4])


def rates_of(z: Array, logs: Array) -> Array:
    """r_0 … r_m of curves `z`, both of shape (n, m + 1)."""
    rates = np.zeros_like(z)
    rates[:, 1:] = (z[:, :-1] - z[:, 1:]) / logs
    return rates


def _unrest(rate: Array, k: int) -> Array:
    """w_k of curves whose rate at the rung below is `rate`."""
    return np.sqrt(np.full_like(rate, _FIRST) if k == 1 else _AT_REST + rate * rate)


def _quadratic(matrix: Array, z: Array, rate: Array, levels: Array) -> Array:
    """x · matrix · x of x = (1, z, r, h), term by term."""
    x = (np.ones_like(z), z, rate, levels)
    total = np.zeros_like(z)
    for i in range(4):
        total = total + matrix[i, i] * x[i] * x[i]
        for j in range(i):
            total = total + 2.0 * matrix[i, j] * x[i] * x[j]
    return np.maximum(total, 0.0)
