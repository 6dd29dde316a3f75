from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raysweep.trials.domains import Choice, Domain, Fixed, Float, Int, grid
from raysweep.trials.errors import SpaceError
from raysweep.trials.streams import Stream
from raysweep.trials.values import key

UNIT = st.floats(0, 1)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    low = draw(st.floats(1e-9, 1e6) if log else st.floats(-1e6, 1e6))
    high = draw(st.floats(1e-9, 1e7))
    assume(high > low and high - low > 1e-9 * abs(low))
    step = None
    if draw(st.booleans()):
        step = (high - low) / draw(st.integers(1, 1000))
        assume(0 < step <= high - low)
    return Float(low, high, log=log, step=step)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -(2**40), 2**30))
    high = draw(st.integers(low + 1, low + 2**39))
    return Int(low, high, log=log, step=draw(st.integers(1, min(high - low, 1000))))


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    scalar = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3)
    options = draw(st.lists(scalar | st.lists(scalar, max_size=2), min_size=1, max_size=6))
    unique = {key(option): option for option in options}
    return Choice(list(unique.values()), ordered=draw(st.booleans()))


FINITE = ints() | choices() | floats().filter(lambda domain: domain.size is not None)
ANY: st.SearchStrategy[Any] = ints() | choices() | floats()


@given(ANY, UNIT)
def test_whatever_the_cube_holds_decodes_into_the_domain(domain: Domain, u: float) -> None:
    value = domain.decode(u)
    assert domain.contains(value)
    assert 0 <= domain.encode(value) <= 1


@given(FINITE, UNIT)
def test_a_finite_domain_survives_the_cube_exactly(domain: Domain, u: float) -> None:
    value = domain.decode(u)
    assert key(domain.decode(domain.encode(value))) == key(value)


@given(floats().filter(lambda domain: domain.size is None), UNIT)
def test_a_continuous_domain_survives_the_cube_up_to_rounding(domain: Float, u: float) -> None:
    value = domain.decode(u)
    scale = abs(value) if domain.log else max(abs(domain.low), abs(domain.high))
    assert math.isclose(domain.decode(domain.encode(value)), value, rel_tol=0, abs_tol=1e-9 * scale)


@given(ANY, st.integers(0, 2**32))
def test_samples_are_of_the_domain(domain: Domain, seed: int) -> None:
    assert domain.contains(domain.sample(Stream(seed)))


@given(ANY, st.tuples(UNIT, UNIT))
def test_numbers_keep_their_order_in_the_cube(domain: Domain, us: tuple[float, float]) -> None:
    assume(not isinstance(domain, Choice))
    low, high = (domain.decode(u) for u in sorted(us))
    assert low <= high


def test_rounding_never_leaves_the_range() -> None:
    """2**-24 has more decimals than round() can keep."""
    domain = Float(2**-24, 1.0, step=0.25)
    assert all(domain.contains(value) for value in grid(domain))


@given(FINITE)
def test_the_grid_of_a_finite_domain_is_all_of_it(domain: Domain) -> None:
    assume(domain.size is not None and domain.size <= 1000)
    values = list(grid(domain))
    assert len(values) == domain.size == len({str(key(value)) for value in values})
    assert all(domain.contains(value) for value in values)


@pytest.mark.parametrize(
    "domain",
    [Int(1, 4), Float(0, 3, step=1), Choice(list("abcd"))],
)
def test_each_of_n_values_owns_one_nth_of_the_interval(domain: Domain) -> None:
    shares = [domain.decode((i + 0.5) / 400) for i in range(400)]
    assert [shares.count(value) for value in grid(domain)] == [100] * 4
    drawn = [domain.sample(Stream(0, i)) for i in range(2000)]
    for value in grid(domain):
        assert abs(drawn.count(value) - 500) < 4 * math.sqrt(2000 * 0.25 * 0.75)


def test_a_log_int_gives_each_octave_the_same_share() -> None:
    """As Optuna's and Ray's log integers: uniform in the logarithm from low - 1/2 to high + 1/2."""
    drawn = [Int(1, 1023, log=True).sample(Stream(1, i)) for i in range(5000)]
    for octave in range(1, 9):
        share = sum(2**octave <= value < 2 ** (octave + 1) for value in drawn) / 5000
        expected = math.log(2) / math.log(1023.5 / 0.5)
        assert abs(share - expected) < 0.02


def test_both_bounds_of_an_int_are_drawn() -> None:
    assert {Int(3, 5).sample(Stream(0, i)) for i in range(100)} == {3, 4, 5}


def test_steps_are_written_as_short_as_they_were_given() -> None:
    assert list(grid(Float(0, 0.5, step=0.1))) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert list(grid(Float(0.05, 0.3, step=0.1))) == [0.05, 0.15, 0.25]
    assert list(grid(Float(1e-20, 3e-20, step=1e-20))) == [1e-20, 2e-20, 3e-20]
    assert list(grid(Int(1, 10, step=4))) == [1, 5, 9]


def test_the_ends_of_a_log_range_are_exact() -> None:
    domain = Float(1e-4, 1e-1, log=True)
    assert (domain.decode(0.0), domain.decode(1.0)) == (1e-4, 1e-1)
    assert domain.decode(0.5) == pytest.approx(10**-2.5)
    assert domain.encode(1e-3) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("domain", "good", "bad"),
    [
        (Float(0, 1), [0, 1, 0.5, np.float64(0.3)], [True, -0.1, 1.1, math.nan, "0.5", None, [0.5]]),
        (Float(0, 1, step=0.25), [0.25, 1], [0.3]),
        (Int(1, 9, step=2), [1, 3, 9], [2, 3.0, True, 0, 11, "3", None]),
        (Choice([1, "a", None, [1, 2]]), [1, 1.0, "a", None, [1, 2], (1, 2)], [True, 2, "b", [2, 1], {}, object()]),
        (Choice([True]), [True], [1, 1.0, "True"]),
        (Fixed({"a": 1}), [{"a": 1}], [{"a": 2}, "a"]),
    ],
)  # fmt: skip
def test_contains(domain: Domain, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not domain.contains(value)] == []
    assert [value for value in bad if domain.contains(value)] == []


@pytest.mark.parametrize(
    ("options", "column"),
    [
        (["a", "b"], "string"),
        ([True, False], "bool"),
        ([1, 2], "int64"),
        ([0, 0.5], "float64"),
        ([1, "a"], "json"),
        ([None, 1], "json"),
        ([[1], [2]], "json"),
        ([True, 1.5], "json"),
    ],
)
def test_the_column_of_a_choice(options: list[Any], column: str) -> None:
    assert Choice(options).column == column


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1, 0), r"\[1.0, 0.0\] is inverted; write the lower bound first"),
        (lambda: Float(1, 1), "holds one value only; write the value itself"),
        (lambda: Float(0, 1, log=True), r"log range must begin above 0, got \[0.0, 1.0\]"),
        (lambda: Float(-1, 1, log=True), "log range must begin above 0"),
        (lambda: Int(0, 9, log=True), "log range must begin above 0"),
        (lambda: Float(0, 1, step=0), "step must be above 0"),
        (lambda: Float(0, 1, step=2), "at most the range's width 1.0, got 2.0"),
        (lambda: Float(0, math.inf), "high must be finite, got inf"),
        (lambda: Float(math.nan, 1), "low must be finite, got nan"),
        (lambda: Float(-1e308, 1e308), "too wide"),
        (lambda: Float(0, 1, step=1e-300), "too wide"),
        (lambda: Float(0, 10**400), "high must be finite"),
        (lambda: Float("0", 1), "low must be a number, got '0'"),
        (lambda: Float(False, 1), "low must be a number, got False"),
        (lambda: Int(0.5, 3), "low must be a whole number, got 0.5"),
        (lambda: Int(0, 2**63), "high must fit into 64 bits"),
        (lambda: Int(5, 2), "is inverted"),
        (lambda: Choice([]), "no options; list at least one"),
        (lambda: Choice("abc"), r"options must be a list, got 'abc'; write choice: \[a, b, c\]"),
        (lambda: Choice([1, 1.0]), "lists 1.0 twice"),
        (lambda: Choice([print]), "is no plain value"),
        (lambda: Choice(["\ud800"]), "no valid text"),
        (lambda: Choice([math.nan]), "value must be finite, got nan"),
        (lambda: grid(Float(0, 1)), "continuous and has no finite grid"),
    ],
)  # fmt: skip
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make()


def test_a_whole_float_is_a_fine_bound_of_an_int() -> None:
    """YAML 1.2 reads 1e3 as a float."""
    assert Int(1e0, 1e3).high == 1000  # type: ignore[arg-type]  # what YAML hands us


def test_grid_thins_ranges_but_never_choices() -> None:
    assert list(grid(Float(0, 1), 3)) == [0, 0.5, 1]
    assert list(grid(Float(0, 1), 1)) == [0.5]
    assert list(grid(Int(1, 100), 2)) == [1, 100]
    assert list(grid(Int(1, 3), 5)) == [1, 2, 3]
    assert list(grid(Choice([1, 2, 3]), 2)) == [1, 2, 3]
    assert grid(Int(0, 10**15))[10**14] == 10**14
    assert list(grid(Int(0, 9))[2:4]) == [2, 3]
    with pytest.raises(IndexError):
        grid(Int(0, 9))[10]
