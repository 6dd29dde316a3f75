"""Intervals for what a sample says of the whole that it was drawn from.

N   the whole: how many there are
n   the sample: how many of them were looked at, drawn at random
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """What is estimated, and between which bounds it lies with the confidence asked for."""

    estimate: float
    low: float
    high: float


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """The exact interval of a probability of which `hits` of `n` independent draws speak.

    Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934): the bounds are those at which as many hits or more, or as many
    or fewer, have probability (1 − confidence) / 2. It covers at least as often as it says.

    Example:
        >>> [round(bound, 4) for bound in clopper_pearson(0, 10)]
        [0.0, 0.0, 0.3085]
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return Interval(hits / n, low, high)


def mean_of(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean that `values`, independent and about normal, are drawn around.

    Student, "The probable error of a mean", Biometrika 6 (1908): m ± t(n − 1) s / √n, with s² the
    sum of squares about the mean m by n − 1.

    Args:
        values: one at least.
        confidence: of the interval.

    Returns:
        Of one value, the bounds are infinite.

    Example:
        >>> [round(bound, 4) for bound in mean_of([1.0, 2.0, 3.0])]
        [2.0, -0.4841, 4.4841]
    """
    from scipy.stats import t

    n = len(values)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, -inf, inf)
    reach = float(t.ppf((1 + confidence) / 2, n - 1) * np.std(values, ddof=1) / sqrt(n))
    return Interval(mean, mean - reach, mean + reach)


def ratio_total(
    seen: Sequence[float],
    sized: Sequence[float],
    size_of_unseen: float,
    unseen: int,
    confidence: float = 0.95,
) -> Interval:
    """What the unseen come to together, from the seen and from a size that is known of all.

        y_i, x_i   what a seen one came to, and its size
        r          Σ y_i / Σ x_i, and r X of the unseen, whose sizes add up to X
        s²         Σ (y_i − r x_i)² / (n − 1)
        error      √(s² (1 − n/N) / n) (X + Σ x_i) / mean(x)

    Cochran, "Sampling Techniques", 3rd ed., 1977, section 6.4: the ratio estimator and its error,
    here with Student's t. It is narrow where what a thing comes to goes with its size; where a few
    come to very much, a small sample seldom holds one of these, and the interval is too narrow.

    Args:
        seen, sized: y and x, each of shape (n,).
        size_of_unseen: X.
        unseen: N − n.
        confidence: of the interval.

    Returns:
        With one seen, or none with a size, there is no upper bound but infinity.
    """
    from scipy.stats import t

    y, x, n = np.asarray(seen, float), np.asarray(sized, float), len(seen)
    if not unseen or not x.sum():
        return Interval(0.0, 0.0, inf if unseen and y.sum() else 0.0)
    ratio = float(y.sum() / x.sum())
    total = ratio * size_of_unseen
    if n == 1:
        return Interval(total, 0.0, inf)
    spread = float(np.sum((y - ratio * x) ** 2)) / (n - 1)
    whole = size_of_unseen + float(x.sum())  # the seen fit exactly, so the error is the whole's
    error = sqrt(spread / n * unseen / (n + unseen)) / float(x.mean()) * whole
    reach = float(t.ppf((1 + confidence) / 2, n - 1)) * error
    return Interval(total, max(0.0, total - reach), total + reach)
