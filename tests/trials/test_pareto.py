from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raysweep.trials.pareto import (
    by_front,
    contributions,
    crowding,
    epsilon_net,
    front,
    fronts,
    hypervolume,
)

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


@settings(max_examples=40)
@given(POINTS)
def test_crowding_of_many_fronts_is_that_of_each_by_itself(points: np.ndarray) -> None:
    ranks = fronts(points)
    apart = crowding(points, ranks)
    for rank in range(int(ranks.max()) + 1):
        assert apart[ranks == rank].tolist() == crowding(points[ranks == rank]).tolist()


def test_an_epsilon_net_by_hand() -> None:
    """First the least first objective, row 2 at (0, 1) when each range counts as 1.

    Squared distances from it: 2, 0.125, 0.5, 2 with the equal rows 0 and 4 at (1, 0): 0 goes next.
    From these two: row 3 at (.5, .5) is 0.5 away, row 1 at (.25, .75) 0.125, and row 4 is 0.
    """
    points = np.array([[8.0, 10.0], [2.0, 40.0], [0.0, 50.0], [4.0, 30.0], [8.0, 10.0]])
    assert epsilon_net(points).tolist() == [2, 0, 3, 1, 4]
    assert epsilon_net(points * [1e-6, 1e9]).tolist() == [2, 0, 3, 1, 4], "no unit matters"
    assert epsilon_net(np.full((4, 3), 7.0)).tolist() == [0, 1, 2, 3], "the first of equals first"
    assert epsilon_net(np.empty((0, 2))).tolist() == []


@settings(max_examples=40)
@given(POINTS)
def test_what_an_epsilon_net_leaves_out_is_near_to_what_it_has(points: np.ndarray) -> None:
    """Each next one is no farther from those before it than the one before was from its own."""
    order = epsilon_net(points)
    assert sorted(order) == list(range(len(points)))
    scaled = (points - points.min(0)) / np.maximum(np.ptp(points, axis=0), 1e-300)
    gaps = [
        min(float(((scaled[row] - scaled[seen]) ** 2).sum()) for seen in order[:place])
        for place, row in enumerate(order)
        if place
    ]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(gaps))


@settings(max_examples=40)
@given(POINTS, st.integers(1, 12))
def test_old_points_are_sorted_only_if_nothing_dominates_them(
    points: np.ndarray, newest: int
) -> None:
    rows = by_front(points, newest)
    ranks = fronts(points)
    old = np.arange(len(points)) < len(points) - newest
    assert sorted(rows) == np.flatnonzero(~old | (ranks == 0)).tolist()
    kept = np.sort(rows)
    among = fronts(points[kept])
    place = list(zip(among, -crowding(points[kept], among), strict=True))
    assert [place[kept.tolist().index(row)] for row in rows] == sorted(place)


def test_what_is_missing_can_still_be_on_a_front() -> None:
    points = np.array([[0.0, np.inf], [1.0, 1.0], [2.0, 2.0], [np.inf, np.inf]])
    assert fronts(points).tolist() == [0, 0, 1, 2]
    assert front(points).tolist() == [True, True, False, False]


@pytest.mark.parametrize("m", [2, 3])
def test_no_points_have_no_fronts(m: int) -> None:
    assert fronts(np.empty((0, m))).tolist() == by_front(np.empty((0, m)), 5).tolist() == []
