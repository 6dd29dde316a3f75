from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.schedulers import ordered
from raysweep.schedulers.ordered import Ordered
from raysweep.trials.streams import Stream

VALUES = st.lists(
    st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("-inf")]) | st.floats(-5, 5), max_size=80
)


def agrees(numbers: Ordered, came: list[float]) -> None:
    """All that can be asked, against a list that is sorted afresh."""
    keys = sorted((value, order) for order, value in enumerate(came))
    assert len(numbers) == len(keys)
    assert list(numbers) == [value for value, _ in keys]
    assert numbers.arrivals() == came
    for place, key in enumerate(keys):
        assert numbers.key(place) == key
        assert numbers[place] == key[0]
        assert numbers.place(*key) == place
        assert numbers.place(key[0]) == [value for value, _ in keys].index(key[0])


@given(before=VALUES, after=VALUES, most=st.sampled_from([2, 3, 8, 2048]))
def test_places_are_those_of_a_sorted_list(
    before: list[float], after: list[float], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_MOST", most)
        numbers = Ordered(before)
        agrees(numbers, before)
        came = list(before)
        for value in after:
            came.append(value)
            assert numbers.add(value) == sorted((v, n) for n, v in enumerate(came)).index(
                (value, len(came) - 1)
            )
        agrees(numbers, came)


@pytest.mark.parametrize(
    "values",
    [
        [float(n) for n in range(7_000)],
        [float(-n) for n in range(7_000)],
        [0.5] * 7_000,
        [Stream(0, n).uniform() for n in range(7_000)],
    ],
    ids=["ascending", "descending", "equal", "random"],
)
def test_so_many_that_blocks_are_split(values: list[float]) -> None:
    numbers = Ordered()
    for value in values:
        numbers.add(value)
    keys = sorted((value, order) for order, value in enumerate(values))
    assert list(numbers) == [value for value, _ in keys]
    for place in range(0, len(keys), 97):
        assert numbers.key(place) == keys[place]
        assert numbers.place(*keys[place]) == place


def test_where_a_number_that_is_not_there_would_stand() -> None:
    numbers = Ordered([3.0, 1.0, 2.0, 2.0])
    assert [numbers.place(value) for value in (0.0, 1.5, 2.0, 2.5, 9.0)] == [0, 1, 1, 3, 4]
