from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.trials.errors import IllegalTransition, RaysweepError
from raysweep.trials.trial import (
    TRANSITIONS,
    UNBOUNDED,
    Status,
    check_transition,
    trial_id,
)

TERMINAL = {Status.COMPLETED, Status.STOPPED, Status.FAILED}


@pytest.mark.parametrize(("number", "name"), [(0, "t000000"), (17, "t000017"), (10**6, "t1000000")])
def test_ids(number: int, name: str) -> None:
    assert trial_id(number) == name


@given(st.lists(st.integers(0, 999_999), min_size=2, max_size=20))
def test_ids_sort_as_their_numbers_do(numbers: list[int]) -> None:
    assert sorted(map(trial_id, numbers)) == [trial_id(n) for n in sorted(numbers)]


def test_a_step_may_stand_in_a_float() -> None:
    assert int(float(UNBOUNDED)) == UNBOUNDED


def test_nothing_follows_an_end_and_something_follows_all_else() -> None:
    assert {status for status in Status if status.terminal} == TERMINAL
    left = {(before, after) for before, after in TRANSITIONS if before in TERMINAL}
    assert left == {(Status.FAILED, Status.PENDING)}, "but for a retry"
    assert {before for before, _ in TRANSITIONS} == set(Status) - TERMINAL | {Status.FAILED}


def test_every_state_can_be_reached_and_can_be_left_for_an_end() -> None:
    def reachable(start: Status) -> set[Status]:
        seen, front = {start}, [start]
        while front:
            here = front.pop()
            for before, after in TRANSITIONS:
                if before is here and after not in seen:
                    seen.add(after)
                    front.append(after)
        return seen

    assert reachable(Status.PENDING) == set(Status)
    for status in Status:
        assert reachable(status) & TERMINAL


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
def test_the_table_is_what_is_enforced(before: Status, after: Status) -> None:
    if (before, after) in TRANSITIONS:
        check_transition("t000001", before, after, "")
        return
    with pytest.raises(IllegalTransition, match=f"t000001 cannot go from {before} to {after}"):
        check_transition("t000001", before, after, "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Status.PENDING, Status.PAUSED),  # it holds nothing that could be paused
        (Status.RUNNING, Status.PAUSED),  # without a checkpoint on the way
        (Status.PAUSED, Status.RUNNING),  # without waiting for a slot
        (Status.COMPLETED, Status.PENDING),
        (Status.FAILED, Status.RUNNING),
    ],
)
def test_some_moves_that_must_never_be_allowed(before: Status, after: Status) -> None:
    assert (before, after) not in TRANSITIONS


def test_a_refusal_tells_the_story_and_what_is_allowed() -> None:
    story = "1 s PENDING → RUNNING; 2 s RUNNING → PAUSING"
    with pytest.raises(
        RaysweepError,
        match=r"trial t000007 cannot go from PAUSED to RUNNING; from there it can go to PENDING\. "
        r"Its story: 1 s PENDING → RUNNING; 2 s RUNNING → PAUSING",
    ):
        check_transition("t000007", Status.PAUSED, Status.RUNNING, story)
    with pytest.raises(IllegalTransition, match="it can go to nothing"):
        check_transition("t000007", Status.COMPLETED, Status.PENDING, "")


def test_statuses_are_their_names_in_json() -> None:
    assert json.loads(json.dumps(list(Status))) == [status.name for status in Status]


def test_the_life_of_a_promoted_trial_is_legal() -> None:
    life = [
        Status.PENDING, Status.RUNNING, Status.PAUSING, Status.PAUSED, Status.PENDING,
        Status.RUNNING, Status.COMPLETED,
    ]  # fmt: skip
    for before, after in pairwise(life):
        check_transition("t000000", before, after, "")
