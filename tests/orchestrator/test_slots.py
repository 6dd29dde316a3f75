"""Slots whose next process comes up on another device of their node."""

from __future__ import annotations

from raysweep.orchestrator.slots import Place, Slots

GOOD, BAD = Place("n0", "0"), Place("n0", "1")


def test_a_held_slot_that_moves_keeps_its_trial() -> None:
    slots = Slots()
    slots.up("s1", GOOD)
    slots.take("t1", "s1")
    slots.up("s1", BAD)
    assert slots.device("s1") == BAD.on
    assert list(slots.held()) == [("t1", BAD)]
    assert (slots.free, slots.busy, len(slots)) == (0, 1, 1)
    slots.release("s1")
    assert (slots.free, slots.busy) == (1, 0)


def test_a_free_slot_that_moves_is_offered_as_its_new_device_says() -> None:
    slots = Slots()
    slots.up("s1", GOOD)
    slots.set_aside(BAD.on)
    slots.up("s1", BAD)
    assert slots.free == 0
    slots.up("s1", GOOD)
    assert list(slots.open()) == [("s1", GOOD)]
    slots.up("s1", BAD)
    slots.bring_back(BAD.on)
    assert list(slots.open()) == [("s1", BAD)]
