"""The second thread of a trial's process, on a clock of its own."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from raysweep.trainables.courier import Courier, Phase
from raysweep.trainables.outbox import Outbox
from raysweep.trainables.wire import Letter, decode
from raysweep.trials.clock import ManualClock


class Stepped(ManualClock):
    """A clock on which the courier's thread sleeps until the test lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.Condition()

    def sleep(self, duration_s: float) -> None:
        with self._turn:
            until_s = self.now() + duration_s
            assert self._turn.wait_for(lambda: self.now() >= until_s, 60)

    def jump_to(self, now_s: float) -> None:
        with self._turn:
            super().jump_to(now_s)
            self._turn.notify_all()


class Desk:
    """An outbox, its courier, and the letters that were sent."""

    def __init__(self) -> None:
        self.clock, self.outbox = Stepped(), Outbox()
        self.phase: Phase | None = None
        self.letters: list[Letter] = []
        self.sent, self.fails = threading.Semaphore(0), 0
        self.courier = Courier(
            self.outbox, lambda: self.phase, self._send, self.clock, 0.2, 30.0, 45.0
        )

    def _send(self, letter: bytes) -> None:
        self.letters.append(decode(letter))
        self.sent.release()
        if self.fails:
            self.fails -= 1
            raise ConnectionError("no mailbox")

    def report(self, step: int) -> None:
        if step == 1:
            self.outbox.begin("t1", 1)
        self.outbox.report(self.clock.now(), step, float(step), {"loss": 0.5})

    def until(self, now_s: float) -> None:
        """Let time pass in steps of a hundredth of a second, as far as that matters."""
        while self.clock.now() < now_s:
            self.clock.jump_to(self.clock.now() + 0.01)
            threading.Event().wait(0.001)


@pytest.fixture
def desk() -> Any:
    desk = Desk()
    yield desk
    desk.courier.end()
    desk.clock.jump_to(1e9)


def test_a_report_is_handed_over_once_it_was_held_for_long_enough(desk: Desk) -> None:
    desk.courier.begin()
    desk.report(1)
    desk.until(0.19)
    assert not desk.letters
    desk.until(0.4)
    assert desk.sent.acquire(timeout=10)
    assert [(letter.first, letter.events[0].steps) for letter in desk.letters] == [(0, [1])]
    desk.until(2.0)
    assert len(desk.letters) == 1
    assert desk.outbox.take() == (1, [])


def test_what_did_not_arrive_is_sent_again_and_goes_with_the_next_answer(desk: Desk) -> None:
    desk.fails = 1
    desk.courier.begin()
    desk.report(1)
    desk.until(0.5)
    assert desk.sent.acquire(timeout=10)
    assert [event.steps for event in desk.outbox.show()[1]] == [[1]]
    desk.report(2)
    desk.until(3.0)
    assert desk.sent.acquire(timeout=10)
    assert [event.steps for event in desk.letters[-1].events] == [[1], [2]]
    assert desk.letters[-1].first == 0


def test_what_leaves_with_an_answer_is_not_sent(desk: Desk) -> None:
    desk.courier.begin()
    desk.report(1)
    desk.until(0.1)
    assert len(desk.outbox.take()[1]) == 1
    desk.until(1.0)
    assert not desk.letters


@pytest.mark.parametrize(("doing", "pulses"), [("train", 3), ("cleanup", 3)])
def test_signs_of_life_come_once_a_phase_is_long(desk: Desk, doing: str, pulses: int) -> None:
    desk.phase = Phase(doing, "t1", 1, 0.0)
    desk.courier.begin()
    for second in range(1, 1000):
        desk.clock.jump_to(second / 10)
        threading.Event().wait(0.002)
    seen = [letter.pulse for letter in desk.letters if letter.pulse is not None]
    assert len(seen) == pulses
    assert [round(pulse.since_s / 30) for pulse in seen] == [1, 2, 3]
    assert all(pulse.doing == doing and pulse.cores is not None for pulse in seen)
