"""Random search spaces, as people write them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Law = dict[str, Any]


@st.composite
def _span(draw: st.DrawFn) -> list[float]:
    low = draw(st.floats(-10.0, 10.0).map(lambda v: round(v, 3)))
    return [low, low + draw(st.floats(0.001, 5.0).map(lambda v: round(v, 3)))]


def _logs(exponents: tuple[int, int]) -> list[float]:
    low, width = exponents
    return [10.0**low, 10.0 ** (low + width)]


LAWS: st.SearchStrategy[Law] = st.one_of(
    _span().map(lambda span: {"uniform": span}),
    st.tuples(st.integers(-6, 1), st.integers(1, 4)).map(lambda e: {"loguniform": _logs(e)}),
    st.tuples(st.integers(-5, 5), st.integers(1, 6)).map(lambda t: {"randint": [t[0], t[0] + t[1]]}),
    st.tuples(st.integers(1, 3), st.integers(2, 4)).map(
        lambda t: {"lograndint": [t[0], t[0] * t[1]]}
    ),
    st.integers(2, 5).map(lambda n: {"quniform": [0.0, 0.5 * n, 0.5]}),
    st.integers(2, 5).map(lambda n: {"choice": [f"w{i}" for i in range(n)]}),
    st.integers(2, 5).map(lambda n: {"ordinal": [2**i for i in range(n)]}),
    st.just({"choice": [True, False]}),
)  # fmt: skip


@st.composite
def spaces(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """Two numbers with, perhaps, a constraint; one to four further parameters, some conditional."""
    written: dict[str, Any] = {"x": {"uniform": [0.0, 1.0]}, "n": {"randint": [1, 8]}}
    written["kind"] = {"choice": ["a", "b", "c"]}
    for index, law in enumerate(draw(st.lists(LAWS, min_size=1, max_size=4))):
        when = draw(st.sampled_from([None, "a", ["a", "c"]]))
        written[f"p{index}"] = law if when is None else {**law, "when": {"kind": when}}
    constraints = draw(st.sampled_from([[], ["x * n <= 5"], ["n % 2 == 0", "x + n >= 1"]]))
    return written, constraints
