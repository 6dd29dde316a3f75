"""How many trials reached each rung, and what became of them there."""

from __future__ import annotations

from raysweep.trials.trial import TrialId


class RungCount:
    """What became of the trials at one rung so far."""

    __slots__ = ("finished", "paused", "stopped", "went_on")

    def __init__(self) -> None:
        self.went_on = self.paused = self.stopped = self.finished = 0

    @property
    def reached(self) -> int:
        """How many trials have been decided on at this rung."""
        return self.went_on + self.paused + self.stopped + self.finished


class Rungs:
    """Counts decisions by rung; remembers of trials only at which rung each paused one waits.

    Attributes:
        counts: by the rung's step.
    """

    def __init__(self) -> None:
        self.counts: dict[int, RungCount] = {}
        self._waits_at: dict[TrialId, int] = {}

    def decided(self, trial: TrialId, verb: str, rung: int | None) -> None:
        """Count one verdict; `rung` is None for those that no rung gave rise to."""
        if verb == "resume":  # a promotion, or the return of one that was paused by a drain
            waited_at = self._waits_at.pop(trial, None)
            if waited_at is not None:
                self.counts[waited_at].paused -= 1
                self.counts[waited_at].went_on += 1
            return
        if rung is None:
            return
        count = self.counts.get(rung)
        if count is None:
            count = self.counts[rung] = RungCount()
        if verb == "run_to":
            count.went_on += 1
        elif verb == "pause":
            count.paused += 1
            self._waits_at[trial] = rung
        elif verb == "stop":
            count.stopped += 1
        elif verb == "finish":
            count.finished += 1
