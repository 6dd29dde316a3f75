"""The simulated pool keeps the contract of all pools, and is the same for the same seed."""

from __future__ import annotations

import pytest

from raysweep.cluster.recorded import RecordedCurves, Track
from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.trials.actions import Reshape, RunTo, Start
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Reason
from raysweep.trials.errors import RaysweepError
from raysweep.trials.events import Ended, ErrorClass, Event, Failed, Reported, SlotDown, SlotUp
from raysweep.trials.trial import UNBOUNDED
from tests.contracts.pool import Behaviour, MakePool, PoolContract


def curve(config: object, seed: int, step: int) -> dict[str, float]:
    return {"loss": 1.0 / step}


class TestContract(PoolContract):
    @pytest.fixture
    def make_pool(self) -> MakePool:
        def make(behaviour: Behaviour) -> SimulatedPool:
            machine = Machine(
                workers=2,
                step_s=0.01,
                ends_at=UNBOUNDED if behaviour.ends_at is None else behaviour.ends_at,
                raises_at=behaviour.raises_at,
                can_save=behaviour.saves,
            )
            return SimulatedPool(machine, curve, ManualClock())

        return make


def play(machine: Machine, seed: int, trials: int = 6) -> list[Event]:
    """Run trials of 5 steps, one after the other on whichever slot is named first."""
    pool = SimulatedPool(machine, curve, ManualClock(), seed)
    told = pool.poll(10.0)
    slots = [event.slot for event in told if isinstance(event, SlotUp)]
    for number in range(trials):
        start = Start(f"t{number}", 1, slots[0], {}, number, 0, None, 5, Reason("test"))
        pool.do(start)
        while not any(_over(event, f"t{number}") for event in told):
            told += pool.poll(10.0)
        slots = [e.slot for e in told if isinstance(e, SlotUp)]
        gone = {e.slot for e in told if isinstance(e, SlotDown)}
        while not (slots := [slot for slot in slots if slot not in gone]):
            told += pool.poll(10.0)
            slots = [e.slot for e in told if isinstance(e, SlotUp)]
    return told


def _over(event: Event, trial: str) -> bool:
    if isinstance(event, Reported) and event.trial == trial:
        return event.steps[-1] == 5
    return isinstance(event, Failed | Ended) and event.trial == trial


def test_the_same_seed_gives_the_same_events() -> None:
    machine = Machine(workers=1, step_sigma=0.5, crash_rate=0.1, error_rate=0.1, slot_start_s=1.0)
    assert play(machine, 3) == play(machine, 3)
    assert play(machine, 3) != play(machine, 4)


def test_a_crash_takes_its_slot_along_and_a_new_one_comes() -> None:
    told = play(Machine(workers=1, crash_rate=0.5, slot_start_s=2.0), 1)
    crash = next(event for event in told if isinstance(event, Failed))
    down = next(event for event in told if isinstance(event, SlotDown))
    up = [event for event in told if isinstance(event, SlotUp)][1]
    assert crash.error == ErrorClass.CRASH
    assert told.index(crash) < told.index(down) < told.index(up)
    assert up.at == pytest.approx(down.at + 2.0)
    assert up.slot != down.slot


def test_an_error_of_the_code_leaves_the_slot_alone() -> None:
    told = play(Machine(workers=1, error_rate=0.5), 1)
    assert any(isinstance(event, Failed) for event in told)
    assert not any(isinstance(event, SlotDown) for event in told)


def test_stragglers_are_slower_by_their_factor() -> None:
    slow = play(Machine(workers=1, straggler_share=1.0, straggler_factor=4.0), 0, trials=1)
    fast = play(Machine(workers=1), 0, trials=1)
    assert slow[-1].at == pytest.approx(4 * fast[-1].at)


def test_slots_are_joined_on_their_device_and_take_time_to_start() -> None:
    machine = Machine(workers=4, slots_per_device=2, slot_start_s=2.0, scaling=1.0, gpu=0.5)
    pool = SimulatedPool(machine, curve, ManualClock())
    pool.poll(5.0)
    pool.do(Reshape(("s00002", "s00003"), (2,)))
    told = pool.poll(5.0) + pool.poll(5.0)
    up = told[-1]
    assert [type(event) for event in told] == [SlotDown, SlotDown, SlotUp]
    assert (up.at, up.node, up.size) == (4.0, "n0001", 2), "told at 2 s, there 2 s later"
    pool.do(Start("t0", 1, up.slot, {}, 0, 0, None, 4, Reason("test")))
    told = [event for _ in range(5) for event in pool.poll(1.0)]
    assert told[0].gpu == 1.0
    assert told[-1].elapsed_s[-1] == pytest.approx(2.0), "four steps of a second, twice as fast"


def test_what_cannot_be_joined_stays() -> None:
    pool = SimulatedPool(Machine(workers=2, slots_per_device=2), curve, ManualClock())
    pool.poll(1.0)
    pool.do(Reshape(("s00000", "gone"), (2,)))
    down, up = pool.poll(1.0)
    assert (down.slot, up.slot, up.size) == ("s00000", "s00000", 1)


def test_waiting_for_ever_is_refused() -> None:
    pool = SimulatedPool(Machine(workers=1), curve, ManualClock())
    pool.poll(1.0)
    with pytest.raises(RaysweepError, match="waits for ever: nothing is left to happen"):
        pool.poll(float("inf"))


def recorded() -> RecordedCurves:
    """Every config trained for three steps of 2, 3 and 5 seconds."""
    return RecordedCurves(lambda config: Track({"loss": [3.0, 2.0, 1.0]}, [2.0, 3.0, 5.0]))


def at_work(run_to: int) -> tuple[SimulatedPool, list[Event]]:
    pool = SimulatedPool(
        Machine(workers=1, batch_s=0.0), recorded(), ManualClock(), pace=recorded()
    )
    pool.poll(0.0)
    pool.do(Start("t0", 1, "s00000", {"x": 1}, 0, 0, None, run_to, Reason("test")))
    told: list[Event] = []
    for _ in range(4):
        told += pool.poll(20.0)
    return pool, told


def test_recorded_steps_take_their_recorded_seconds() -> None:
    _, told = at_work(run_to=2)
    reports = [event for event in told if isinstance(event, Reported)]
    assert [(event.at, event.steps, event.metrics["loss"]) for event in reports] == [
        (2.0, [1], [3.0]),
        (5.0, [2], [2.0]),
    ]
    assert reports[-1].elapsed_s == [5.0]


def test_a_recording_ends_a_trial_only_when_it_is_told_to_go_further() -> None:
    pool, told = at_work(run_to=3)
    assert isinstance(told[-1], Reported), "at its last recorded step it waits for a decision"
    pool.do(RunTo("t0", 1, "s00000", 9, Reason("test")))
    assert pool.poll(1.0)[-1][1:] == ("t0", 1, 3, False)
    _, told = at_work(run_to=9)
    assert isinstance(told[-1], Ended)
    assert told[-1].at == 10.0


def test_slots_stand_on_the_kinds_of_hardware_in_turn_and_are_as_fast_as_these() -> None:
    machine = Machine(workers=3, step_s=1.0, speeds={"fast": 2.0, "slow": 0.25})
    pool = SimulatedPool(machine, curve, ManualClock())
    slots = [event for event in pool.poll(1.0) if isinstance(event, SlotUp)]
    assert [slot.kind for slot in slots] == ["fast", "slow", "fast"]
    for slot, step_s in zip(slots, (0.5, 4.0, 0.5), strict=True):
        pool.do(Start(slot.slot, 1, slot.slot, {}, 0, 0, None, 1, Reason("test")))
        reported = [e for e in pool.poll(9.0) + pool.poll(9.0) if isinstance(e, Reported)]
        assert [event.elapsed_s for event in reported] == [[step_s]]
