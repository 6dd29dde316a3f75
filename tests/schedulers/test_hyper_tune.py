from __future__ import annotations

import json
from collections import Counter
from typing import Any, ClassVar

import pytest

from raysweep.schedulers.hyper_tune import ENOUGH, HyperTune
from raysweep.trials.decisions import Finish, Pause, RunTo
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.scheduler import Play, SchedulerContract


class TestHyperTune(SchedulerContract):
    name = "hyper_tune"
    options: ClassVar[dict[str, Any]] = {"max_t": 9}


class TestHyperTuneOfHalves(SchedulerContract):
    name = "hyper_tune"
    options: ClassVar[dict[str, Any]] = {"max_t": 11, "grace_period": 2, "reduction_factor": 2}


def make() -> HyperTune:
    return HyperTune(0, 9, 1, 3)


def grow(scheduler: HyperTune, number: int, curve: dict[int, float]) -> Any:
    """Report a curve, by step, of a trial that was granted before; the last decision."""
    decision = None
    for step, score in curve.items():
        decision = scheduler.on_report(Report(trial_id(number), 1, step, {}, score))
    return decision


def begins(scheduler: HyperTune, first: int, numbers: range) -> list[int]:
    """The trials that begin at level `first`."""
    return [n for n in numbers if scheduler.grant(trial_id(n), {}) == first]


def full_trainings(scheduler: HyperTune, curves: list[dict[int, float]]) -> None:
    """That many trials that are granted max_t at once, and report these scores on their way."""
    straight = (n for n in range(10_000) if scheduler.grant(trial_id(n), {}) == 9)
    for curve in curves:
        number = next(straight)
        assert isinstance(grow(scheduler, number, curve), Finish)
        scheduler.on_end(trial_id(number), Outcome(Status.COMPLETED, 9, 0.0))


def test_before_enough_full_trainings_brackets_get_hyperbands_shares() -> None:
    """R = 9, η = 3: n_s is 9, 3, 3 for depths 3, 2, 1 (JMLR 18 (2018), ⌊3/(s+1)⌋ 3^s)."""
    scheduler = make()
    assert scheduler.chances() == pytest.approx([9 / 15, 3 / 15, 3 / 15])
    full_trainings(scheduler, [{1: 0.0, 3: 0.0, 9: float(n)} for n in range(ENOUGH - 1)])
    assert scheduler.chances() == pytest.approx([9 / 15, 3 / 15, 3 / 15])


def test_chances_are_precision_cubed_by_cost() -> None:
    """Ten full trainings, of scores 0 … 9 at step 9.

    Step 3 ranks all 45 pairs alike but the first and the last, which it swaps: nine places apart,
    17 pairs are inverted (0 and 9 themselves, and each with the eight between), so p = 28/45. Step 1
    says nothing, all scores equal: p = 1/2. θ ∝ (0.125, 0.24090, 1), w ∝ (0.125, 0.08030, 0.11111).
    """
    scheduler = make()
    middle = [9.0, *map(float, range(1, 9)), 0.0]
    full_trainings(scheduler, [{1: 5.0, 3: middle[n], 9: float(n)} for n in range(10)])
    raw = [0.5**3, (28 / 45) ** 3 / 3, 1 / 9]
    assert raw == pytest.approx([0.125, 0.08030, 0.11111], abs=1e-5)
    assert scheduler.chances() == pytest.approx([w / sum(raw) for w in raw])


def test_a_first_rung_that_ranks_well_gets_most_trials_and_one_that_misleads_few() -> None:
    """p = (1, 1, 1) gives 1 : 1/3 : 1/9; p_1 = 0 gives none to the first.

    4000 keyed draws: the sd of a share of 9/13 is √(0.69·0.31/4000) = 0.0073; five are 0.037.
    """
    good, bad = make(), make()
    full_trainings(good, [{1: float(n), 3: float(n), 9: float(n)} for n in range(12)])
    full_trainings(bad, [{1: float(-n), 3: float(n), 9: float(n)} for n in range(12)])
    assert good.chances() == pytest.approx([9 / 13, 3 / 13, 1 / 13])
    assert bad.chances() == pytest.approx([0, 3 / 4, 1 / 4])
    drawn = Counter(good.grant(trial_id(n), {}) for n in range(20_000, 24_000))
    shares = {step: count / 4000 for step, count in drawn.items()}
    assert shares == pytest.approx({1: 9 / 13, 3: 3 / 13, 9: 1 / 13}, abs=0.037)


def test_promotion_waits_until_fewer_than_a_share_have_gone_on() -> None:
    """At step 1 each trial is better than all before it. Of three, the third may go on; the fourth
    would in ASHA, which forgets that one has gone, and here waits until there are six."""
    scheduler = make()
    first = begins(scheduler, 1, range(60))[:7]
    decisions = [grow(scheduler, n, {1: -float(n)}) for n in first]
    kinds = [type(decision) for decision in decisions]
    assert kinds == [Pause, Pause, RunTo, Pause, Pause, RunTo, Pause]
    assert scheduler.next_paused() is None


def test_a_paused_one_goes_on_later() -> None:
    """The best comes first; when two worse ones have come, it is promoted, and nobody after it."""
    scheduler = make()
    first = begins(scheduler, 1, range(60))[:3]
    for n in first:
        assert isinstance(grow(scheduler, n, {1: float(n)}), Pause)
    promoted = scheduler.next_paused()
    assert promoted is not None
    assert promoted[:2] == (trial_id(first[0]), 3)
    assert scheduler.next_paused() is None


def test_trials_of_all_brackets_meet_at_a_rung() -> None:
    """Three that begin at step 3 and one that comes there from step 1: four peers."""
    scheduler = make()
    early, late = begins(scheduler, 1, range(60))[:3], begins(scheduler, 3, range(60, 200))[:3]
    for n in late:
        grow(scheduler, n, {1: 0.0, 2: 0.0, 3: float(n)})
    for n in early:
        decision = grow(scheduler, n, {1: -float(n)})
    assert isinstance(decision, RunTo)
    decision = grow(scheduler, early[-1], {2: 0.0, 3: 0.0})
    assert isinstance(decision, RunTo | Pause)
    assert (decision.reason.rank, decision.reason.peers) == (1, 4)


def test_the_first_decision_names_the_model_that_drew_the_bracket() -> None:
    scheduler = make()
    before = begins(scheduler, 1, range(20))[0]
    full_trainings(scheduler, [{1: float(n), 3: float(n), 9: float(n)} for n in range(12)])
    after = begins(scheduler, 1, range(20_000, 20_020))[0]
    assert grow(scheduler, before, {1: 1.0}).reason.model == "brackets v0: 0.60 0.20 0.20"
    assert grow(scheduler, after, {1: 0.0}).reason.model == "brackets v12: 0.69 0.23 0.08"


def test_who_failed_on_the_way_or_skipped_a_level_teaches_nothing() -> None:
    scheduler = make()
    full_trainings(scheduler, [{3: float(n), 9: float(n)} for n in range(12)])
    assert scheduler.chances() == pytest.approx([9 / 15, 3 / 15, 3 / 15])
    assert scheduler.state()["curves"] == {t: [] for t in scheduler.state()["begun"]}


def test_saved_and_loaded_it_draws_and_decides_the_same() -> None:
    straight, reloaded = Play(make), Play(make)
    for number in range(400):
        for play in (straight, reloaded):
            trial = play.start()
            while trial in play.running:
                play.report(trial, float(number * 7 % 11) / (1 + play.running[trial][0]))
            play.promote()
        if number % 10 == 0:
            reloaded.reload()
    assert reloaded.heard == straight.heard
    assert straight.scheduler.state() == json.loads(json.dumps(reloaded.scheduler.state()))
    assert straight.scheduler.state()["seen"] > ENOUGH
