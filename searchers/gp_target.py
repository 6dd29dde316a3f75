"""What a Gaussian process is told in the place of raw scores: standardised, and no more.

Power, rank and logarithmic transforms (as in HEBO, arXiv 2012.03826, or copula regression) were
measured here and lose: they stretch the differences among the best, the process then fits the
first basin in ever finer detail, and what lies outside looks equally bad (docs/searchers/gp.md).
"""

from __future__ import annotations

import numpy as np

from raysweep.searchers.history import Floats


def standardised(scores: Floats) -> Floats:
    """Finite scores, lower is better, with mean 0 and standard deviation 1, shape (n,)."""
    spread = float(scores.std()) if len(scores) else 0.0
    if not np.isfinite(spread) or spread <= 1e-12 * max(1.0, float(np.abs(scores).max(initial=0.0))):
        return np.zeros(len(scores))
    return np.asarray((scores - scores.mean()) / spread)
