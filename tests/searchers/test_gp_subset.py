from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.searchers.gp_subset import (
    AT_LEVELS,
    MOST,
    Pace,
    most_within,
    thinned,
    thinned_by_level,
)


@pytest.mark.parametrize("pace", [Pace(), AT_LEVELS])
def test_fits_are_due_at_fixed_counts(pace: Pace) -> None:
    last = [pace.due(count) for count in range(1000)]
    assert last[: pace.each + 1] == list(range(pace.each + 1))
    assert all(pace.due(at) == at for at in last)
    assert max(count - at for count, at in enumerate(last)) <= 1000 // pace.part
    assert len(set(last[pace.each :])) < len(last) / 3


def test_a_time_budget_limits_what_is_seen() -> None:
    assert most_within(60_000.0) == MOST
    assert most_within(100.0) == pytest.approx(159, abs=2)


def test_half_are_the_best_and_the_others_evenly_spread() -> None:
    """Six of ten: the three best are at 9, 8 and 7; of 0 … 6 every third, 0, 3 and 6."""
    scores = np.arange(10.0, 0.0, -1.0)
    assert thinned(scores, 6).tolist() == [0, 3, 6, 7, 8, 9]


def test_few_deep_results_are_all_seen_and_the_shallow_ones_share_the_rest() -> None:
    """Twelve of 1, 3 and 9 results: a third of 12 is more than the deepest one, half of the 11 left
    more than the three in the middle, so eight of the nine shallow ones remain."""
    levels = np.repeat([0.2, 0.6, 1.0], [9, 3, 1])
    chosen = thinned_by_level(np.arange(13.0), levels, 12)
    assert np.unique(levels[chosen], return_counts=True)[1].tolist() == [8, 3, 1]


@given(
    results=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=8, max_size=80),
    most=st.integers(10, 90),
)
def test_no_more_than_allowed_none_twice_and_the_best_of_each_level(
    results: list[tuple[int, int]], most: int
) -> None:
    levels = np.array([level for level, _ in results], dtype=np.float64)
    scores = np.array([score for _, score in results], dtype=np.float64)
    chosen = thinned_by_level(scores, levels, most)
    assert len(chosen) == min(most, len(results))
    assert (np.diff(chosen) > 0).all()
    for level in np.unique(levels):
        assert scores[chosen][levels[chosen] == level].min() == scores[levels == level].min()
