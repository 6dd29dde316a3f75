from __future__ import annotations

import random  # noqa: TID251 - what is lent
from typing import Any

import numpy as np
import pytest

from raysweep.trials.global_chance import lent
from raysweep.trials.streams import Stream


def draws() -> tuple[float, float]:
    return random.random(), float(np.random.uniform())  # noqa: NPY002, TID251 - what is lent


def states() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[call-overload]  # noqa: NPY002, TID251


def test_both_generators_draw_what_the_stream_says() -> None:
    seen = []
    for noise in (1, 2):
        random.seed(noise)
        np.random.seed(noise)  # noqa: NPY002, TID251 - the driver's own
        with lent(Stream(3, "a")):
            seen.append(draws())
    with lent(Stream(3, "b")):
        other = draws()
    assert seen[0] == seen[1]
    assert seen[0][0] != other[0]
    assert seen[0][1] != other[1]


def test_afterwards_they_go_on_as_if_nothing_had_been_drawn() -> None:
    before = states()
    with lent(Stream(3, "a")):
        draws()
    assert states() == before


def test_they_are_given_back_by_code_that_raises() -> None:
    before = states()

    @lent(Stream(3, "a"))
    def fails() -> float:
        return draws()[0] / 0

    with pytest.raises(ZeroDivisionError):
        fails()
    assert states() == before
