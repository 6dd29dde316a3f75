from __future__ import annotations

import json
from collections import Counter

import pytest

from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.brackets import Brackets
from raysweep.trials.decisions import Finish
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.scheduler import Play


def make() -> Brackets:
    return Brackets(PromotionAsha, 27, 1, 3, 3)


def test_first_rungs_and_how_many_trials_start_at_each() -> None:
    """Ladders of 3, 2 and 1 rungs get shares in proportion to e³ : e² : e¹."""
    brackets = make()
    starts = Counter(brackets.grant(trial_id(number)) for number in range(3000))
    assert starts.keys() == {1, 3, 9}
    for first, share in ((1, 0.665), (3, 0.245), (9, 0.090)):
        assert starts[first] / 3000 == pytest.approx(share, abs=0.03)


def test_a_first_rung_beyond_max_t_means_no_rung() -> None:
    brackets = Brackets(StoppingAsha, 4, 2, 3, 3)
    granted = {brackets.grant(trial_id(number)) for number in range(200)}
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
    paused = [trial_id(n) for n in range(30) if brackets.grant(trial_id(n)) == 1][:3]
    for score, trial in enumerate(paused):
        brackets.on_report(Report(trial, 1, 1, {}, float(-score)))
    brackets.on_end(paused[0], Outcome(Status.FAILED, 1, 0.0))
    waiting = brackets.state()["ladders"][0]["waiting"][0]
    assert paused[0] not in {entry[2] for entry in waiting}
    assert isinstance(brackets.on_report(Report(paused[1], 1, 27, {}, 0.0)), Finish)
