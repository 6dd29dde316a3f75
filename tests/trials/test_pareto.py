from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raysweep.trials.pareto import contributions, crowding, front, fronts, hypervolume

POINTS = arrays(
    np.float64,
    st.tuples(st.integers(1, 9), st.integers(2, 3)),
    elements=st.integers(0, 6).map(float),
)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a <= b).all() and (a < b).any())


@given(POINTS)
def test_fronts_are_what_the_definition_says(points: np.ndarray) -> None:
    ranks = fronts(points)
    for i, point in enumerate(points):
        above = [ranks[j] for j, other in enumerate(points) if dominates(other, point)]
        assert ranks[i] == (max(above) + 1 if above else 0)
    assert front(points).tolist() == (ranks == 0).tolist()


@given(POINTS)
def test_the_hypervolume_is_the_number_of_unit_cells_covered(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], 6.0)
    cells = np.indices((6,) * points.shape[1]).reshape(points.shape[1], -1).T
    covered = (points[:, None, :] <= cells[None, :, :]).all(-1).any(0).sum()
    assert hypervolume(points, reference) == pytest.approx(covered)


def test_hypervolume_by_hand() -> None:
    points = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [3.0, 3.0]])
    assert hypervolume(points, np.array([4.0, 4.0])) == 3 + 2 + 1
    assert contributions(points, np.array([4.0, 4.0])).tolist() == [1.0, 1.0, 1.0, 0.0]
    assert hypervolume(points, np.array([1.0, 1.0])) == 0.0


def test_crowding_by_hand() -> None:
    """Neighbours' distance by objective, of the spread: (3 − 0)/4 + (4 − 1)/4 and so on."""
    points = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
    assert crowding(points).tolist() == [np.inf, 1.5, 1.25, np.inf]
