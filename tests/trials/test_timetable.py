from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.trials.timetable import Timetable
from raysweep.trials.trial import trial_id, trial_number


def test_the_round_of_27_by_3() -> None:
    """R = 27, η = 3, K = 4: n_s = ⌊4/(s+1)⌋ 3^s is 27, 9, 6 and 4 for s = 3 … 0 (JMLR 18, Algorithm 1,
    with the floor); each rung keeps a third: 27, 9, 3, 1 at 1, 3, 9, 27, then 9, 3, 1 from 3 on, then
    6, 2 from 9 on, then 4 at 27."""
    table = Timetable((1, 3, 9, 27), 3)
    expected = [
        *[(0, 0, 1)] * 27, *[(0, 1, 3)] * 9, *[(0, 2, 9)] * 3, (0, 3, 27),
        *[(1, 0, 3)] * 9, *[(1, 1, 9)] * 3, (1, 2, 27),
        *[(2, 0, 9)] * 6, *[(2, 1, 27)] * 2,
        *[(3, 0, 27)] * 4,
    ]  # fmt: skip
    assert len(expected) == 65
    places = [table.place(number) for number in range(65)]
    assert [(p.bracket, p.rung, p.step) for p in places] == expected
    assert table.place(65) == (4, 0, 0, 1, 27, 27)
    assert table.populations == [27, 9, 6, 4]


def test_the_first_rungs_of_81_by_3_are_those_of_hyperband() -> None:
    """The sizes of the JMLR paper's Table 1 with the floor: 81, 27, 9, 6, 5."""
    table = Timetable((1, 3, 9, 27, 81), 3)
    firsts: dict[int, int] = {}
    number = 0
    while (place := table.place(number)).bracket < 5:
        if place.rung == 0:
            firsts[place.step] = firsts.get(place.step, 0) + 1
        number += 1
    assert firsts == {1: 81, 3: 27, 9: 9, 27: 6, 81: 5}


@given(levels=st.integers(1, 5), eta=st.integers(2, 4))
def test_turns_of_a_level_count_on_without_a_gap(levels: int, eta: int) -> None:
    table = Timetable(tuple(eta**k for k in range(levels)), eta)
    turns = [0] * levels
    for number in range(3000):
        place = table.place(number)
        assert place.turn == turns[place.level]
        turns[place.level] += 1


@pytest.mark.parametrize("number", [0, 17, 999_999, 1_234_567])
def test_an_id_gives_its_number_back(number: int) -> None:
    assert trial_number(trial_id(number)) == number


@pytest.mark.parametrize("foreign", ["", "t", "t12", "a1b2c_00001", "tabcdef", "from-elsewhere"])
def test_other_ids_have_none(foreign: str) -> None:
    assert trial_number(foreign) is None
