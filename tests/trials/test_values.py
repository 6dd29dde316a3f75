"""Values of foreign types become what JSON has."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any

import numpy as np
import pytest

from raysweep.trials.errors import SpaceError
from raysweep.trials.values import key, plain


class Colour(str, Enum):  # noqa: UP042 - as much code in use has it
    RED = "red"


class Size(IntEnum):
    BIG = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.str_("tanh"), "tanh"),
        (Colour.RED, "red"),
        (Size.BIG, 3),
        (np.int64(3), 3),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        ((1, [np.str_("a")]), [1, ["a"]]),
    ],
)
def test_values_of_foreign_types_are_plain_and_the_same(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)
    assert key(value) == key(expected)


def test_one_is_one_point_zero_but_not_true() -> None:
    assert key(1) == key(1.0) != key(True)


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(SpaceError, match="is no plain value"):
        plain(object())
