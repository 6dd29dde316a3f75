"""Input warping: numbers stretched where the score changes quickly, so that one length scale fits.

Notation: u in [0, 1] a column, w(u) = 1 − (1 − u^a)^b the Kumaraswamy distribution function, with
log a and log b ~ N(0, 0.5²): without evidence the axis stays as it is. Snoek, Swersky, Zemel &
Adams, "Input Warping for Bayesian Optimization of Non-Stationary Functions", arXiv 1402.0929, with
the distribution function that HEBO takes in the place of the Beta's (arXiv 2012.03826).
"""

from __future__ import annotations

import numpy as np

from raysweep.searchers.history import Floats

SPREAD = 0.5
"""Prior standard deviation of log a and log b."""
_EDGE = 1e-6


def warped(columns: Floats, logs: Floats) -> Floats:
    """w(u), shape (n, D).

    Args:
        columns: shape (n, D); those that are not warped may hold any numbers.
        logs: log a and log b of each column, shape (2, D); NaN: not warped.
    """
    u = np.clip(columns, _EDGE, 1.0 - _EDGE)
    a, b = np.exp(logs)
    return np.where(np.isnan(a), columns, 1.0 - (1.0 - u**a) ** b)


def slopes(columns: Floats, logs: Floats) -> tuple[Floats, Floats]:
    """∂w/∂log a and ∂w/∂log b, shape (n, D) each; NaN where nothing is warped."""
    u = np.clip(columns, _EDGE, 1.0 - _EDGE)
    a, b = np.exp(logs)
    power = u**a
    rest = 1.0 - power
    return (
        a * b * rest ** (b - 1.0) * power * np.log(u),
        -b * rest**b * np.log(rest),
    )
