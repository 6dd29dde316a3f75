"""The one door through which time enters."""

from __future__ import annotations

from time import monotonic, sleep, time
from typing import Protocol


class Clock(Protocol):
    """Seconds, monotonic (`now`) and since the Unix epoch (`wall`)."""

    def now(self) -> float:
        """Monotonic seconds; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; data, never used to order anything."""
        ...

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` seconds pass."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Monotonic seconds."""
        return monotonic()

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time()

    def sleep(self, duration_s: float) -> None:
        """Sleep for `duration_s` seconds."""
        sleep(duration_s)


class ManualClock:
    """A clock that moves only when told to; tests and the simulator share it."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now(self) -> float:
        """Seconds that have been slept or advanced so far."""
        return self._now_s

    def wall(self) -> float:
        """The same as `now`: a simulated sweep begins on 1970-01-01."""
        return self._now_s

    def sleep(self, duration_s: float) -> None:
        """Jump `duration_s` seconds ahead without waiting."""
        self._now_s += duration_s

    def jump_to(self, now_s: float) -> None:
        """Move to `now_s`, never backwards."""
        self._now_s = max(self._now_s, now_s)
