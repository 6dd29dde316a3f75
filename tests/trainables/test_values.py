from __future__ import annotations

import json
import math
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.trainables.values import MAX_BYTES, clean
from raysweep.trials.errors import ReportError
from raysweep.trials.names import nested

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text("aé\x00'", max_size=5)
names = st.text("abc", min_size=1, max_size=3)
values = scalars | st.lists(scalars | st.lists(scalars, max_size=2), max_size=3)
groups = st.dictionaries(names, values, max_size=3)
reports = st.dictionaries(names, values | groups, max_size=4)


@given(reports)
def test_what_is_recorded_survives_json(report: dict[str, Any]) -> None:
    row = clean(report)
    assert not any(isinstance(value, dict) for value in row.values())
    assert repr(json.loads(json.dumps(row))) == repr(row)


@given(st.dictionaries(names, st.floats() | st.integers(-(2**62), 2**62)))
def test_a_plain_report_is_taken_as_it_is(report: dict[str, float]) -> None:
    assert clean(report) is report


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.25), 0.25),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(2.5), 2.5),
        (np.array([1, 2]), [1, 2]),
        ([np.float32(0.5), 1], [0.5, 1]),
        ((1, 2), [1, 2]),
        (2**70, 2**70),
        (-0.0, -0.0),
        (1e308, 1e308),
        (None, None),
        (np.str_("a"), "a"),
    ],
)
def test_values_become_plain(value: Any, plain: Any) -> None:
    (got,) = clean({"x": value}).values()
    assert (got, type(got)) == (plain, type(plain))


def test_tensors_become_plain() -> None:
    torch = pytest.importorskip("torch")
    row = clean({"loss": torch.tensor(0.5, requires_grad=True), "n": torch.tensor([1, 2])})
    assert row == {"loss": 0.5, "n": [1, 2]}


def test_nan_and_infinity_are_values() -> None:
    row = clean({"a": np.float32("nan"), "b": math.inf})
    assert math.isnan(row["a"])
    assert row["b"] == math.inf


def test_groups_are_flattened() -> None:
    assert clean({"a": {"b": {"c": 1.0}}, "d": 2}) == {"a/b/c": 1.0, "d": 2}


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (0.5, "of type float; report for example"),
        (["loss"], "must be a dict of metrics"),
        ({1: 0.5}, "has a name of type int"),
        ({"x": 1j}, "metric 'x' is of type complex"),
        ({"x": np.complex128(1j)}, "metric 'x' is of type numpy.complex128"),
        ({"x": b"abc"}, "metric 'x' is of type bytes"),
        ({"x": threading.Lock()}, "metric 'x' is of type _thread.lock"),
        ({"g": {"x": object()}}, "metric 'g/x' is of type object"),
        ({"x": [object()]}, "metric 'x' is a list that JSON cannot carry"),
        ({"x": "\ud800"}, "text that UTF-8 cannot carry"),
        ({"x": "y" * 10_000_000}, "largest of its 1 metrics is 'x' of type str"),
        ({"x": list(range(50_000))}, "more than the 65,536 that are recorded"),
        ({"x": np.zeros((1000, 1000))}, "of type numpy.ndarray; report a summary"),
        ({f"m{i}": 0.5 for i in range(50_000)}, "of its 50000 metrics"),
        ({"n" * MAX_BYTES: 0.5}, "more than the 65,536"),
    ],
)
def test_what_cannot_be_recorded_is_named(report: Any, message: str) -> None:
    with pytest.raises(ReportError, match=message):
        clean(report)


def test_a_report_that_contains_itself_is_refused() -> None:
    group: dict[str, Any] = {}
    group["g"] = group
    with pytest.raises(ReportError, match="nested more than 16 groups deep"):
        clean(group)
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ReportError, match="JSON cannot carry"):
        clean({"x": loop})


def test_nested_is_the_inverse_of_flat_names() -> None:
    assert nested({"lr": 0.1, "net/width": 64, "net/act/name": "relu"}) == {
        "lr": 0.1,
        "net": {"width": 64, "act": {"name": "relu"}},
    }


def test_an_integer_that_json_cannot_carry_is_refused() -> None:
    assert clean({"n": 2**1000}) == {"n": 2**1000}
    with pytest.raises(ReportError, match=r"'n' is an integer of 16,610 bits; up to 1,024"):
        clean({"n": 10**5000})
