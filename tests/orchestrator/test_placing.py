"""Where trials go, by hand: devices A and B of four smallest slots each."""

from __future__ import annotations

import json

from raysweep.orchestrator.placing import Placing
from raysweep.orchestrator.shares import Shares
from raysweep.orchestrator.slots import Place, Slots
from raysweep.trials.actions import Reshape
from raysweep.trials.decisions import Reason

WHY = Reason("test")
LADDER = Shares(((9, 2), (27, 4)), patience_s=60.0)


def two_devices(shares: Shares = LADDER) -> Placing:
    """a0 … a3 on A, b0 … b3 on B, all free."""
    slots = Slots()
    for device in "ab":
        for number in range(4):
            slots.up(f"{device}{number}", Place("n0", device.upper()))
    return Placing(slots, shares)


def busy(placing: Placing, *slots: str) -> None:
    for slot in slots:
        placing.slots.take(f"on {slot}", slot)


def never(trial: str) -> int:
    return 100


def test_a_trial_of_size_1_takes_the_slot_that_was_freed_last() -> None:
    placing = two_devices()
    assert placing.find(1) == "b3"
    busy(placing, "b3", "a0")
    placing.slots.release("a0")
    assert placing.find(1) == "a0"
    assert placing.find(2) is None


def test_enough_free_slots_of_one_device_are_joined_at_once() -> None:
    placing = two_devices()
    busy(placing, "a0", "b0", "b1")  # three are free on A, two on B: B fits best
    placing.wait("t1", WHY, 2, 5.0)
    assert placing.plan(5.0, never) == [Reshape(("b3", "b2"), (2,))]
    assert placing.slots.free == 3
    assert placing.plan(6.0, never) == [], "it is on its way"
    placing.slots.up("b4", Place("n0", "B", 2))
    (served,) = placing.served()
    assert served == ("t1", WHY, "b4")
    assert len(placing) == 0


def test_slots_of_two_devices_do_not_make_one() -> None:
    placing = two_devices()
    busy(placing, "a0", "b0")
    placing.wait("t1", WHY, 4, 0.0)
    assert placing.plan(0.0, never) == []


def test_the_device_that_is_free_first_is_reserved() -> None:
    """A lacks two slots, which have 3 and 5 steps left; B lacks one, which has 8: A it is."""
    left = {"on a0": 3, "on a1": 5, "on b0": 8}
    placing = two_devices()
    busy(placing, "a0", "a1", "b0")
    placing.wait("t1", WHY, 4, 0.0)
    assert placing.plan(0.0, left.__getitem__) == []
    assert placing.room == 3, "what is free on A is kept"
    assert placing.find(1) in ("b1", "b2", "b3")
    placing.slots.release("a0")
    assert placing.plan(3.0, left.__getitem__) == []
    placing.slots.release("a1")
    (made,) = placing.plan(5.0, left.__getitem__)
    assert (set(made.slots), made.sizes) == ({"a0", "a1", "a2", "a3"}, (4,))
    assert placing.room == 3


def test_whose_patience_is_over_takes_what_is_free() -> None:
    placing = two_devices()
    busy(placing, "a0", "a1", "b0")
    placing.wait("t1", WHY, 4, 0.0)
    placing.plan(0.0, never)
    assert placing.due == 60.0
    placing.tire(59.9)
    assert list(placing.served()) == []
    placing.tire(60.0)
    assert placing.due == float("inf"), "no tick is due for somebody who has lost patience"
    assert [served.trial for served in placing.served()] == ["t1"]
    assert placing.room == 5


def test_one_that_lost_patience_while_nothing_is_free_comes_first() -> None:
    placing = two_devices()
    busy(placing, *(f"{device}{number}" for device in "ab" for number in range(4)))
    placing.wait("t1", WHY, 4, 0.0)
    placing.plan(0.0, never)
    placing.tire(60.0)
    assert list(placing.served()) == []
    placing.slots.release("b2")
    (served,) = placing.served()
    assert served.slot == "b2"


def test_a_large_slot_is_parted_for_small_trials() -> None:
    placing = two_devices()
    busy(placing, *(f"{device}{number}" for device in "ab" for number in range(4)))
    placing.slots.up("c0", Place("n0", "C", 4))
    assert placing.room == 4
    placing.wait("t1", WHY, 1, 0.0)
    assert placing.plan(0.0, never) == [Reshape(("c0",), (1, 1, 1, 1))]
    assert placing.room == 0


def test_a_large_trial_that_waits_has_a_large_slot_before_small_ones() -> None:
    placing = two_devices()
    busy(placing, *(f"{device}{number}" for device in "ab" for number in range(4)))
    placing.wait("t1", WHY, 4, 0.0)
    placing.plan(0.0, never)
    placing.slots.up("c0", Place("n0", "C", 4))
    (served,) = placing.served()
    assert served == ("t1", WHY, "c0")


def test_no_slot_goes_on_which_a_checkpoint_is_being_written() -> None:
    placing = two_devices()
    busy(placing, "b0", "b1", "b2", "b3", "a3")
    placing.slots.release("a3")
    placing.slots.finishing["t9"] = "a3"
    placing.wait("t1", WHY, 4, 0.0)
    assert placing.plan(0.0, never) == []
    assert placing.room == 0, "A is reserved: its last slot is free in a moment"
    del placing.slots.finishing["t9"]
    assert len(placing.plan(1.0, never)) == 1


def test_one_reservation_a_device() -> None:
    placing = two_devices()
    busy(placing, "a0", "b0")
    for number in range(3):
        placing.wait(f"t{number}", WHY, 4, 0.0)
    assert placing.plan(0.0, never) == []
    assert placing.room == 0
    placing.slots.release("a0")
    placing.slots.release("b0")
    assert len(placing.plan(1.0, never)) == 2, "and the third still waits"


def test_a_reserved_device_that_shrinks_is_given_up() -> None:
    placing = two_devices()
    busy(placing, "a0", "b0", "b1")
    placing.wait("t1", WHY, 4, 0.0)
    placing.plan(0.0, lambda trial: 1 if trial == "on a0" else 9)
    assert placing.room == 2
    placing.slots.down("a1", 1.0)
    assert placing.plan(1.0, never) == []
    assert placing.room == 2, "now B is reserved, and A's two free slots are not"
    assert placing.find(1) in ("a2", "a3")


def test_while_no_new_ones_come_the_room_is_shared_out() -> None:
    placing = two_devices(Shares(elastic=True))
    assert placing.size(81) == 1
    assert [placing.size(81, claimants) for claimants in (1, 2, 3, 4, 5)] == [4, 4, 2, 2, 1]


def test_nodes_on_which_nothing_runs_are_given_back() -> None:
    placing = two_devices()
    for number in range(3):
        placing.slots.up(f"c{number}", Place("n1", "A"))
        placing.slots.up(f"d{number}", Place("n2", "A"))
    assert placing.spare(0.0) == [], "nothing runs at all: the sweep is about to close"
    busy(placing, "a0", "d0")
    placing.slots.release("d0")
    placing.slots.finishing["t9"] = "d0"
    given = {frozenset(made.slots): made.sizes for made in placing.spare(1.0)}
    assert given == {frozenset({"c0", "c1", "c2"}): (), frozenset({"d1", "d2"}): ()}
    del placing.slots.finishing["t9"]
    assert placing.spare(2.0) == [Reshape(("d0",), ())]
    assert placing.slots.free == 7, "n0 stays"


def test_what_is_waited_for_survives_json() -> None:
    placing = two_devices()
    busy(placing, "a0", "b0")
    placing.wait("t1", WHY, 4, 2.5)
    placing.plan(2.5, never)
    again = Placing(placing.slots, LADDER)
    again.load(json.loads(json.dumps(placing.state())))
    assert again.state() == placing.state()
    assert (again.room, again.due) == (placing.room, placing.due) == (3, 62.5)
