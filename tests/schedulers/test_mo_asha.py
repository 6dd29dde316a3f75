from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers import pareto_rung
from raysweep.schedulers.base import Promotion
from raysweep.schedulers.mo_asha import MoAsha
from raysweep.schedulers.pareto_rung import ParetoRung
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import TWICE, RungContract

LOSS_SIZE = Goal((("loss", "min"), ("size", "min")))


class TestPromotion(RungContract):
    """With both metrics equal, it has to decide as `asha` does."""

    name = "mo_asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9}
    goal = TWICE


class TestPromotionFromALaterRung(RungContract):
    name = "mo_asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 11, "grace_period": 2, "reduction_factor": 2}
    goal = TWICE


class TestStopping(RungContract):
    name = "mo_asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "form": "stopping"}
    goal = TWICE


def show(rule: MoAsha, trial: str, loss: float, size: float, step: int = 1) -> Decision:
    return rule.on_report(Report(trial, 1, step, {"loss": loss, "size": size}, loss))


def why(score: float, rank: int, peers: int, rule: str = "mo_asha") -> Reason:
    return Reason(rule, 1, score, None, rank, peers)


def test_promotion_by_hand() -> None:
    """η = 2, rungs at 1 and 2; (loss, size) at rung 1, distances with each range as 1.

    a (1, 9)  ⌊1/2⌋ = 0 go on.
    b (9, 1)  Neither dominates; the net begins with the least loss: a, b. ⌊2/2⌋ = 1: a.
    c (5, 5)  Nobody dominates. From a, at (0, 1), b is √2 away and c √½: a, b, c. ⌊3/2⌋ = 1.
    d (6, 6)  Behind c, so on the second front: a, b, c, d. ⌊4/2⌋ = 2: a has gone on, now b.
    e (2, 2)  Before c and d. On the first front a, b, e; c and d are ranked 4 and 5. ⌊5/2⌋ = 2.
    f (1, -)  Has no size: behind all others, and out. ⌊6/2⌋ = 3: e.
    """
    rule = MoAsha(Setting(LOSS_SIZE), max_t=4, reduction_factor=2)
    assert rule.grant("a", {}) == 1
    assert show(rule, "a", 1.0, 9.0) == Pause(why(1.0, 1, 1))
    assert rule.next_paused() is None
    assert show(rule, "b", 9.0, 1.0) == Pause(why(9.0, 2, 2))
    assert rule.next_paused() == Promotion("a", 2, why(1.0, 1, 2, "mo_asha promotion"))
    assert show(rule, "c", 5.0, 5.0) == Pause(why(5.0, 3, 3))
    assert rule.next_paused() is None
    assert show(rule, "d", 6.0, 6.0) == Pause(why(6.0, 4, 4))
    assert rule.next_paused() == Promotion("b", 2, why(9.0, 2, 4, "mo_asha promotion"))
    assert show(rule, "e", 2.0, 2.0) == Pause(why(2.0, 3, 5))
    assert rule.next_paused() is None
    assert show(rule, "f", 1.0, math.nan) == Stop(why(WORST, 6, 6))
    assert rule.next_paused() == Promotion("e", 2, why(2.0, 3, 6, "mo_asha promotion"))
    assert rule.next_paused() is None


def test_stopping_by_hand() -> None:
    """η = 2: max(1, ⌊n/2⌋) go on. b is second of 2; c dominates both; d, of 4, is second."""
    rule = MoAsha(Setting(LOSS_SIZE), max_t=4, reduction_factor=2, form="stopping")
    assert show(rule, "a", 4.0, 8.0) == RunTo(2, why(4.0, 1, 1))
    assert show(rule, "b", 9.0, 3.0) == Stop(why(9.0, 2, 2))
    assert show(rule, "c", 2.0, 2.0) == RunTo(2, why(2.0, 1, 3))
    assert show(rule, "d", 9.0, 1.0) == RunTo(2, why(9.0, 2, 4))
    assert isinstance(show(rule, "c", 2.0, 2.0, step=4), Finish)


def test_a_metric_to_maximise_counts_the_other_way() -> None:
    goal = Goal((("accuracy", "max"), ("size", "min")))
    rule = MoAsha(Setting(goal), max_t=4, reduction_factor=2, form="stopping")
    rule.on_report(Report("a", 1, 1, {"accuracy": 0.5, "size": 3}, -0.5))
    better = rule.on_report(Report("b", 1, 1, {"accuracy": 0.9, "size": 2}, -0.9))
    assert better == RunTo(2, Reason("mo_asha", 1, -0.9, None, 1, 2))
    worse = rule.on_report(Report("c", 1, 1, {"accuracy": 0.8, "size": 2}, -0.8))
    assert worse == Stop(Reason("mo_asha", 1, -0.8, None, 2, 3))


def test_the_highest_rung_is_served_first() -> None:
    """η = 2, rungs 1, 2, 4. After x and y, b and c are both promotable: c at the higher rung."""
    rule = MoAsha(Setting(LOSS_SIZE), max_t=8, reduction_factor=2)
    for trial, score in (("a", 1.0), ("b", 2.0), ("c", 0.5)):
        show(rule, trial, score, score)  # c is best of 3 and goes on at once
    assert isinstance(show(rule, "c", 0.5, 0.5, step=2), Pause)
    assert isinstance(show(rule, "x", 0.7, 0.7, step=2), Pause)  # ⌊2/2⌋ = 1 at rung 2: c
    show(rule, "y", 9.0, 9.0)  # ⌊4/2⌋ = 2 at rung 1: a
    named = [promotion[:2] for promotion in iter(rule.next_paused, None)]
    assert named == [("c", 4), ("a", 2)]


def naive_order(points: list[tuple[float, ...]]) -> list[int]:
    """Fronts by their definition, each as an ε-net; behind them what is not finite."""
    left = [n for n, point in enumerate(points) if WORST not in point]
    order: list[int] = []
    while left:
        first = [n for n in left if not any(dominates(points[o], points[n]) for o in left)]
        left = [n for n in left if n not in first]
        spans = [
            (min(axis), (max(axis) - min(axis)) or 1.0)
            for axis in zip(*(points[n] for n in first), strict=True)
        ]
        scaled = {
            n: [(value - low) / span for value, (low, span) in zip(points[n], spans, strict=True)]
            for n in first
        }
        net = [min(first, key=lambda n: (points[n][0], n))]
        while len(net) < len(first):
            rest = [n for n in first if n not in net]
            near = {n: min(math.dist(scaled[n], scaled[o]) for o in net) for n in rest}
            net.append(max(rest, key=lambda n: (near[n], -n)))
        order += net
    return order + [n for n in range(len(points)) if n not in order]


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


VALUES = st.sampled_from([0.0, 1.0, 2.0, 4.0, 7.0, WORST])
# ranges of 1 and 2, by which distances are exact, so that equal ones are equal however computed
COARSE = st.sampled_from([0.0, 1.0, 2.0, WORST])
DRAWN = st.integers(0, 10**6).map(lambda n: Stream(n, "value").uniform())
POINTS = st.tuples(st.integers(2, 3), st.sampled_from([COARSE, DRAWN])).flatmap(
    lambda given: st.lists(st.tuples(*[given[1]] * given[0]), min_size=1, max_size=40)
)


@settings(deadline=None, max_examples=150)
@given(points=POINTS, eta=st.integers(2, 4), least=st.integers(0, 1))
def test_a_rung_ranks_as_the_definition_does(
    points: list[tuple[float, ...]], eta: int, least: int
) -> None:
    rung = ParetoRung(1, len(points[0]), eta, least)
    for n, point in enumerate(points):
        rung.record(f"t{n}", point)
        order = naive_order(points[: n + 1])
        if WORST not in point:
            assert rung.newest().rank == order.index(n) + 1
    keep = max(least, len(points) // eta)
    waiting = {f"t{n}" for n in range(len(points))}
    named = []
    while found := rung.best_of(waiting):
        named.append(found[0])
        waiting.remove(found[0])
    assert named == [f"t{n}" for n in order[:keep] if WORST not in points[n]]


@settings(deadline=None, max_examples=100)
@given(points=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=60))
def test_however_many_come_few_are_compared_and_the_front_stays(
    points: list[tuple[float, float]],
) -> None:
    """Of different points with five values an axis, at most 5 are on one front, and W is 8."""
    points = list(dict.fromkeys(points))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto_rung, "WINDOW", 8)
        rung = ParetoRung(1, 2, 3)
        for n, point in enumerate(points):
            rung.record(f"t{n}", point)
            assert len(rung.state()) <= 8 + 5
        known = {trial for trial, *_ in rung.state()}
        finite = [point for point in points if WORST not in point]
        for n, point in enumerate(points):
            if n >= len(points) - 8:
                assert f"t{n}" in known
            elif WORST not in point and not any(dominates(other, point) for other in finite):
                assert f"t{n}" in known, "nothing dominates it"


def test_a_front_without_end_is_thinned_out_evenly() -> None:
    """Nobody dominates anybody: an ε-net of the old ones stays, its ends included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto_rung, "WINDOW", 9)
        rung = ParetoRung(1, 2, 3)
        for n in range(200):
            rung.record(f"t{n}", (float(n), float(-n)))
            assert len(rung.state()) <= 27
        kept = [scores[0] for _, *scores in rung.state()]
    assert kept[0] == 0.0
    assert kept[-9:] == [float(n) for n in range(191, 200)]
    assert max(later - earlier for earlier, later in pairwise(kept)) < 200 / 3


@settings(deadline=None, max_examples=60)
@given(points=st.lists(st.tuples(VALUES, VALUES), max_size=40), form=st.booleans())
def test_what_lacks_one_metric_never_passes_a_rung(
    points: list[tuple[float, float]], form: bool
) -> None:
    rule = MoAsha(Setting(LOSS_SIZE), 27, 1, 2, "promotion" if form else "stopping")
    lacking = set()
    for n, (loss, size) in enumerate(points):
        trial, metrics = f"t{n}", {"loss": loss} if n % 5 == 4 else {"loss": loss, "size": size}
        if "size" not in metrics or WORST in (loss, size):
            lacking.add(trial)
        decision = rule.on_report(Report(trial, 1, 1, metrics, loss))
        assert isinstance(decision, Stop) or trial not in lacking
        for promotion in iter(rule.next_paused, None):
            assert promotion.trial not in lacking


def test_a_waiting_trial_that_ended_is_passed_over_and_a_reload_knows_it() -> None:
    rule = MoAsha(Setting(LOSS_SIZE), max_t=4, reduction_factor=2)
    show(rule, "a", 1.0, 1.0)
    rule.on_end("a", Outcome(Status.FAILED, 1, 1.0))
    show(rule, "b", 2.0, 2.0)
    again = MoAsha(Setting(LOSS_SIZE), max_t=4, reduction_factor=2)
    again.load(json.loads(json.dumps(rule.state())))
    for each in (rule, again):
        assert each.next_paused() is None
        show(each, "c", 3.0, 3.0)
        assert each.next_paused() is None, "⌊3/2⌋ = 1, which was a"
        show(each, "d", 4.0, 4.0)
        assert each.next_paused() == Promotion("b", 2, why(2.0, 2, 4, "mo_asha promotion"))
