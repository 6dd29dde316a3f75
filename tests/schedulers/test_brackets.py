from __future__ import annotations

import json
from collections import Counter
from typing import Any, ClassVar

import pytest

from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.brackets import (
    Brackets,
    hyperband_shares,
    of_asha,
    of_hyperband,
    tune_shares,
)
from raysweep.schedulers.hyperband import brackets as papers_brackets
from raysweep.trials.decisions import Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.scheduler import Play, SchedulerContract


class TestAshaInBrackets(SchedulerContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "brackets": 3}


class TestStoppingAshaInBrackets(SchedulerContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 16, "grace_period": 2, "reduction_factor": 2, "brackets": 2, "form": "stopping",
    }  # fmt: skip


class TestAsynchronousHyperBand(SchedulerContract):
    name = "hyperband"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "form": "asynchronous"}


class TestAsynchronousHyperBandOfHalves(SchedulerContract):
    name = "hyperband"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 11, "grace_period": 2, "reduction_factor": 2, "form": "asynchronous",
    }  # fmt: skip


def make() -> Brackets:
    return of_asha(PromotionAsha, 27, 1, 3, 3)


def starts(brackets: Brackets, trials: int = 6000) -> dict[int, float]:
    """By first rung, the share of the trials that start there."""
    counts = Counter(brackets.grant(trial_id(number), {}) for number in range(trials))
    return {first: count / trials for first, count in counts.items()}


def test_shares_of_tune_are_powers_of_e() -> None:
    """Ladders of 3, 2 and 1 rungs get e³ : e² : e¹, that is 0.665, 0.245 and 0.090."""
    shares = tune_shares([4, 3, 2], 3)
    assert [share / sum(shares) for share in shares] == pytest.approx(
        [0.665, 0.245, 0.090], abs=1e-3
    )


@pytest.mark.parametrize(("max_t", "eta"), [(81, 3), (9, 3), (16, 2), (1000, 10), (243, 3)])
def test_shares_of_hyperband_are_the_sizes_of_its_brackets(max_t: int, eta: int) -> None:
    """Table 1 of JMLR 18 (2018) for R = 81: 81, 27, 9, 6 and 5 trials."""
    sizes = papers_brackets(max_t, 1, eta)
    depths = [len(size.steps) for size in sizes]
    assert hyperband_shares(depths, eta) == [size.trials for size in sizes]


def test_trials_are_spread_as_hyperband_spreads_them() -> None:
    """R = 81, η = 3: 81, 27, 9, 6, 5 of 128 start at 1, 3, 9, 27 and 81.

    6000 keyed draws: the sd of the first share is √(0.63·0.37/6000) = 0.0062; five sd are 0.03.
    """
    expected = {1: 81 / 128, 3: 27 / 128, 9: 9 / 128, 27: 6 / 128, 81: 5 / 128}
    assert starts(of_hyperband(81, 1, 3)) == pytest.approx(expected, abs=0.03)
    assert starts(of_asha(StoppingAsha, 81, 1, 3, 5)) == pytest.approx(expected, abs=0.03)


def test_the_first_two_of_five_brackets_share_in_proportion() -> None:
    """Depths 5 and 4 of R = 81: 81 and ⌊5/4⌋·27 = 27, three to one."""
    spread = starts(of_asha(PromotionAsha, 81, 1, 3, 2))
    assert spread == pytest.approx({1: 0.75, 3: 0.25}, abs=0.03)


def test_brackets_of_endless_ladders_get_shares_by_powers_of_eta() -> None:
    """Rungs without end: ⌊K/k⌋ is 1, so 4 : 2 : 1 for η = 2."""
    spread = starts(of_asha(PromotionAsha, None, 1, 2, 3))
    assert spread == pytest.approx({1: 4 / 7, 2: 2 / 7, 4: 1 / 7}, abs=0.03)


def test_rungs_of_asynchronous_hyperband_are_the_papers() -> None:
    """R = 100, η = 3: R // 3^k are 1, 3, 11, 33; counted upwards they would be 1, 3, 9, 27, 81."""
    assert starts(of_hyperband(100, 1, 3)).keys() == {1, 3, 11, 33, 100}
    state = of_hyperband(100, 1, 3).state()
    assert [len(ladder["rungs"]) for ladder in state["ladders"]] == [4, 3, 2, 1, 0]


def test_reasons_name_the_bracket() -> None:
    brackets = of_asha(StoppingAsha, 9, 1, 3, 2)
    rules = {}
    for number in range(40):
        first = brackets.grant(trial_id(number), {})
        decision = brackets.on_report(Report(trial_id(number), 1, first, {}, 1.0))
        assert isinstance(decision, RunTo | Stop)
        rules[first] = decision.reason.rule
    assert rules == {1: "asha bracket 0", 3: "asha bracket 1"}


def test_a_trial_keeps_its_bracket_over_a_resume() -> None:
    """It is no matter of memory: a fresh scheduler finds the same."""
    granted = [of_hyperband(27, 1, 3).grant(trial_id(number), {}) for number in range(50)]
    brackets = of_hyperband(27, 1, 3)
    assert [brackets.grant(trial_id(number), {}) for number in reversed(range(50))] == granted[::-1]


def test_a_paused_trial_of_any_bracket_is_promoted_once_it_may_be() -> None:
    """Three trials at the first rung of the second bracket: the best of them goes on to 9."""
    brackets = of_asha(PromotionAsha, 9, 1, 3, 2)
    late = [trial_id(n) for n in range(60) if brackets.grant(trial_id(n), {}) == 3][:3]
    for score, trial in enumerate(late):
        decision = brackets.on_report(Report(trial, 1, 3, {}, float(score)))
        assert isinstance(decision, Pause)
    promoted = brackets.next_paused()
    assert promoted
    assert promoted[:2] == (late[0], 9)
    assert promoted.reason == Reason("asha bracket 1 promotion", 3, 0.0, 0.0, 1, 3)


def test_a_first_rung_beyond_max_t_means_no_rung() -> None:
    brackets = of_asha(StoppingAsha, 4, 2, 3, 3)
    granted = {brackets.grant(trial_id(number), {}) for number in range(200)}
    assert granted == {2, 4}


def test_trials_are_compared_within_their_own_ladder_only() -> None:
    play = Play(make)
    reached = play.tournament([float(n % 9) for n in range(120)])
    assert max(reached.values()) == 27
    state = play.scheduler.state()["ladders"]
    firsts = Counter(granted for _, granted, *_ in (h for h in play.heard if h and len(h) == 2))
    assert [len(ladder["rungs"][0]) for ladder in state] == [firsts[1], firsts[3], firsts[9]]


def test_saved_and_loaded_it_decides_the_same() -> None:
    straight, reloaded = Play(make), Play(make)
    for number in range(60):
        for play in (straight, reloaded):
            trial = play.start()
            while trial in play.running:
                play.report(trial, float(number * 7 % 11))
            play.promote()
        reloaded.reload()
    assert reloaded.heard == straight.heard
    assert reloaded.scheduler.state() == json.loads(json.dumps(straight.scheduler.state()))


def test_ends_reach_the_ladder_of_the_trial() -> None:
    brackets = make()
    paused = [trial_id(n) for n in range(30) if brackets.grant(trial_id(n), {}) == 1][:3]
    for score, trial in enumerate(paused):
        brackets.on_report(Report(trial, 1, 1, {}, float(-score)))
    brackets.on_end(paused[0], Outcome(Status.FAILED, 1, 0.0))
    waiting = brackets.state()["ladders"][0]["waiting"][0]
    assert paused[0] not in {entry[2] for entry in waiting}
    assert isinstance(brackets.on_report(Report(paused[1], 1, 27, {}, 0.0)), Finish)
