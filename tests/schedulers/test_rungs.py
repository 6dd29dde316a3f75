from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.schedulers.rungs import Rung, Standing, plan, reached_steps, reason, rung_steps
from raysweep.trials.decisions import Reason
from raysweep.trials.goal import WORST


@pytest.mark.parametrize(
    ("grace_period", "max_t", "reduction_factor", "steps"),
    [
        (1, 9, 3, [1, 3]),  # arXiv:1810.05934, figure 1: r = 1, R = 9, η = 3
        (1, 27, 3, [1, 3, 9]),  # 1, 1·3, 1·9; 1·27 is R itself
        (1, 1000, 10, [1, 10, 100]),
        (1, 243, 3, [1, 3, 9, 27, 81]),
        (1, 256, 4, [1, 4, 16, 64]),
        (2, 10, 2, [2, 4, 8]),
        (5, 6, 4, [5]),
        (5, 5, 4, []),
        (1, 1, 3, []),
    ],
)
def test_golden_rungs(
    grace_period: int, max_t: int, reduction_factor: int, steps: list[int]
) -> None:
    assert rung_steps(grace_period, max_t, reduction_factor) == steps


@pytest.mark.parametrize(("max_t", "reduction_factor"), [(1000, 10), (243, 3)])
def test_a_rung_that_the_logarithm_loses(max_t: int, reduction_factor: int) -> None:
    """log(1000)/log(10) is 2.9999999999999996: counted so, max_t itself is no rung any more."""
    by_logarithm = int(math.log(max_t) / math.log(reduction_factor)) + 1
    assert len([*rung_steps(1, max_t, reduction_factor), max_t]) == by_logarithm + 1


@given(st.integers(1, 50), st.integers(1, 10**7), st.integers(2, 12))
def test_rungs_are_all_powers_below_the_end(grace: int, max_t: int, eta: int) -> None:
    steps = rung_steps(grace, max_t, eta)
    assert steps == [grace * eta**k for k in range(len(steps))]
    assert all(step < max_t for step in steps)
    assert grace * eta ** len(steps) >= max_t


def test_a_standing_by_hand() -> None:
    """Scores 5 3 9 1 7 in this order; η = 2: ⌊5/2⌋ = 2 go on, those with 1 and 3."""
    rung = Rung(4)
    keys = [rung.record(score) for score in (5.0, 3.0, 9.0, 1.0, 7.0)]
    assert rung.standing(keys[0], 2) == Standing(rank=3, peers=5, keep=2, cutoff=3.0)
    assert rung.standing(keys[3], 2) == Standing(rank=1, peers=5, keep=2, cutoff=3.0)
    assert [rung.survives(key, 2) for key in keys] == [False, True, False, True, False]
    assert reason("asha", rung, 5.0, rung.standing(keys[0], 2)) == Reason("asha", 4, 5.0, 3.0, 3, 5)


def test_nobody_goes_on_before_there_are_enough_unless_one_is_asked_for() -> None:
    rung = Rung(1)
    key = rung.record(0.5)
    assert rung.standing(key, 3) == Standing(1, 1, 0, None)
    assert rung.standing(key, 3, least=1) == Standing(1, 1, 1, 0.5)
    assert not rung.survives(key, 3)


def test_the_first_of_equals_stands_before_the_others() -> None:
    rung = Rung(1)
    keys = [rung.record(0.5) for _ in range(6)]
    assert [rung.standing(key, 3).rank for key in keys] == [1, 2, 3, 4, 5, 6]
    assert [rung.survives(key, 3) for key in keys] == [True, True, False, False, False, False]


def test_a_cutoff_that_is_not_finite_is_none() -> None:
    rung = Rung(1)
    keys = [rung.record(WORST) for _ in range(3)]
    assert rung.standing(keys[0], 3) == Standing(1, 3, 1, None)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, WORST]) | st.floats(-5, 5)), st.integers(2, 5))
def test_survivors_are_the_best_and_a_reloaded_rung_names_the_same(
    scores: list[float], eta: int
) -> None:
    rung, again = Rung(3), Rung(3)
    keys = [rung.record(score) for score in scores]
    again.load(json.loads(json.dumps(rung.state())))
    assert again.state() == rung.state() == scores
    best = sorted(keys)[: len(keys) // eta]
    for key in keys:
        assert rung.survives(key, eta) == (key in best) == again.survives(key, eta)
        assert rung.survives(key, eta) == (rung.standing(key, eta).rank <= len(best))
        assert rung.standing(key, eta) == again.standing(key, eta)
        assert again.standing(key, eta).rank == sorted(keys).index(key) + 1


def test_the_plan_of_the_papers_figure() -> None:
    """arXiv:1810.05934, figure 1, bracket 0: 9 configurations at 1, 3 at 3, 1 at R = 9."""
    rows = plan(rung_steps(1, 9, 3), 9, 3, 9)
    assert [(row["trials"], row["step"]) for row in rows] == [(9, 1), (3, 3), (1, 9)]


def test_the_plan_of_81_trials() -> None:
    """81 at step 1, 81/3 = 27 at 3, 27/3 = 9 at 9, 9/3 = 3 to the end at 27."""
    assert plan(rung_steps(1, 27, 3), 27, 3, 81) == [
        {"step": 1, "trials": 81},
        {"step": 3, "trials": 27},
        {"step": 9, "trials": 9},
        {"step": 27, "trials": 3},
    ]


@pytest.mark.parametrize(
    ("grace", "eta", "trials", "steps"),
    [
        (1, 3, 20, [1, 3, 9]),  # 20, 6, 2 and then 0
        (1, 3, 27, [1, 3, 9, 27]),  # 27, 9, 3, 1
        (5, 2, 4, [5, 10, 20]),  # 4, 2, 1
        (4, 2, 1, [4]),
    ],
)
def test_the_rungs_that_so_many_trials_reach(
    grace: int, eta: int, trials: int, steps: list[int]
) -> None:
    assert reached_steps(grace, eta, trials) == steps
