from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.results.intervals import clopper_pearson, mean_of, ratio_total
from raysweep.trials.streams import Stream


def test_by_hand() -> None:
    """Of none in 10 the upper bound p has (1 − p)^10 = 0.025: p = 1 − 0.025^0.1 = 0.3085.

    Of 1 in 2: P(≥ 1) = 1 − (1 − p)² = 0.025 at p = 1 − √0.975 = 0.0126, and by symmetry 0.9874.
    """
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 0.0, 1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == pytest.approx((1.0, 0.025**0.1, 1.0))
    assert clopper_pearson(1, 2) == pytest.approx((0.5, 1 - math.sqrt(0.975), math.sqrt(0.975)))


@given(hits=st.integers(1, 30), more=st.integers(1, 30), confidence=st.floats(0.5, 0.99))
def test_the_bounds_are_where_the_tails_are(hits: int, more: int, confidence: float) -> None:
    """Straight from the definition, by summing the binomial."""
    n, tail = hits + more, (1 - confidence) / 2
    found = clopper_pearson(hits, n, confidence)

    def at_least(count: int, p: float) -> float:
        return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(count, n + 1))

    assert at_least(hits, found.low) == pytest.approx(tail, rel=1e-6)
    assert 1 - at_least(hits + 1, found.high) == pytest.approx(tail, rel=1e-6)


def test_a_total_by_hand() -> None:
    """y = 4, 6 and x = 4, 2: r = 10/6. Of two unseen with X = 12: 20.

    e = ∓8/3, s² = 128/9, error √(128/9 · (1/2) / 2) / 3 · 18 = 11.3137, t(0.975; 1) = 12.7062.
    """
    found = ratio_total([4, 6], [4, 2], 12, 2)
    assert found == pytest.approx((20, 0, 20 + 143.755), abs=1e-3)


def test_what_goes_with_its_size_is_known_from_any_two() -> None:
    assert ratio_total([2, 4], [1, 2], 10, 5) == (20, 20, 20)


def test_one_alone_bounds_nothing_and_of_nobody_nothing_is_missing() -> None:
    assert ratio_total([4], [2], 10, 3) == (20, 0, math.inf)
    assert ratio_total([4, 6], [4, 2], 0, 0) == (0, 0, 0)
    assert ratio_total([4, 6], [0, 0], 0, 2) == (0, 0, math.inf)
    assert ratio_total([0, 0], [0, 0], 0, 2) == (0, 0, 0)


def test_the_total_is_covered_as_often_as_it_says() -> None:
    """1,000 samples of 12 of 60, whose ratios are normal: 950 expected, sd 7, 7 of these below."""
    covered = 0
    for number in range(1_000):
        chance = Stream(number, "test").generator()
        x = chance.uniform(1, 3, 60)
        y = x * chance.normal(2, 0.3, 60)
        found = ratio_total(y[:12].tolist(), x[:12].tolist(), float(x[12:].sum()), 48)
        covered += found.low <= y[12:].sum() <= found.high
    assert covered > 900


def test_a_mean_by_hand() -> None:
    """Of 0.3, 0.5, 0.4: mean 0.4, s = 0.1, and t(0.975; 2) = 4.30265 (Student's table).

    4.30265 · 0.1 / √3 = 0.248413. Of two values, t(0.975; 1) = 12.7062 = tan(0.475 π).
    """
    assert mean_of([0.3, 0.5, 0.4]) == pytest.approx((0.4, 0.151587, 0.648413), abs=1e-6)
    reach = math.tan(0.475 * math.pi) * 0.5  # s / √2 of 1 and 2 is 0.5
    assert mean_of([1.0, 2.0]) == pytest.approx((1.5, 1.5 - reach, 1.5 + reach))
    assert mean_of([1.0, 2.0], 0.5) == pytest.approx((1.5, 1.0, 2.0)), "t(0.75; 1) = tan(π/4) = 1"


def test_one_value_has_no_bounds_and_equal_ones_have_no_width() -> None:
    assert mean_of([0.7]) == (0.7, -math.inf, math.inf)
    assert mean_of([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_the_mean_is_covered_as_often_as_it_says() -> None:
    draws = Stream(0, "means")
    held = 0
    for _ in range(2000):
        _, low, high = mean_of([draws.normal(3.0, 2.0) for _ in range(3)], 0.9)
        held += low <= 3.0 <= high
    assert held / 2000 == pytest.approx(0.9, abs=0.02)  # three standard errors
