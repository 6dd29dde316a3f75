"""Decisions, actions and events of like shape are different things."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from raysweep.trials import actions, events
from raysweep.trials.decisions import Continue, Finish, Pause, Reason, RunTo, Stop

WHY = Reason("max_t", rung=3)
ALIKE: list[list[Any]] = [
    [Pause(WHY), Stop(WHY), Finish(WHY), (WHY,)],
    [RunTo(3, WHY), (3, WHY)],
    [Continue(), ()],
    [kind("t000000", 1, "s0", WHY) for kind in (actions.Pause, actions.Stop, actions.Finish)],
    [actions.Suggest("x"), actions.DropCheckpoint("x")],
    [events.Paused(1.0, "t0", 1, 3, "c"), events.Finished(1.0, "t0", 1, 3, "c"),
     events.Checkpointed(1.0, "t0", 1, 3, "c")],
    [events.Ticked(1.0), events.Exhausted(1.0)],
    [events.SlotDown(1.0, "a", "b"), events.SuggestFailed(1.0, "a", "b"), events.Undeleted(1.0, "a", "b")],
]  # fmt: skip


@pytest.mark.parametrize("alike", ALIKE, ids=lambda alike: type(alike[0]).__name__)
def test_none_equals_one_of_another_class(alike: list[Any]) -> None:
    for one, other in combinations(alike, 2):
        assert one != other
        assert (one == other) is False
        assert other != one


@pytest.mark.parametrize("one", [Pause(WHY), Continue(), actions.Suggest("x"), events.Ticked(1.0)])
def test_each_equals_its_like(one: Any) -> None:
    like = type(one)(*one)
    assert one == like
    assert (one != like) is False
    assert len({one, like}) == 1
    assert one._replace() == one
