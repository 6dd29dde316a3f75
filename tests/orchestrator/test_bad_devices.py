"""A device on which every trial fails is set aside, and its trials run elsewhere, free."""

from __future__ import annotations

import json

import pytest

from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.state import SweepState
from raysweep.trials import actions, events
from raysweep.trials.events import ErrorClass
from raysweep.trials.trial import Status
from tests.orchestrator.harness import make_state

FIFO = {"name": "fifo", "max_t": 2}
GOOD, BAD = ("n0", "0"), ("n1", "1")


class Bench:
    """Devices with a slot each, driven by hand; retries and warnings enter as the loop lets them."""

    def __init__(self, state: SweepState, places: dict[str, tuple[str, str]]) -> None:
        self.state, self.places = state, places
        self.warned: list[events.Warned] = []
        self.on: dict[str, list[actions.Start]] = {slot: [] for slot in places}
        self.closed: actions.Close | None = None
        self.give(events.Opened(0.0, 1, 0.0, "here"))
        for slot, (node, device) in places.items():
            self.give(events.SlotUp(0.0, slot, node, device))

    def give(self, event: events.Event) -> None:
        queue = [event]
        while queue:
            event = queue.pop(0)
            if isinstance(event, events.Warned):
                self.warned.append(event)
            for action in self.state.handle(event).actions:
                if isinstance(action, actions.Suggest):
                    queue.append(events.Suggested(event.at, action.trial, {"x": 0.5}))
                elif isinstance(action, actions.Retry):
                    queue.append(events.Retried(event.at, *action))
                elif isinstance(action, actions.Warn):
                    queue.append(events.Warned(event.at, *action))
                elif isinstance(action, actions.Start):
                    self.on[action.slot].append(action)
                elif isinstance(action, actions.Close):
                    self.closed = action
            json.dumps(self.state.state())

    def live(self, slot: str) -> LiveTrial | None:
        return next((t for t in self.state.live.values() if t.slot == slot), None)

    def fail(self, at: float, slot: str) -> None:
        """Let the trial of one slot, if it has one, fail at once."""
        if (trial := self.live(slot)) is not None:
            who, why = (trial.id, trial.attempt), "CUDA error: uncorrectable ECC"
            self.give(events.Failed(at, *who, ErrorClass.ERROR, why, ""))

    def step(
        self, at: float, bad: set[str], message: str = "CUDA error: uncorrectable ECC"
    ) -> None:
        """Let the trial of each slot fail at once, or report its two steps and end."""
        for slot in self.places:
            trial = self.live(slot)
            if trial is None:
                continue
            who = (trial.id, trial.attempt)
            if slot in bad:
                self.give(events.Failed(at, *who, ErrorClass.ERROR, message, ""))
            else:
                self.give(events.Reported(at, *who, [1, 2], [0.1, 0.2], {"loss": [0.5, 0.4]}))
                self.give(events.Finished(at, *who, 2, None))


def test_three_failures_alike_at_once_set_the_device_aside() -> None:
    """Before, 37 of 40 trials failed: the device that fails at once takes the next trial at once."""
    bench = Bench(make_state(FIFO, budget=Budget(trials=12)), {"s0": GOOD, "s1": BAD})
    for turn in range(30):
        bench.step(float(turn), {"s1"})
    assert bench.closed is not None
    assert bench.closed.exit_code == 0
    assert bench.state.ended == {Status.COMPLETED: 12, Status.STOPPED: 0, Status.FAILED: 0}
    assert len(bench.on["s1"]) == 3
    (warned,) = bench.warned
    assert warned.source == "device"
    assert "device 1 of node n1" in warned.message
    assert "tried again elsewhere" in warned.message


def test_a_bug_that_is_met_everywhere_is_no_device() -> None:
    bench = Bench(make_state(FIFO, budget=Budget(trials=12)), {"s0": GOOD, "s1": BAD})
    bench.step(0.0, set())
    bench.step(1.0, {"s0", "s1"})
    for turn in range(2, 12):
        bench.step(float(turn), {"s1"})
    assert not bench.warned


def test_configs_that_fail_differently_are_no_device() -> None:
    bench = Bench(make_state(FIFO, budget=Budget(trials=12)), {"s0": GOOD, "s1": BAD})
    for turn in range(12):
        bench.step(float(turn), {"s1"}, f"ValueError: {'abcdefghijkl'[turn]}")
    assert not bench.warned


def test_one_device_alone_is_never_set_aside() -> None:
    bench = Bench(make_state(FIFO, budget=Budget(trials=12)), {"s1": BAD})
    for turn in range(12):
        bench.step(float(turn), {"s1"})
    assert not bench.warned
    assert bench.closed is not None
    assert "failed alike" in bench.closed.reason


def test_the_device_gets_another_chance_and_a_longer_ban() -> None:
    bench = Bench(make_state(FIFO, budget=Budget(trials=400)), {"s0": GOOD, "s1": BAD})
    for turn in range(4):
        bench.step(float(turn), {"s1"})
    due = bench.state.deadline()
    assert due == pytest.approx(60.0, abs=4.0)
    bench.give(events.Ticked(due))
    assert bench.live("s1") is not None
    for turn in range(4):
        bench.step(due + turn, {"s1"})
    assert len(bench.warned) == 2
    assert bench.state.deadline() == pytest.approx(due + 120.0, abs=4.0)


def test_it_survives_a_snapshot() -> None:
    first = Bench(make_state(FIFO, budget=Budget(trials=12)), {"s0": GOOD, "s1": BAD})
    for turn in range(2):
        first.step(float(turn), {"s1"})
    again = make_state(FIFO, budget=Budget(trials=12))
    again.load(json.loads(json.dumps(first.state.state())))
    assert again.state() == first.state.state()


def test_a_device_is_noticed_before_the_others_have_reported() -> None:
    """Their first step takes minutes; before, five failures in a second ended the whole sweep."""
    places = {f"s{n}": (f"n{n}", "0") for n in range(4)}
    bench = Bench(make_state(FIFO, budget=Budget(trials=40)), places)
    for turn in range(6):
        bench.fail(0.1 * (turn + 1), "s3")
    assert bench.closed is None
    assert len(bench.warned) == 1
    assert len(bench.on["s3"]) == 3
    for turn in range(20):
        bench.step(2.0 + turn, set())
    assert bench.state.ended == {Status.COMPLETED: 40, Status.STOPPED: 0, Status.FAILED: 0}


def test_a_node_whose_devices_all_go_bad_loses_them_all() -> None:
    """Before, a failure that two devices met set none of them aside: all trials failed there."""
    places = {f"s{n}": (f"n{n // 4}", str(n)) for n in range(6)}  # four on n0, two on n1
    bench = Bench(make_state(FIFO, budget=Budget(trials=40)), places)
    bad = {"s0", "s1", "s2", "s3"}
    for turn in range(30):
        bench.step(float(turn), bad)
    assert bench.state.ended == {Status.COMPLETED: 40, Status.STOPPED: 0, Status.FAILED: 0}
    assert len(bench.warned) == 4
    assert all(len(bench.on[slot]) == 3 for slot in bad)


def test_devices_on_several_nodes_are_noticed_if_more_are_sound() -> None:
    places = {f"s{n}": (f"n{n}", "0") for n in range(5)}
    bench = Bench(make_state(FIFO, budget=Budget(trials=40)), places)
    for turn in range(30):
        bench.step(float(turn), {"s0", "s3"})
    assert bench.state.ended == {Status.COMPLETED: 40, Status.STOPPED: 0, Status.FAILED: 0}
    assert len(bench.warned) == 2


@pytest.mark.parametrize("devices", [2, 4, 16])
def test_a_bug_in_every_trial_is_the_code_s(devices: int) -> None:
    """All fail at their first step, wherever they run and in whatever order word of it comes."""
    places = {f"s{n}": ("n0", str(n)) for n in range(devices)}
    bench = Bench(make_state(FIFO, budget=Budget(trials=200)), places)
    for turn in range(20):
        bench.step(float(turn), set(places))
    assert not bench.warned
    assert bench.closed is not None
    assert "failed alike" in bench.closed.reason


def test_devices_that_are_gone_prove_nothing() -> None:
    bench = Bench(make_state(FIFO, budget=Budget(trials=40)), {"s0": GOOD, "s1": BAD})
    bench.step(0.0, set())
    bench.give(events.SlotDown(0.5, "s0", "its node left"))
    del bench.places["s0"]
    for turn in range(1, 9):
        bench.step(float(turn), {"s1"})
    assert not bench.warned


def test_all_that_is_left_set_aside_waits_for_its_next_chance() -> None:
    """The sound device leaves for good: the sweep neither hangs nor fails trials meanwhile."""
    bench = Bench(make_state(FIFO, budget=Budget(trials=6)), {"s0": GOOD, "s1": BAD})
    for turn in range(4):
        bench.fail(0.1 * (turn + 1), "s1")
    assert len(bench.warned) == 1
    bench.give(events.SlotDown(1.0, "s0", "its node left"))
    del bench.places["s0"]
    bench.step(2.0, set())
    assert bench.live("s1") is None
    assert bench.closed is None
    due = bench.state.deadline()
    assert 60.0 <= due <= 61.0
    bench.give(events.Ticked(due))
    for turn in range(12):
        bench.step(due + turn, set())
    assert bench.closed is not None
    assert bench.state.ended == {Status.COMPLETED: 6, Status.STOPPED: 0, Status.FAILED: 0}
