"""What it is worth to continue a trial: expected improvement per step, with leave to give up.

    x                   (best score so far - forecast) / sd, both on the model's scale
    c_j                 steps from rung j-1 to rung j
    φ_j                 the share of the forecast's variance that rung j takes away, Σ φ_j = 1
    λ                   a price per step

Whoever continues a trial from rung k may look at every rung and give up there. At a price λ per step
this is worth, in units of the forecast's sd,

    V_m(x) = max(0, x)                                            at max_t: the improvement itself
    V_j(x) = max(0, E[V_{j+1}(x + √φ_{j+1} ξ)] - λ c_{j+1}),      ξ ~ N(0, 1)

The trial's worth is the highest price at which it pays to continue: the Gittins index of an arm that
can be put aside (Gittins, "Bandit processes and dynamic allocation indices", J. R. Stat. Soc. B 41,
1979), where a step is the unit of cost. Without leave to give up it would be the expected
improvement of the forecast divided by the remaining steps; those who begin would look dear.

Worth scales with sd: it is tabled for sd 1, as a function of rung and x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_X = np.linspace(-8.0, 8.0, 97)
_PRICES = np.geomspace(1e-9, 4.0, 48)
"""Of a whole training; per step they are that divided by the steps that remain."""


class Worth:
    """The tables for one set of rungs.

    Args:
        steps: of the rungs t_0 … t_m.
        resolved: how much of a forecast's variance each of the rungs 1 … m takes away, shape (m,).
    """

    def __init__(self, steps: Sequence[int], resolved: Array) -> None:
        self._steps = np.array(steps, dtype=np.float64)
        costs = np.diff(self._steps)
        self._prices, self._breaks = [], []
        for rung in range(len(costs)):
            prices = _PRICES / (self._steps[-1] - self._steps[rung])
            value = _value(resolved[rung:] / resolved[rung:].sum(), costs[rung:], prices)
            if rung == 0:
                self._first = np.maximum(value, 0.0)
            self._prices.append(prices)
            self._breaks.append(_breaks(value))

    def of(self, rung: int, gain: Array, sd: Array) -> Array:
        """The worth of trials at `rung`, per step, on the model's scale.

        Args:
            rung: from 0; none is worth anything at the last.
            gain: best score so far - forecast, shape (n,).
            sd: of the forecasts, shape (n,).
        """
        left = self._steps[-1] - self._steps[rung]
        safe = np.maximum(sd, 1e-12)
        x = gain / safe
        found = np.interp(x, self._breaks[rung], self._prices[rung], left=0.0)
        return np.asarray(np.maximum(safe * found, np.maximum(gain, 0.0) / left))

    def fresh(self, gain: Array, sd: Array) -> float:
        """The worth of a new trial, if its forecast at the first rung is as likely one as another.

        It costs the steps to the first rung, and may be given up there and later.
        """
        safe = np.maximum(sd, 1e-12)
        x = np.clip(gain / safe, _X[0], _X[-1])
        low, high = 0.0, float(np.maximum(gain, 0.0).mean() + safe.mean()) / self._steps[0]
        for _ in range(30):
            price = (low + high) / 2
            value = _between(self._first, self._prices[0], price / safe, x) * safe
            low, high = (price, high) if value.mean() > price * self._steps[0] else (low, price)
        return low


def _value(shares: Array, costs: Array, prices: Array) -> Array:
    """E[V] - λ c of continuing, shape (prices, x), before the first of the rungs that remain."""
    value = np.broadcast_to(np.maximum(_X, 0.0), (len(prices), len(_X)))
    for share, cost in zip(shares[::-1], costs[::-1], strict=True):
        value = np.maximum(value, 0.0) @ _moved(float(np.sqrt(share))).T - cost * prices[:, None]
    return value


def _moved(sd: float) -> Array:
    """The matrix that takes values at the points of `_X` to their means about each, sd apart.

    Exact for what is linear between the points: each one's hat is a second difference of
    E[max(0, X - a)]. What leaves the grid counts at its end.
    """
    width, count = _X[1] - _X[0], len(_X)
    away = width * np.arange(-count, count + 1)  # a - x
    above = np.array([0.5 * math.erfc(a / (sd * math.sqrt(2.0))) for a in away.tolist()])
    ramp = sd * np.exp(-0.5 * (away / sd) ** 2) / np.sqrt(2.0 * np.pi) - away * above
    hats = (ramp[:-2] - 2.0 * ramp[1:-1] + ramp[2:]) / width
    rows = np.arange(count)
    matrix = hats[rows - rows[:, None] + count - 1]
    lost = 1.0 - matrix.sum(axis=1)
    matrix[rows, np.where(_X > 0, count - 1, 0)] += lost
    return np.asarray(matrix)


def _breaks(value: Array) -> Array:
    """The x from which on continuing pays at each price, ascending with it."""
    found = np.empty(len(value))
    for row, line in enumerate(value):
        above = int(np.argmax(line > 0)) if line[-1] > 0 else len(_X) - 1
        if above == 0 or line[above] <= 0:
            found[row] = _X[above]
            continue
        low, high = line[above - 1], line[above]
        found[row] = _X[above - 1] + (_X[above] - _X[above - 1]) * -low / (high - low)
    ascending: Array = np.maximum.accumulate(found + 1e-9 * np.arange(len(found)))
    return np.round(ascending, 9)


def _between(table: Array, prices: Array, price: Array, x: Array) -> Array:
    """`table` (prices, x) at pairs of price and x, shape (n,); linear between its points."""
    p = np.interp(price, prices, np.arange(len(prices)))
    q = (x - _X[0]) / (_X[1] - _X[0])
    i = np.minimum(p.astype(int), len(prices) - 2)
    j = np.minimum(q.astype(int), len(_X) - 2)
    p, q = p - i, q - j
    low = table[i, j] * (1 - q) + table[i, j + 1] * q
    high = table[i + 1, j] * (1 - q) + table[i + 1, j + 1] * q
    return np.asarray(low * (1 - p) + high * p)
