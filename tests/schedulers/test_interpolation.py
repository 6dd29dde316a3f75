from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.schedulers.interpolation import between, percentile_of, smoothed

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("values", "percentile", "expected"),
    [
        ([1.0, 2.0, 4.0], 50, 2.0),
        ([1.0, 2.0, 4.0], 75, 3.0),  # place 2·0.75 = 1.5: half-way from 2 to 4
        ([1.0, 2.0, 4.0, 8.0], 50, 3.0),  # place 1.5: half-way from 2 to 4
        ([1.0, 2.0, 4.0, 8.0], 10, 1.3),  # place 0.3: 0.7·1 + 0.3·2
        ([1.0, 2.0], 0, 1.0),
        ([1.0, 2.0], 100, 2.0),
        ([7.0], 33, 7.0),
    ],
)
def test_percentiles_by_hand(values: list[float], percentile: float, expected: float) -> None:
    assert percentile_of(values, percentile) == pytest.approx(expected, rel=1e-15)


def test_nothing_has_no_percentile() -> None:
    assert percentile_of([], 50) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 100))
def test_percentiles_are_numpys(values: list[float], percentile: float) -> None:
    values.sort()
    expected = np.percentile(values, percentile)
    assert percentile_of(values, percentile) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(FINITE, FINITE, st.floats(0, 1))
def test_a_value_between_two_is_never_outside_of_them(a: float, b: float, share: float) -> None:
    assert min(a, b) <= between(a, b, share) <= max(a, b)


@given(FINITE, st.floats(0, 0.999))
def test_a_constant_curve_stays_where_it_is(score: float, smoothing: float) -> None:
    """0.7·0.1 + 0.3·0.1 is not 0.1 in floats: without care, a constant would seem to improve."""
    value = None
    for _ in range(5):
        value = smoothed(value, score, smoothing)
        assert value == score


def test_a_moving_average_by_hand() -> None:
    """Weight 0.75 of the past: 8, then 0.75·8 + 0.25·4 = 7, then 0.75·7 + 0.25·3 = 6."""
    first = smoothed(None, 8.0, 0.75)
    second = smoothed(first, 4.0, 0.75)
    assert (first, second, smoothed(second, 3.0, 0.75)) == (8.0, 7.0, 6.0)
    assert smoothed(8.0, 4.0, 0.0) == 4.0
