"""How well results of partial trainings rank configs, and what weight each depth deserves for it.

    p_i   precision of level i: the share of pairs of configs that it ranks as full trainings do
    θ_i   its weight, p_i³ / Σ_j p_j³

Li, Shen, Jiang, Gao, Liu, Zhang, Cui: "MFES-HB: Efficient Hyperband with Multi-Fidelity Quality
Measurements", AAAI 2021, arXiv:2012.03011, where the power 3 tells the better levels from the worse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_POWER = 3
_CHANCE = 0.5
"""The precision of a level that says nothing."""


def precision(level: npt.NDArray[np.float64], full: npt.NDArray[np.float64]) -> float:
    """p of one level: the share of pairs with different `full` scores that `level` orders alike.

    Args:
        level, full: scores of the same configs, shape (n,); equal ones at the level count half.

    Example:
        >>> precision(np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0, 3.0]))
        0.6666666666666666
    """
    better = full[:, None] < full[None, :]
    pairs = int(better.sum())
    if not pairs:
        return _CHANCE
    alike = (level[:, None] < level[None, :])[better].sum()
    equal = (level[:, None] == level[None, :])[better].sum()
    return float((alike + 0.5 * equal) / pairs)


def weights(precisions: Sequence[float]) -> list[float]:
    """θ of each level, of a sum of 1."""
    powers = [p**_POWER for p in precisions]
    return [power / sum(powers) for power in powers]
