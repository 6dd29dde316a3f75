"""Golden cases after Bohdal et al., "PASHA", ICLR 2023, section 4."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers.soft_ranking import MOST, Curve, SoftRanking
from raysweep.trials.trial import trial_id


def enter(ranking: SoftRanking, *curves: tuple[float, ...]) -> list[bool]:
    """Trials with scores at steps 1, 2, …, the last of which is the rung; 1 is the rung below."""
    return [
        ranking.enter(trial_id(n), dict(enumerate(curve, 1)), len(curve), 1)
        for n, curve in enumerate(curves)
    ]


def test_the_same_order_agrees_and_another_does_not() -> None:
    assert enter(SoftRanking(), (1.0, 0.1), (2.0, 0.2), (3.0, 0.3)) == [True, True, True]
    assert enter(SoftRanking(), (1.0, 0.1), (2.0, 0.2), (1.5, 0.3)) == [True, True, False]


def test_epsilon_by_hand() -> None:
    """a: 1 3 1, b: 2 2 2.5 cross twice and are 1.5 apart in the end; c crosses nobody.

    With d: 2 1 2, a and d cross twice as well (1 < 2, 3 > 1, 1 < 2), 1 apart; b and d do not. The
    90th percentile of 1 and 1.5 is 1.45.
    """
    ranking = SoftRanking()
    enter(ranking, (1.0, 3.0, 1.0), (2.0, 2.0, 2.5), (9.0, 9.0, 9.0))
    assert ranking.epsilon == 1.5
    ranking.enter("d", {1: 2.0, 2: 1.0, 3: 2.0}, 3, 1)
    assert ranking.epsilon == pytest.approx(1.45)


def test_one_crossing_is_a_change_of_rank_and_no_noise() -> None:
    ranking = SoftRanking()
    assert enter(ranking, (1.0, 1.5, 3.0), (2.0, 2.0, 2.0)) == [True, False]
    assert ranking.epsilon == 0.0


def test_trials_within_epsilon_may_change_places() -> None:
    """a and b cross twice and end 2 apart, so ε is 2.

    c and d, 1 apart below, have changed places: below, a b c d; here a b d c. Where c was there
    is d, whose 8 is within 2 of c's 7. e and f, 3 apart below, may not.
    """
    noisy = (1.0, 5.0, 1.0), (3.0, 3.0, 3.0)
    assert enter(SoftRanking(), *noisy, (7.0, 7.0, 9.0), (8.0, 8.0, 8.0)) == [True] * 4
    assert enter(SoftRanking(), *noisy, (7.0, 7.0, 9.0), (10.0, 10.0, 8.0)) == [*[True] * 3, False]


def test_equal_scores_change_no_place() -> None:
    assert all(enter(SoftRanking(), *[(1.0, 1.0)] * 5))
    assert all(enter(SoftRanking(), (1.0, 3.0), (1.0, 2.0), (1.0, 1.0)))


def test_epsilon_stays_at_the_next_rung_until_it_is_measured_there() -> None:
    ranking = SoftRanking()
    enter(ranking, (1.0, 3.0, 1.0), (2.0, 2.0, 2.5))
    ranking.clear()
    assert ranking.epsilon == 1.5
    assert ranking.enter("x", {3: 1.0, 9: 1.0}, 9, 3)
    assert ranking.enter("y", {3: 2.4, 9: 0.9}, 9, 3), "1.4 apart is still within 1.5"
    assert ranking.epsilon == 1.5


def test_steps_that_one_of_two_lacks_are_passed_over() -> None:
    ranking = SoftRanking()
    ranking.enter("a", {1: 1.0, 2: 3.0, 3: 3.0, 4: 1.0}, 4, 1)
    ranking.enter("b", {1: 2.0, 3: 2.0, 4: 2.5}, 4, 1)
    assert ranking.epsilon == 1.5


def test_only_the_best_are_compared() -> None:
    """Once MOST are there, worse ones change nothing, and a better one takes the last one's place."""
    ranking = SoftRanking()
    assert all(enter(ranking, *[(float(n), float(n)) for n in range(MOST)]))
    full = ranking.state()
    assert ranking.enter("worse", {1: 0.0, 2: 1000.0}, 2, 1), "it would be first below"
    assert ranking.state()["members"] == full["members"]
    assert ranking.enter("better", {1: -1.0, 2: -1.0}, 2, 1)
    members = [trial for trial, *_ in ranking.state()["members"]]
    assert members == ["better", *(trial_id(n) for n in range(MOST - 1))]


def test_the_noise_of_who_is_no_longer_compared_is_forgotten() -> None:
    ranking = SoftRanking()
    enter(ranking, *[(float(n), float(n), float(n)) for n in range(MOST - 2)])
    ranking.enter("a", {1: 101.0, 2: 103.0, 3: 101.0}, 3, 1)
    ranking.enter("b", {1: 102.0, 2: 102.0, 3: 104.0}, 3, 1)
    assert ranking.epsilon == 3.0
    ranking.enter("c", {1: -2.0, 2: -1.0, 3: -2.0}, 3, 1)  # b is no longer among the best
    ranking.enter("d", {1: -1.5, 2: -1.5, 3: -1.5}, 3, 1)  # nor is a; c and d are 0.5 apart
    assert ranking.epsilon == 0.5


def crossed(one: Curve, other: Curve, step: int) -> bool:
    """The definition: f_j(c) > f_j(c'), f_k(c) < f_k(c'), f_l(c) > f_l(c') for some j > k > l."""
    sign = np.sign(one[step] - other[step])
    earlier = [np.sign(one[s] - other[s]) for s in sorted(one) if s < step]
    return bool(sign) and any(
        later == -sign and first == sign for first, later in combinations(earlier, 2)
    )


CURVES = st.integers(3, 7).flatmap(
    lambda steps: st.lists(
        st.lists(st.integers(0, 6).map(float), min_size=steps, max_size=steps),
        min_size=1,
        max_size=12,
    )
)


@settings(deadline=None)
@given(rows=CURVES)
def test_it_agrees_and_measures_as_the_definitions_do(rows: list[list[float]]) -> None:
    ranking, again = SoftRanking(), SoftRanking()
    shown: list[Curve] = []
    epsilon, step = 0.0, len(rows[0])
    for number, row in enumerate(rows):
        shown.append(dict(enumerate(row, 1)))
        agrees = ranking.enter(trial_id(number), shown[-1], step, 2)
        noise = [abs(a[step] - b[step]) for a, b in combinations(shown, 2) if crossed(a, b, step)]
        epsilon = float(np.percentile(noise, 90)) if noise else epsilon
        assert ranking.epsilon == pytest.approx(epsilon, abs=1e-12)
        here = [curve[2] for curve in sorted(shown, key=lambda curve: curve[step])]
        gaps = [abs(a - b) for a, b in zip(here, sorted(here), strict=True)]
        if not any(gap == pytest.approx(epsilon, abs=1e-9) for gap in gaps if gap):
            assert agrees == all(gap <= epsilon for gap in gaps)
        again.load(json.loads(json.dumps(ranking.state())))
        assert again.state() == ranking.state()
        ranking, again = again, SoftRanking()
