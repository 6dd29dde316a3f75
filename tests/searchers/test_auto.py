from __future__ import annotations

from typing import Any

import pytest

from raysweep.searchers.auto import choose
from raysweep.searchers.base import Proposal
from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.setting import Earlier, Setting
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Report, trial_id
from tests.contracts.searcher import GOAL
from tests.searchers.test_learners import PLANE, branin, search

WIDE = Space.from_dict({f"x{i}": {"uniform": [0.0, 1.0]} for i in range(30)})
NOTHING = Space.from_dict({"x": 3})
TWO = Goal((("a", "min"), ("b", "max")))


@pytest.mark.parametrize(
    ("setting", "results", "pending", "method", "because"),
    [
        (Setting(PLANE, 0, GOAL), 5, 0, "gp", "2 parameters"),
        (Setting(WIDE, 0, GOAL), 5, 0, "gp", "trust region"),
        (Setting(PLANE, 0, GOAL), 1_000, 0, "tpe", "1,000 results"),
        (Setting(PLANE, 0, GOAL), 5, 200, "tpe", "200 trials under way"),
        (Setting(PLANE, 0, GOAL, levels=(1, 3)), 5, 0, "mobster", "2 rungs"),
        (Setting(PLANE, 0, GOAL, levels=(1, 3)), 1_000, 0, "mobster", "2 rungs"),
        (Setting(PLANE, 0, GOAL, levels=(1, 3)), 5, 64, "bohb", "64 trials under way"),
        (Setting(PLANE, 0, TWO, levels=(1, 3)), 5, 0, "gp", "2 metrics"),
        (Setting(PLANE, 0, GOAL, earlier=(Earlier("e", (), ()),)), 5, 0, "transfer", "1 earlier"),
        (Setting(NOTHING, 0, GOAL), 0, 0, "random", "nothing varies"),
    ],
)
def test_the_choice_and_its_reason(
    setting: Setting, results: int, pending: int, method: str, because: str
) -> None:
    choice = choose(setting, results, pending)
    assert choice.method == method
    assert because in choice.because


def test_at_rungs_every_third_proposal_is_by_parzen_estimators() -> None:
    at_rungs = Setting(PLANE, 0, GOAL, levels=(1, 3))
    methods = [choose(at_rungs, 5, issued=issued).method for issued in range(6)]
    assert methods == ["mobster", "mobster", "bohb"] * 2
    assert choose(Setting(PLANE, 0, GOAL), 5, issued=2).method == "gp"


def test_a_plain_sweep_gets_the_suggestions_of_gp() -> None:
    assert search("auto", PLANE, branin, 12) == search("gp", PLANE, branin, 12)


def test_every_proposal_carries_the_choice() -> None:
    for space in (PLANE, NOTHING):
        searcher = build_searcher("auto", {}, Setting(space, 0, GOAL))
        answer: Any = searcher.ask(trial_id(0), Stream(0))
        assert isinstance(answer, Proposal)
        assert ": " in answer.why["auto"]


def test_trials_that_pause_at_a_rung_are_not_waited_for() -> None:
    """A hundred trials pause at step 1: there is nobody to hurry for, so the model stays."""
    searcher = build_searcher("auto", {}, Setting(PLANE, 0, GOAL, levels=(1, 3)))
    for number in range(100):
        trial = trial_id(number)
        searcher.suggested(trial, {"x": number / 20.0, "y": 1.0})
        searcher.tell(Report(trial, 1, 1, {}, float(number)))
    answer = searcher.ask(trial_id(100), Stream(0))
    assert isinstance(answer, Proposal)
    assert answer.why["auto"].startswith("mobster")
