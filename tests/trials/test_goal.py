from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.trials.goal import WORST, Goal, Mode

LOSS = Goal((("loss", "min"),))
ACCURACY = Goal((("accuracy", "max"), ("latency_ms", "min")))


def test_the_first_metric_ranks() -> None:
    assert (ACCURACY.metric, ACCURACY.mode) == ("accuracy", "max")
    assert ACCURACY.score({"latency_ms": 3.0, "accuracy": 0.5}) == -0.5


def test_a_vector_has_the_score_of_every_metric_in_its_own_direction() -> None:
    assert ACCURACY.vector({"latency_ms": 3, "accuracy": 0.5, "other": 9}) == (-0.5, 3.0)
    assert ACCURACY.vector({"accuracy": 0.5}) == (-0.5, WORST)
    assert ACCURACY.vector({"accuracy": math.nan, "latency_ms": -math.inf}) == (WORST, WORST)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, None, "0.5", [0.5], {}, np.nan, np.float64("inf"), 10**400]
)  # fmt: skip
@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_no_finite_number_ranks_last(value: Any, mode: Mode) -> None:
    goal = Goal((("loss", mode),))
    assert goal.score({"loss": value}) == WORST
    assert goal.score({"loss": -1e308 if mode == "max" else 1e308}) < WORST


@pytest.mark.parametrize("metrics", [{}, {"Loss": 1.0}, {"accuracy": 1.0}])
def test_a_missing_metric_ranks_last(metrics: dict[str, Any]) -> None:
    assert LOSS.score(metrics) == WORST
    assert LOSS.missing(metrics) == ("loss",)


def test_missing_is_about_names_and_not_values() -> None:
    assert ACCURACY.missing({"accuracy": math.nan}) == ("latency_ms",)
    assert ACCURACY.missing({"accuracy": None, "latency_ms": None}) == ()


def test_bools_and_integers_are_numbers() -> None:
    """A metric such as `solved` may be true or false; true is 1."""
    assert LOSS.score({"loss": True}) == 1.0
    assert LOSS.score({"loss": False}) == 0.0
    assert LOSS.score({"loss": 3}) == 3.0
    assert type(LOSS.score({"loss": 3})) is float


def test_the_value_behind_worst_is_not_a_number() -> None:
    assert math.isnan(LOSS.value(WORST))
    assert math.isnan(ACCURACY.value(WORST))


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["min", "max"]))
def test_a_value_comes_back_from_its_score(value: float, mode: Mode) -> None:
    goal = Goal((("m", mode),))
    assert goal.value(goal.score({"m": value})) == value


@given(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2))
def test_lower_scores_are_better_values(pair: tuple[float, float]) -> None:
    worse, better = sorted(pair)
    accuracy = Goal((("m", "max"),))
    assert accuracy.score({"m": better}) <= accuracy.score({"m": worse})
    loss = Goal((("m", "min"),))
    assert loss.score({"m": worse}) <= loss.score({"m": better})
