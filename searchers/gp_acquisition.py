"""How much a config promises, from the mean and standard deviation of a prediction.

Notation: targets are minimised; b is the incumbent's predicted mean or best target, μ and σ the
prediction, z = (b − μ)/σ, h(z) = φ(z) + z Φ(z), EI = σ h(z).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfcx, log_ndtr

from raysweep.searchers.history import Floats

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)


def log_h(z: Floats) -> Floats:
    """log h(z), accurate in the far tail where h underflows.

    Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization",
    arXiv 2310.20708, eq. 9: below −1 by erfcx, and by its asymptote −2 log|z| further out.
    """
    z = np.asarray(z, dtype=np.float64)
    log_pdf = -0.5 * z * z - _LOG_ROOT_2PI
    with np.errstate(all="ignore"):
        near = np.log(np.exp(log_pdf) + z * np.exp(log_ndtr(z)))
        ratio = math.sqrt(math.pi / 2.0) * erfcx(-z / math.sqrt(2.0)) * z
        tail = log_pdf + np.log1p(ratio)
        far = log_pdf - 2.0 * np.log(-z)
    return np.where(z > -1.0, near, np.where(z > -1e4, tail, far))


def log_ei(mean: Floats, sd: Floats, best: float) -> Floats:
    """log EI, shape as `mean`."""
    return log_h((best - mean) / sd) + np.log(sd)


def expected_improvement(mean: Floats, sd: Floats, best: float) -> Floats:
    """EI itself, as a report shows it."""
    return np.exp(log_ei(mean, sd, best))


def confidence(mean: Floats, sd: Floats, width: float) -> Floats:
    """The negative lower confidence bound, width·σ − μ (Srinivas et al., arXiv 0912.3995)."""
    return width * sd - mean
