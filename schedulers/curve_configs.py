"""What configs alone let expect of trials: each one's level, as the others' levels tell it.

    x_i                 the config as a point of the unit cube, d axes; 0.5 where an axis is inactive
    q_i                 where the trial's own curve says that it will end, standardised
    k(x, x')            Matérn-5/2 of the distance over the length scale
    s                   noise variance relative to the kernel's

A Gaussian process q ~ GP(0, k + s·1). The level of trial i is the mean of q_i given all others,
q_i - [A⁻¹q]_i / [A⁻¹]_ii with A = K + s·1 (Rasmussen, Williams, "Gaussian Processes for Machine
Learning", eq. 5.12), so that what the curve model learns of levels it learns of honest ones. Length
scale and noise are those of a small grid that make the data likeliest, the kernel's amplitude
maximised out.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MOST = 150
"""Trials that a fit looks at, the newest ones: its cost is cubic."""
_LENGTHS = (0.4, 0.8, 1.6)
_NOISES = (0.1, 0.5)
_LEAST = 8
"""Trials below which nothing is learnt."""
_DIGITS = 6


def levels(configs: Array, ends: Array) -> Array:
    """h of each trial, shape (n,): 0 for none known, in units of `ends`, about their mean.

    Args:
        configs: points of the unit cube, shape (n, d), NaN where an axis is inactive.
        ends: where each is expected to end, shape (n,).
    """
    found = np.zeros(len(ends))
    configs, chosen = configs[-MOST:], ends[-MOST:]
    sd = float(chosen.std()) if len(chosen) else 0.0
    if len(chosen) < _LEAST or not configs.shape[1] or sd < 1e-9:
        return found
    q = (chosen - chosen.mean()) / sd
    x = np.nan_to_num(configs, nan=0.5)
    norms = (x**2).sum(axis=1)
    distance = np.sqrt(np.maximum(norms[:, None] + norms - 2.0 * x @ x.T, 0.0))
    best, left_out = np.inf, np.zeros(len(q))
    for length, noise in product(_LENGTHS, _NOISES):
        a = np.sqrt(5.0) * distance / length
        gram = (1.0 + a + a**2 / 3.0) * np.exp(-a) + noise * np.eye(len(q))
        inverse = np.linalg.inv(gram)
        weighted = inverse @ q
        loss = len(q) * np.log(q @ weighted) + np.linalg.slogdet(gram)[1]
        if loss < best - 1e-6:
            best, left_out = loss, q - weighted / np.diag(inverse)
    found[-len(q) :] = np.round(sd * left_out, _DIGITS)
    return found
