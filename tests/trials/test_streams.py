from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

import raysweep
from raysweep.trials.streams import Stream

KEYS = st.lists(st.text(max_size=8) | st.integers(-(10**9), 10**9), max_size=3)


def test_golden_first_numbers() -> None:
    """Pinned: a sweep that is resumed by a later version must draw the same configs."""
    stream = Stream(0, "t000017", "ask")
    assert [stream.uniform() for _ in range(3)] == [
        0.1791551325983205, 0.9905104514993868, 0.9327082498201613,
    ]  # fmt: skip
    stream = Stream(7, "a", 1)
    assert [stream.integer(0, 1000) for _ in range(10)] == [
        679, 324, 903, 996, 271, 565, 984, 604, 220, 295,
    ]  # fmt: skip
    stream = Stream(0)
    assert [stream.normal() for _ in range(2)] == pytest.approx(
        [-0.09402410970728559, -0.26435534277636585], rel=1e-12
    )
    assert Stream(1, "g").generator().integers(0, 100, 4).tolist() == [44, 3, 91, 78]


@given(st.integers(0, 2**63), KEYS)
def test_the_same_key_gives_the_same_numbers(seed: int, key: list[str | int]) -> None:
    one, two = Stream(seed, *key), Stream(seed, *key)
    assert [one.uniform() for _ in range(20)] == [two.uniform() for _ in range(20)]


def test_another_process_draws_the_same_numbers() -> None:
    code = "from raysweep.trials.streams import Stream; print(Stream(3, 't1').uniform().hex())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(raysweep.__file__).parents[1],
        env={"PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == Stream(3, "t1").uniform().hex()


def test_what_other_streams_drew_does_not_matter() -> None:
    expected = Stream(0, "t1").uniform()
    other = Stream(0, "t0")
    for _ in range(100):
        other.uniform()
    assert Stream(0, "t1").uniform() == expected


@pytest.mark.parametrize("other", [Stream(1, "t1"), Stream(0, "t2"), Stream(0, "t1", "x")])
def test_another_seed_or_key_gives_other_numbers(other: Stream) -> None:
    """Two independent streams agree in one of 1,000 draws of 53 bits with odds of 1e-13."""
    stream = Stream(0, "t1")
    assert all(stream.uniform() != other.uniform() for _ in range(1000))


def test_neighbouring_streams_are_uncorrelated() -> None:
    """First draws of 4,000 trials against those of the next trial, and of another purpose.

    A correlation of n independent pairs has standard deviation 1/√n; six of these are passed by
    chance once in 5e8.
    """
    n = 4000
    ask = np.array([Stream(0, f"t{i:06d}", "ask").uniform() for i in range(n + 1)])
    train = np.array([Stream(0, f"t{i:06d}", "train").uniform() for i in range(n)])
    for one, two in ((ask[:-1], ask[1:]), (ask[:-1], train)):
        assert abs(np.corrcoef(one, two)[0, 1]) < 6 / math.sqrt(n)


def test_uniform_is_uniform_across_and_within_streams() -> None:
    """Kolmogorov-Smirnov; fails by chance once in 1e9 each (and never: the draws are fixed)."""
    across = [Stream(5, i).uniform() for i in range(4000)]
    stream = Stream(5, "within")
    within = [stream.uniform() for _ in range(4000)]
    assert kstest(across, "uniform").pvalue > 1e-9
    assert kstest(within, "uniform").pvalue > 1e-9


def test_normal_and_lognormal_have_their_distribution() -> None:
    """Kolmogorov-Smirnov at 1e-9, as above."""
    stream = Stream(5, "normal")
    assert kstest([stream.normal(2.0, 3.0) for _ in range(4000)], "norm", (2.0, 3.0)).pvalue > 1e-9
    logs = [math.log(stream.lognormal(0.5, 0.8) / 0.5) for _ in range(4000)]
    assert kstest(logs, "norm", (0.0, 0.8)).pvalue > 1e-9


@pytest.mark.parametrize("size", [2, 3, 7, 100])
def test_integers_are_unbiased(size: int) -> None:
    """Chi-square over `size` cells of 200 expected each; fails by chance once in 1e9."""
    draws, stream = 200 * size, Stream(0, "integers", size)
    counts = np.bincount([stream.integer(5, 5 + size) - 5 for _ in range(draws)], minlength=size)
    assert len(counts) == size
    assert ((counts - 200) ** 2 / 200).sum() < chi2.isf(1e-9, size - 1)


def test_choice_is_as_fair_as_integer() -> None:
    one, two = Stream(0, "c"), Stream(0, "c")
    options = ["a", "b", "c"]
    assert [one.choice(options) for _ in range(50)] == [
        options[two.integer(0, 3)] for _ in range(50)
    ]


@given(st.integers(0, 10**6), st.integers(-(2**62), 2**62), st.integers(1, 2**62))
def test_integers_stay_in_range(seed: int, low: int, size: int) -> None:
    stream = Stream(seed)
    assert all(low <= stream.integer(low, low + size) < low + size for _ in range(5))


@given(st.integers(0, 10**6), st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_floats_stay_in_range(seed: int, low: float, width: float) -> None:
    stream = Stream(seed)
    assert all(low <= stream.uniform(low, low + width) <= low + width for _ in range(5))
    assert all(0 <= stream.uniform() < 1 for _ in range(5))


def test_generators_of_one_stream_follow_one_another() -> None:
    stream = Stream(0, "g")
    first, second = stream.generator(), stream.generator()
    assert first.integers(0, 2**60, 8).tolist() != second.integers(0, 2**60, 8).tolist()
