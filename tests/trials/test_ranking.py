from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from raysweep.trials.ranking import precision, weights


def test_inverted_pairs_by_hand() -> None:
    """Of six pairs of (a, b, c, d), fully ranked so, (b, a, d, c) inverts two: p = 4/6."""
    assert precision(np.array([2.0, 1.0, 4.0, 3.0]), np.arange(4.0)) == pytest.approx(4 / 6)


def test_ties_at_the_level_are_half_right_and_ties_at_the_top_are_no_pairs() -> None:
    """Pairs (a, c) and (b, c) count, a and b being equal at the top: one right, one tied."""
    assert precision(np.array([1.0, 2.0, 2.0]), np.array([0.0, 0.0, 5.0])) == pytest.approx(0.75)
    assert precision(np.array([1.0, 2.0]), np.array([3.0, 3.0])) == 0.5


@given(st.permutations(range(9)))
def test_it_is_kendalls_tau_on_another_scale(order: list[int]) -> None:
    """p = (1 + τ)/2 where nothing is tied."""
    level, full = np.array(order, dtype=np.float64), np.arange(9.0)
    assert precision(level, full) == pytest.approx((1 + kendalltau(level, full)[0]) / 2)


def test_weights_are_cubes() -> None:
    """0.5³ : 0.75³ : 1 is 8 : 27 : 64, of 99."""
    assert weights([0.5, 0.75, 1.0]) == pytest.approx([8 / 99, 27 / 99, 64 / 99])
