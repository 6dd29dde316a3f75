from __future__ import annotations

import pytest

from raysweep.trials.clock import Clock, ManualClock, SystemClock


def test_a_manual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock(5.0)
    assert clock.now() == clock.now() == 5.0
    clock.sleep(2.5)
    assert clock.now() == clock.wall() == 7.5


def test_a_manual_clock_never_goes_back() -> None:
    clock = ManualClock()
    clock.jump_to(9.0)
    clock.jump_to(3.0)
    assert clock.now() == 9.0


def test_the_system_clock_is_monotonic_and_knows_the_date() -> None:
    clock = SystemClock()
    before = clock.now()
    clock.sleep(0.01)
    assert clock.now() - before >= 0.009
    assert clock.wall() > 1_700_000_000  # November 2023


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_both_have_one_interface(clock: Clock) -> None:
    assert isinstance(clock.now(), float)
    assert isinstance(clock.wall(), float)
    clock.sleep(0.0)
