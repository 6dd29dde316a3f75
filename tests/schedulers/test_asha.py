from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers import ordered
from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.base import Promotion
from raysweep.schedulers.rungs import rung_steps
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.scheduler import Play, RungContract


class TestPromotion(RungContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "reduction_factor": 3}


class TestPromotionFromALaterRung(RungContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 11, "grace_period": 2, "reduction_factor": 2}


class TestStopping(RungContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "form": "stopping"}


class TestStoppingFromALaterRung(RungContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 11,
        "grace_period": 2,
        "reduction_factor": 2,
        "form": "stopping",
    }


class TestEndlessPromotion(RungContract):
    """Without max_t: 27 trials with η = 3 have rungs 1, 3, 9, 27, of which the last has one."""

    name = "asha"
    options: ClassVar[dict[str, Any]] = {}

    def test_nobody_is_granted_more_than_max_t(self) -> None:
        reached = Play(self.make).tournament([float(n % 7) for n in range(40)])
        assert max(reached.values()) == 27, "40, 13, 4 and 1 trials; ⌊1/3⌋ = 0 go on"

    @pytest.mark.parametrize("place", [0, 13, 26])
    def test_the_best_of_all_is_never_lost(self, place: int) -> None:
        scores = [1.0 + n % 4 for n in range(27)]
        scores[place] = 0.0
        reached = Play(self.make).tournament(scores)
        assert reached[trial_id(place)] == 27 == max(reached.values())


def report(trial: str, step: int, score: float) -> Report:
    return Report(trial, 1, step, {}, score)


def test_promotion_by_hand() -> None:
    """Algorithm 2 of arXiv:1810.05934 with η = 3, R = 9: rungs at 1 and 3.

    a, b report 5 and 4 at step 1: ⌊1/3⌋ = ⌊2/3⌋ = 0 may go on. c reports 6: ⌊3/3⌋ = 1 may, which
    is b (4); c pauses. The next free slot takes b. d, e, f report 1, 2, 3: after d ⌊4/3⌋ = 1, d is
    the best and goes on hot; e is second of five; with f ⌊6/3⌋ = 2, the best two are d (gone on
    already) and e.
    """
    asha = PromotionAsha(max_t=9, reduction_factor=3)
    assert asha.grant("a", {}) == 1
    assert isinstance(asha.on_report(report("a", 1, 5.0)), Pause)
    assert isinstance(asha.on_report(report("b", 1, 4.0)), Pause)
    assert asha.next_paused() is None
    paused = asha.on_report(report("c", 1, 6.0))
    assert paused == Pause(Reason("asha", 1, 6.0, cutoff=4.0, rank=3, peers=3))
    promotion = asha.next_paused()
    assert promotion == ("b", 3, Reason("asha promotion", 1, 4.0, cutoff=4.0, rank=1, peers=3))
    assert asha.next_paused() is None, "b was named once"
    hot = asha.on_report(report("d", 1, 1.0))
    assert hot == RunTo(3, Reason("asha", 1, 1.0, cutoff=1.0, rank=1, peers=4))
    assert isinstance(asha.on_report(report("e", 1, 2.0)), Pause)
    assert asha.next_paused() is None
    assert isinstance(asha.on_report(report("f", 1, 3.0)), Pause)
    assert asha.next_paused() == (
        "e", 3, Reason("asha promotion", 1, 2.0, cutoff=2.0, rank=2, peers=6),
    )  # fmt: skip


def test_the_highest_rung_is_served_first() -> None:
    """get_job of Algorithm 2 walks the rungs downwards: a trial at 3 goes before one at 1."""
    asha = PromotionAsha(max_t=8, reduction_factor=2)  # rungs 1, 2, 4
    for n, score in enumerate([1.0, 2.0, 3.0, 4.0]):
        asha.on_report(report(trial_id(n), 1, score))
    # at rung 1: t1 (rank 2 of 2), then t2, t3 paused; t0 paused as the only one there
    assert [p.trial for p in iter(asha.next_paused, None)] == ["t000000", "t000001"]
    asha.on_report(report("t000000", 2, 1.0))
    asha.on_report(report("t000001", 2, 2.0))  # ⌊2/2⌋ = 1 at rung 2: t0
    asha.on_report(report("t000004", 1, 9.0))
    asha.on_report(report("t000005", 1, 9.0))  # ⌊6/2⌋ = 3 at rung 1: t2
    first, second = asha.next_paused(), asha.next_paused()
    assert first
    assert second
    assert (first.trial, first.step) == ("t000000", 4)
    assert (second.trial, second.step) == ("t000002", 2)


def test_stopping_by_hand() -> None:
    """η = 3: max(1, ⌊n/3⌋) of n go on: the first always, then whoever is best; with 6, the best 2."""
    asha = StoppingAsha(max_t=9, reduction_factor=3)
    assert asha.on_report(report("a", 1, 5.0)) == RunTo(3, Reason("asha", 1, 5.0, 5.0, 1, 1))
    assert asha.on_report(report("b", 1, 6.0)) == Stop(Reason("asha", 1, 6.0, 5.0, 2, 2))
    assert isinstance(asha.on_report(report("c", 1, 4.0)), RunTo)
    assert isinstance(asha.on_report(report("d", 1, 9.0)), Stop)
    assert isinstance(asha.on_report(report("e", 1, 4.5)), Stop), "second of 5, ⌊5/3⌋ = 1"
    assert isinstance(asha.on_report(report("f", 1, 4.2)), RunTo), "second of 6, ⌊6/3⌋ = 2"
    assert asha.on_report(report("a", 2, 5.0)) is CONTINUE
    assert asha.on_report(report("a", 3, 5.0)) == RunTo(9, Reason("asha", 3, 5.0, 5.0, 1, 1))
    assert asha.on_report(report("a", 9, 5.0)) == Finish(Reason("max_t", 9, 5.0))


@pytest.mark.parametrize("form", [PromotionAsha, StoppingAsha])
def test_without_rungs_a_trial_runs_straight_to_its_end(
    form: type[PromotionAsha] | type[StoppingAsha],
) -> None:
    asha = form(max_t=4, grace_period=4)
    assert asha.grant("a", {}) == 4
    assert asha.on_report(report("a", 3, 1.0)) is CONTINUE
    assert isinstance(asha.on_report(report("a", 4, WORST)), Finish)


def test_endless_stopping_by_hand() -> None:
    """Without max_t the first trial, best of one at each rung, goes on: 1, 2, 4, 8 …"""
    asha = StoppingAsha(reduction_factor=2)
    assert asha.grant("a", {}) == 1
    granted = [asha.on_report(report("a", 2**k, 5.0)) for k in range(40)]
    assert [decision.step for decision in granted if isinstance(decision, RunTo)] == [
        2**k for k in range(1, 41)
    ]
    assert isinstance(asha.on_report(report("b", 1, 6.0)), Stop)
    assert isinstance(asha.on_report(report("a", 2**40, float("inf"))), Stop)


@pytest.mark.parametrize("form", [PromotionAsha, StoppingAsha])
def test_rungs_may_be_given_and_the_rule_named(
    form: type[PromotionAsha] | type[StoppingAsha],
) -> None:
    asha = form(10, reduction_factor=2, steps=(2, 7), rule="mine")
    assert asha.grant("a", {}) == 2
    decision = asha.on_report(report("a", 2, 1.0))
    assert isinstance(decision, RunTo | Pause)
    assert decision.reason.rule == "mine"
    asha.on_report(report("b", 2, 0.5))
    above = asha.on_report(report("b", 7, 0.5))
    assert isinstance(above, RunTo | Pause)
    assert above.reason.rung == 7


class Naive:
    """Algorithm 2, and the form that stops, as plainly as they can be written: sort everything."""

    def __init__(self, max_t: int, grace: int, eta: int) -> None:
        self.steps, self.max_t, self.eta = rung_steps(grace, max_t, eta), max_t, eta
        self.rungs: list[list[tuple[float, int, str]]] = [[] for _ in self.steps]
        self.waiting: list[list[str]] = [[] for _ in self.steps]

    def stands(self, k: int, trial: str, least: int = 0) -> tuple[bool, Reason]:
        """Whether `trial` is among the best at rung `k`, and the reason that says so."""
        ranked = sorted(self.rungs[k])
        keep = max(least, len(ranked) // self.eta)
        rank = [name for _, _, name in ranked].index(trial) + 1
        cutoff = ranked[keep - 1][0] if keep and ranked[keep - 1][0] != WORST else None
        score = ranked[rank - 1][0]
        return rank <= keep, Reason("asha", self.steps[k], score, cutoff, rank, len(ranked))

    def on_report(self, trial: str, step: int, score: float, *, stopping: bool) -> Decision:
        if step == self.max_t:
            return Finish(Reason("max_t", step, score))
        if step not in self.steps:
            return CONTINUE
        k = self.steps.index(step)
        self.rungs[k].append((score, len(self.rungs[k]), trial))
        among, why = self.stands(k, trial, least=int(stopping))
        if score != WORST and among:
            return RunTo([*self.steps, self.max_t][k + 1], why)
        if stopping or score == WORST:
            return Stop(why)
        self.waiting[k].append(trial)
        return Pause(why)

    def next_paused(self) -> Promotion | None:
        for k in reversed(range(len(self.steps))):
            for _, _, trial in sorted(self.rungs[k]):
                among, why = self.stands(k, trial)
                if trial in self.waiting[k] and among:
                    self.waiting[k].remove(trial)
                    why = why._replace(rule="asha promotion")
                    return Promotion(trial, [*self.steps, self.max_t][k + 1], why)
        return None

    def on_end(self, trial: str) -> None:
        for waiting in self.waiting:
            if trial in waiting:
                waiting.remove(trial)

    def state(self, *, stopping: bool) -> dict[str, Any]:
        rungs = [[score for score, _, _ in rung] for rung in self.rungs]
        if stopping:
            return {"rungs": rungs}
        waiting = [
            [list(entry) for entry in sorted(rung) if entry[2] in names]
            for rung, names in zip(self.rungs, self.waiting, strict=True)
        ]
        return {"rungs": rungs, "waiting": waiting}


def duel(max_t: int, grace: int, eta: int, stream: Stream, *, stopping: bool, values: int) -> int:
    """Play ours against the naive one on eight slots until 120 trials have started.

    Returns how many reports both were asked about; `values` few makes many ties. One in twenty
    reports is followed by the end of a paused trial.
    """
    ours = (StoppingAsha if stopping else PromotionAsha)(max_t, grace, eta)
    naive = Naive(max_t, grace, eta)
    running: dict[str, int] = {}
    paused: dict[str, int] = {}
    asked = started = 0
    while started < 120:
        while len(running) < 8:
            named = ours.next_paused()
            assert named == naive.next_paused()
            if named:
                running[named.trial] = paused.pop(named.trial)
            else:
                running[trial_id(started)] = 0
                started += 1
        trial = stream.choice(sorted(running))
        running[trial] += 1
        score = WORST if stream.uniform() < 0.05 else float(stream.integer(0, values))
        decision = ours.on_report(report(trial, running[trial], score))
        expected = naive.on_report(trial, running[trial], score, stopping=stopping)
        assert (type(decision), decision) == (type(expected), expected)
        asked += 1
        if isinstance(decision, Pause):
            paused[trial] = running[trial]
        if isinstance(decision, Pause | Stop | Finish):
            del running[trial]
        if paused and stream.uniform() < 0.05:
            lost = stream.choice(sorted(paused))
            ours.on_end(lost, Outcome(Status.FAILED, paused.pop(lost), WORST))
            naive.on_end(lost)
    assert json.dumps(ours.state()) == json.dumps(naive.state(stopping=stopping))
    return asked


@pytest.mark.parametrize("stopping", [False, True])
@settings(deadline=None, max_examples=25)
@given(
    ladder=st.sampled_from([(9, 1, 3), (27, 1, 3), (16, 1, 2), (11, 2, 2), (10, 3, 4)]),
    seed=st.integers(0, 10**6),
    values=st.sampled_from([1, 2, 10, 10**6]),
    most=st.sampled_from([2, 8, 2048]),
)
def test_it_decides_as_the_naive_algorithm_does(
    ladder: tuple[int, int, int], seed: int, values: int, most: int, stopping: bool
) -> None:
    """Each decision with its whole reason, and the state at the end, byte for byte."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_MOST", most)
        asked = duel(*ladder, Stream(seed, "duel"), stopping=stopping, values=values)
    assert asked >= 120 - 8  # each asked at least once, but for those that still run
