"""What the best of several groups comes to: by integration, by simulation, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.results.intervals import mean_of
from raysweep.results.shrinkage import expected_of
from raysweep.trials.streams import Stream

GROUPS = [[0.11, 0.15, 0.10], [0.21, 0.18], [0.14, 0.19, 0.13, 0.17]]


def test_of_one_group_it_is_students_interval() -> None:
    values = [0.3, 0.5, 0.4]
    (found,) = expected_of([values])
    assert found == pytest.approx(mean_of(values), rel=1e-6)


def test_it_is_what_the_model_says_summed_over_all_its_unknowns() -> None:
    """The posterior means of θ_1 … θ_3 by brute force: a grid over B, σ and μ, nothing by hand."""
    n = np.array([len(group) for group in GROUPS])
    means = np.array([np.mean(group) for group in GROUPS])
    within = sum(float(np.var(group)) * len(group) for group in GROUPS)
    typical = 3 / np.sum(1 / n)
    b = ((np.arange(60) + 0.5) / 60)[:, None, None]
    sigma = np.geomspace(0.004, 0.4, 80)[None, :, None]  # 1/σ² dσ² is even on the log
    mu = np.linspace(-0.5, 0.8, 301)[None, None, :]
    spread = sigma**2 * (1 - b) / (typical * b)
    log_p = -(n.sum() - 3) * np.log(sigma) - within / (2 * sigma**2)
    for mean, count in zip(means, n, strict=True):
        variance = spread + sigma**2 / count
        log_p = log_p - np.log(variance) / 2 - (mean - mu) ** 2 / (2 * variance)
    p = np.exp(log_p - log_p.max())
    for mean, count, found in zip(means, n, expected_of(GROUPS), strict=True):
        drawn = (sigma**2 / count) / (sigma**2 / count + spread)
        posterior = mean - drawn * (mean - mu)
        assert found.estimate == pytest.approx(float((p * posterior).sum() / p.sum()), abs=1e-4)


def test_the_best_of_five_is_off_by_little_and_its_bounds_hold() -> None:
    """Three values each, as far apart as the groups: the best mean itself is 0.3 σ too good.

    150 rounds: the share that holds has a standard error of √(0.95 · 0.05 / 150) = 0.018.
    """
    generator = Stream(0, "shrinkage").generator()
    off, raw, held, rounds = 0.0, 0.0, 0, 150
    for _ in range(rounds):
        truth = generator.normal(0.0, 0.6, 5)
        values = truth[:, None] + generator.normal(0.0, 1.0, (5, 3))
        best = int(values.mean(axis=1).argmin())
        found = expected_of(values.tolist())[best]
        off += (found.estimate - truth[best]) / rounds
        raw += (values[best].mean() - truth[best]) / rounds
        held += found.low <= truth[best] <= found.high
    assert raw < -0.3
    assert abs(off) < 0.15
    assert held / rounds >= 0.89


def test_of_equal_counts_the_order_stays_and_all_are_drawn_to_the_middle() -> None:
    groups = [[0.1, 0.2], [0.2, 0.3], [0.4, 0.6]]
    found = [one.estimate for one in expected_of(groups)]
    assert found == sorted(found)
    assert found[0] > 0.15
    assert found[2] < 0.5
    assert sum(found) == pytest.approx(0.15 + 0.25 + 0.5), "their mean is the groups'"


def test_values_that_never_differ_are_what_they_are() -> None:
    assert expected_of([[0.5, 0.5], [0.7]]) == [(0.5, 0.5, 0.5), (0.7, 0.7, 0.7)]
    almost = [[0.5, 0.5, 0.5 + 1e-9], [0.7, 0.7, 0.7]]
    for found, mean in zip(expected_of(almost), (0.5, 0.7), strict=True):
        assert found == pytest.approx((mean, mean, mean), abs=1e-6)


def test_one_value_each_says_nothing_of_how_far_they_scatter() -> None:
    with pytest.raises(ValueError, match="no group has two values"):
        expected_of([[0.1], [0.2], [0.3]])


@given(
    st.lists(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=5), min_size=1, max_size=6),
    st.floats(0.8, 0.999),
)
def test_bounds_enclose_the_estimate_and_are_finite(
    groups: list[list[float]], confidence: float
) -> None:
    for one in expected_of(groups, confidence):
        assert all(map(math.isfinite, one))
        slack = 1e-6 * max(1.0, one.high - one.low, abs(one.estimate))
        assert one.low - slack <= one.estimate <= one.high + slack
