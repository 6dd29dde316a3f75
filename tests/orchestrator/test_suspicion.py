"""A sweep whose trials all fail alike comes to rest; one with bad configs does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.suspicion import Suspicion, kind_of
from raysweep.trials import actions, events
from raysweep.trials.events import ErrorClass
from tests.orchestrator.harness import make_state
from tests.orchestrator.test_state import Hand

FIFO = {"name": "fifo", "max_t": 9}
TRACE = 'Traceback\n  File "/p/train.py", line {}, in train\n    x = 1\n'


def fail(hand: Hand, number: int, message: str, line: int = 7) -> None:
    trial = f"t{number:06d}"
    hand.give(events.Failed(0.0, trial, 1, ErrorClass.ERROR, message, TRACE.format(line)))


def closes(hand: Hand) -> list[Any]:
    return [a for a in hand.done if isinstance(a, actions.Close)]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_same_bug_after_so_many_reports_ends_the_sweep(steps: int) -> None:
    """Before, a bug behind the first report let 200 of 200 trials run and fail."""
    hand = Hand(make_state(FIFO, budget=Budget(trials=200)))
    for number in range(5):
        for step in range(1, steps + 1):
            hand.report(f"t{number:06d}", step, 0.5)
        fail(hand, number, f"ValueError: sample {number} of trial t{number:06d} at 0x7f{number}")
    (close,) = closes(hand)
    assert close.exit_code == 1
    assert "first 5 trials all failed alike" in close.reason
    assert ("before a single report" in close.reason) == (steps == 0)


@pytest.mark.parametrize("what", ["message", "place"])
def test_different_failures_do_not(what: str) -> None:
    hand = Hand(make_state(FIFO, budget=Budget(trials=200)))
    for number in range(8):
        word = "abcdefgh"[number] if what == "message" else "x"
        fail(hand, number, f"ValueError: {word}", number if what == "place" else 7)
    assert not closes(hand)


def test_a_trial_that_got_further_shows_that_the_code_works() -> None:
    hand = Hand(make_state(FIFO, budget=Budget(trials=200)), slots=2)
    for step in (1, 2, 3):
        hand.report("t000000", step, 0.5)
    for number in range(1, 9):
        hand.report(f"t{number:06d}", 1, 0.5)
        fail(hand, number, "ValueError: diverged")
    assert not closes(hand)


def test_a_trial_that_completed_shows_it_too() -> None:
    hand = Hand(make_state(FIFO, budget=Budget(trials=200)))
    hand.give(events.Ended(0.0, "t000000", 1, 1))
    for number in range(1, 9):
        fail(hand, number, "ValueError: diverged")
    assert not closes(hand)


def test_each_driver_suspects_anew() -> None:
    """After a mended bug the failures of the former driver count no more, and a new bug is noticed."""
    hand = Hand(make_state(FIFO, budget=Budget(trials=200)))
    for number in range(4):
        fail(hand, number, "ValueError: bug")
    hand.give(events.Opened(1.0, 2, 0.0, "here"))
    hand.give(events.SlotUp(1.0, "s9", "n0", ""))
    hand.give(
        events.Failed(1.0, "t000004", 2, ErrorClass.ERROR, "ValueError: bug", TRACE.format(7))
    )
    assert not closes(hand), "the first of this driver"
    for number in range(5, 9):
        fail(hand, number, "ValueError: bug")
    assert len(closes(hand)) == 1


def test_what_was_suspected_survives_a_snapshot() -> None:
    first, second = Suspicion(), Suspicion()
    for _ in range(4):
        assert not first.trial_failed("k", 0, "m", 0)
    second.load(first.state())
    assert "first 5 trials" in second.trial_failed("k", 0, "m", 0)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("E: got 3.5e-4 at 0xdead", "E: got 12 at 0xbeef", True),
        ("E: /tmp/a/b.txt missing", "E: /tmp/c.txt missing", True),
        ("E: t000001 failed", "E: t000002 failed", True),
        ("E: lr too large", "E: width too large", False),
    ],
)
def test_details_do_not_tell_failures_apart(one: str, other: str, alike: bool) -> None:
    assert (kind_of("error", one, "") == kind_of("error", other, "")) == alike


def test_a_share_of_bad_configs_ends_nothing() -> None:
    """A third of the space fails at once: the odds that the first five to end do are 1/243."""
    from tests.orchestrator.harness import Memory, run

    def train(config: Mapping[str, Any], seed: int, step: int) -> dict[str, Any]:
        return {"loss": math.nan if config["x"] < 0.33 else config["x"]}

    closed = run(make_state(FIFO, budget=Budget(trials=60)), Machine(), Memory(), train=train)
    assert closed.exit_code == 0
