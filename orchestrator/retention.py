"""Which checkpoints may go: each method returns the paths that nothing refers to any more."""

from __future__ import annotations

from typing import Any

from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.trials.trial import Status, TrialId


class Retention:
    """Keeps the newest `keep` checkpoints of a live trial, the last one of a completed trial.

    Args:
        keep: at least 1; more helps only if a checkpoint can turn out to be unreadable.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._last_words: dict[TrialId, list[str]] = {}
        # of completed trials whose last checkpoint is still being written: what it will free

    def add(self, trial: LiveTrial, step: int, path: str) -> list[str]:
        """`trial` has written a checkpoint."""
        trial.checkpoints.append((step, path))
        extra = len(trial.checkpoints) - max(1, self.keep)
        gone = [path for _, path in trial.checkpoints[:extra]] if extra > 0 else []
        del trial.checkpoints[: len(gone)]
        return gone

    def end(self, trial: LiveTrial) -> list[str]:
        """`trial` has ended; one that completed may be about to write its last checkpoint."""
        paths = [path for _, path in trial.checkpoints]
        if trial.status is not Status.COMPLETED:
            return paths
        if paths:
            self._last_words[trial.id] = paths
        return []

    def last(self, trial: TrialId) -> list[str]:
        """A completed trial has written its last checkpoint."""
        return self._last_words.pop(trial, [])

    def state(self) -> dict[str, Any]:
        """What last checkpoints will free, as plain data."""
        return {"last_words": self._last_words}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._last_words = dict(state["last_words"])
