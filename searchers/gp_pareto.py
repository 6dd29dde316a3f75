"""Acquisitions for several objectives, each with a process of its own.

Notation: m objectives to be minimised, s draws ε of a standard normal, f = μ + σ ε the draws of a
point's outcome, F the points that nothing dominates so far.
"""

from __future__ import annotations

import numpy as np

from raysweep.searchers.history import Floats
from raysweep.trials.pareto import front
from raysweep.trials.streams import Generator

_DRAWS = 32
_RHO = 0.05
"""The linear part of ParEGO's scalarisation, which keeps weakly dominated points out."""


def improved_volume(means: Floats, sds: Floats, values: Floats, draws: Floats) -> Floats:
    """The expected volume that each of n points adds to the front of two objectives, shape (n,).

    Daulton, Balandat & Bakshy, "Differentiable Expected Hypervolume Improvement", arXiv
    2006.05078, by Monte Carlo over the independent marginals; the volume of one outcome is exact.

    Args:
        means, sds: shape (n, 2).
        values: what was observed, shape (k, 2).
        draws: standard normal, shape (s, 2).
    """
    reference = values.max(0) + 0.1 * np.ptp(values, axis=0) + 1e-9
    best = values[front(values)]
    best = best[np.argsort(best[:, 0], kind="stable")]
    left = np.r_[-np.inf, best[:, 0]]
    right = np.r_[best[:, 0], reference[0]]
    ceiling = np.r_[reference[1], best[:, 1]]
    outcomes = means[:, None, :] + sds[:, None, :] * draws  # (n, s, 2)
    x, y = outcomes[..., 0, None], outcomes[..., 1, None]
    widths = np.maximum(right - np.maximum(left, x), 0.0)
    heights = np.maximum(ceiling - y, 0.0)
    return np.asarray((widths * heights).sum(-1).mean(-1))


def scalarised(
    means: Floats, sds: Floats, values: Floats, draws: Floats, weights: Floats
) -> Floats:
    """The expected improvement of a weighted Chebyshev distance, shape (n,): ParEGO.

    Knowles, "ParEGO", IEEE TEC 10 (2006), eq. 2, over the processes of the objectives themselves.

    Args:
        means, sds: shape (n, m).
        values: what was observed, shape (k, m).
        draws: standard normal, shape (s, m).
        weights: of the objectives, shape (m,), summing to 1.
    """
    low, span = values.min(0), np.maximum(np.ptp(values, axis=0), 1e-9)

    def one(outcomes: Floats) -> Floats:
        parts = weights * (outcomes - low) / span
        return np.asarray(parts.max(-1) + _RHO * parts.sum(-1))

    outcomes = means[:, None, :] + sds[:, None, :] * draws
    return np.asarray(np.maximum(one(values).min() - one(outcomes), 0.0).mean(-1))


def base_draws(generator: Generator, objectives: int) -> Floats:
    """Antithetic standard normal draws, shape (s, m), the same for all points of one proposal."""
    half = generator.standard_normal((_DRAWS // 2, objectives))
    return np.vstack([half, -half])
