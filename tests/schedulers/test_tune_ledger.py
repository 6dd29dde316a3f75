from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.fifo import Fifo
from raysweep.schedulers.hyperband import HyperBand
from raysweep.schedulers.median import MedianStopping
from raysweep.schedulers.tune_ledger import Answer, Ledger, Stands
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream

CONTINUE, PAUSE, STOP = Answer.CONTINUE, Answer.PAUSE, Answer.STOP


def scores_of(ledger: Ledger) -> list[list[float]]:
    return ledger.scheduler.state()["rungs"]


def test_a_rung_that_is_jumped_over_counts_with_the_value_that_passed_it() -> None:
    """Rungs 1, 3, 9: times 0.4, 2.5 and 11 reach none, the first, and the two others at once."""
    ledger = Ledger(StoppingAsha(27, 1, 3))
    assert ledger.hear("a", 0.4, 5.0) == CONTINUE
    assert scores_of(ledger) == [[], [], []]
    assert ledger.hear("a", 2.5, 4.0) == CONTINUE
    assert scores_of(ledger) == [[4.0], [], []]
    assert ledger.hear("a", 11.0, 3.0) == CONTINUE
    assert scores_of(ledger) == [[4.0], [3.0], [3.0]]
    assert ledger.hear("a", 1000.0, 3.0) == STOP


def test_the_first_rung_that_is_lost_ends_a_jump() -> None:
    ledger = Ledger(StoppingAsha(27, 1, 3))
    ledger.hear("a", 1, 1.0)
    assert ledger.hear("b", 20.0, 9.0) == STOP
    assert scores_of(ledger) == [[1.0, 9.0], [], []]


@pytest.mark.parametrize("again", [1, 2, 3])
def test_steps_that_come_again_are_answered_and_not_counted(again: int) -> None:
    ledger = Ledger(PromotionAsha(9, 1, 3))
    assert [ledger.hear("a", t, 5.0) for t in (1,)] == [PAUSE]
    assert ledger.hear("a", again, 0.0) == PAUSE, "it waits at 1, whatever it says now"
    assert scores_of(ledger) == [[5.0], []]
    for other in "bc":
        ledger.hear(other, 1, 6.0)
    assert ledger.promote() == "a"
    assert ledger.hear("a", 1, 99.0) == CONTINUE, "from scratch: step 1 has been decided"
    assert ledger.hear("a", 3, 4.0) == PAUSE
    assert scores_of(ledger) == [[5.0, 6.0, 6.0], [4.0]]


def test_a_stopped_trial_that_repeats_its_steps_is_stopped_where_it_was() -> None:
    ledger = Ledger(StoppingAsha(27, 2, 3))
    ledger.hear("a", 2, 1.0)
    assert ledger.hear("b", 2, 9.0) == STOP
    assert [ledger.hear("b", t, 0.0) for t in (1, 2, 3)] == [CONTINUE, STOP, STOP]
    assert scores_of(ledger)[0] == [1.0, 9.0]


def test_past_max_t_a_trial_may_run_on_if_that_is_wanted() -> None:
    ledger = Ledger(Fifo(3), stop_last_trials=False)
    assert [ledger.hear("a", t, 0.0) for t in range(1, 9)] == [CONTINUE] * 8
    assert ledger.stands("a") is Stands.FREE
    assert ledger.active == 1
    ledger.end("a")
    assert ledger.active == 0


def test_every_report_between_comparisons_counts_in_the_median_rules_averages() -> None:
    ledger = Ledger(MedianStopping(grace_period=3, min_trials=1))
    for time, score in ((1, 3.0), (2, 6.0), (3, 9.0)):
        ledger.hear("a", time, score)
    assert ledger.scheduler.state()["means"] == {"3": [6.0]}


def test_a_failed_trial_that_comes_back_goes_on_where_it_was() -> None:
    ledger = Ledger(StoppingAsha(9, 1, 3))
    ledger.hear("a", 1, 1.0)
    ledger.end("a", Stands.FAILED)
    ledger.enter("a")
    assert [ledger.hear("a", t, 1.0) for t in (1, 2, 3)] == [CONTINUE] * 3
    assert scores_of(ledger) == [[1.0], [1.0]]


def test_a_failed_trial_whose_bracket_went_on_without_it_joins_another() -> None:
    ledger = Ledger(HyperBand(3))
    for trial in "abc":
        ledger.enter(trial)
    ledger.end("a", Stands.FAILED)
    assert ledger.hear("b", 1, 1.0) == PAUSE
    assert ledger.hear("c", 1, 2.0) == PAUSE
    assert ledger.promote() == "b"
    ledger.enter("a")
    assert ledger.hear("a", 1, 0.0) == CONTINUE, "in the bracket that compares nobody"
    assert ledger.hear("a", 3, 0.0) == STOP


def test_an_id_that_is_given_to_another_config_is_a_new_trial() -> None:
    ledger = Ledger(PromotionAsha(9, 1, 3))
    ledger.enter("a", "one")
    ledger.hear("a", 1, 1.0)
    ledger.enter("a", "one")
    assert ledger.stands("a") is Stands.WAITS
    ledger.enter("a", "two")
    assert ledger.stands("a") is Stands.RUNS
    assert ledger.told("a") == 0


def test_those_that_are_gone_hold_nobody_up() -> None:
    ledger = Ledger(HyperBand(3))
    for trial in "abc":
        ledger.enter(trial)
    ledger.hear("a", 1, 1.0)
    ledger.hear("b", 1, 2.0)
    ledger.end_all_but({"a", "b"})
    assert ledger.stands("c") is Stands.FAILED
    assert ledger.promote() == "a"


@pytest.mark.parametrize(
    "make",
    [
        lambda: PromotionAsha(9, 1, 3),
        lambda: StoppingAsha(9, 1, 3),
        lambda: HyperBand(9),
        lambda: MedianStopping(9, 1, 1, 2),
    ],
    ids=["promotion", "stopping", "hyperband", "median"],
)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_saved_and_loaded_after_every_call_it_answers_the_same(make: Any, seed: int) -> None:
    stream = Stream(seed, "ledger")
    straight, reloaded = Ledger(make()), Ledger(make())
    for _ in range(60):
        trial, time = f"t{stream.integer(0, 12)}", stream.uniform(0.0, 12.0)
        score = WORST if stream.uniform() < 0.1 else stream.uniform()
        act = stream.integer(0, 8)
        answers = []
        for ledger in (straight, reloaded):
            if act == 0:
                answers.append(ledger.promote(more=stream is None))
            elif act == 1:
                answers.append(ledger.end(trial, Stands.FAILED))
            else:
                answers.append(ledger.hear(trial, time, score))
        assert answers[0] == answers[1]
        text = json.dumps(reloaded.state())
        reloaded = Ledger(make())
        reloaded.load(json.loads(text))
        assert reloaded.active == straight.active
        assert reloaded.waiting() == straight.waiting()
