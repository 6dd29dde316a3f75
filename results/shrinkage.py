"""What each of several groups comes to, when the best of them is to be looked at afterwards.

    y_ij       value j of group i; n_i of them with mean m_i; k groups
    θ_i        what group i comes to: y_ij ~ N(θ_i, σ²)
    μ, τ²      θ_i ~ N(μ, τ²)
    B_i        (σ²/n_i) / (σ²/n_i + τ²): by so much m_i is drawn towards μ
    B          the same for a group of ñ values, ñ the harmonic mean of the n_i
    W          Σ (y_ij − m_i)², of ν = Σ n_i − k degrees of freedom

The best of several means is too good, as the best of anything that is part luck. What the values say
of θ_i once all groups are taken into account, E(θ_i | y), is not: whichever group one looks at, and
for whatever reason, it is the same (Efron, "Tweedie's formula and selection bias", JASA 106 (2011);
the normal model: Lindley & Smith, "Bayes estimates for the linear model", JRSS B 34 (1972)). All σ²
are one here, so that a group of three values borrows from the others how far values scatter.

A priori B is uniform on (0, 1) (Daniels, "A prior for the variance in hierarchical models", Canadian
Journal of Statistics 27 (1999)), μ is flat and σ² has 1/σ². Given B, with v_i = 1/n_i + (1 − B)/(ñB),
w_i = 1/v_i and m̂ = Σ w_i m_i / Σ w_i, everything but B can be integrated by hand:

    S(B)       W + Σ w_i (m_i − m̂)²
    p(B | y)   ∝ Π w_i^½ · (Σ w_i)^(−½) · S^(−(ν + k − 1)/2)
    θ_i | B, y Student's t of ν + k − 1 degrees of freedom about m_i − B_i (m_i − m̂), with the squared
               scale S/(ν + k − 1) · ((1 − B_i)/n_i + B_i²/Σ w_i)

B is summed over a grid. With one group this is Student's interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raysweep.results.intervals import Interval

Array = npt.NDArray[np.float64]

_GRID: Array = 1 / (1 + np.exp(-np.linspace(-28.0, 28.0, 225)))
"""Values of B, close together at both ends: a step of the logit stands for B (1 − B)."""
_ROUNDING = 1e-13
"""Values that differ by no more than this share of the largest do not differ."""
_FAR = 100.0
"""Both bounds lie within so many times the widest scale of the outermost centres."""


def expected_of(groups: Sequence[Sequence[float]], confidence: float = 0.95) -> list[Interval]:
    """What each group comes to, chosen or not.

    Args:
        groups: k of them, each of one value at least, and one of two at least.
        confidence: that each interval has by itself.

    Returns:
        Where in no group any values differ, each mean with itself for bounds.

    Raises:
        ValueError: no group has two values, so that nothing says how far they scatter.
    """
    n = np.array([len(group) for group in groups], float)
    dof = int(n.sum()) - 1  # ν + k − 1
    if dof < len(groups):
        raise ValueError("no group has two values")
    means = np.array([np.mean(group) for group in groups])
    within = sum(float(np.sum((np.asarray(group) - np.mean(group)) ** 2)) for group in groups)
    largest = max(abs(value) for group in groups for value in group)
    if within <= n.sum() * (_ROUNDING * largest) ** 2:
        return [Interval(mean, mean, mean) for mean in means.tolist()]
    typical = len(groups) / float(np.sum(1 / n))
    weights = 1 / (1 / n + ((1 - _GRID) / (typical * _GRID))[:, None])  # (grid, k)
    total = weights.sum(axis=1, keepdims=True)
    middle = (weights * means).sum(axis=1, keepdims=True) / total
    squares = within + (weights * (means - middle) ** 2).sum(axis=1)
    log_p = (np.log(weights).sum(axis=1) - np.log(total[:, 0]) - dof * np.log(squares)) / 2
    p = np.exp(log_p - log_p.max()) * _GRID * (1 - _GRID)
    drawn = weights / n  # B_i
    centres = means - drawn * (means - middle)
    scales = np.sqrt((squares / dof)[:, None] * ((1 - drawn) / n + drawn**2 / total))
    return [
        _interval(p / p.sum(), centres[:, i], scales[:, i], dof, confidence)
        for i in range(len(groups))
    ]


def _interval(p: Array, centres: Array, scales: Array, dof: int, confidence: float) -> Interval:
    """The mean of a mixture of Student's t, and its quantiles."""
    from scipy.optimize import brentq
    from scipy.special import stdtr

    reach = _FAR * float(scales.max())
    ends = float(centres.min()) - reach, float(centres.max()) + reach

    def quantile(share: float) -> float:
        def beyond(x: float) -> float:
            return float(p @ stdtr(dof, (x - centres) / scales)) - share

        return float(brentq(beyond, *ends, xtol=1e-9 * reach))

    tail = (1 - confidence) / 2
    return Interval(float(p @ centres), quantile(tail), quantile(1 - tail))
