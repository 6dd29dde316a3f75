"""Which checkpoints may go: each method returns the paths that nothing refers to any more."""

from __future__ import annotations

from typing import Any

from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.trials.trial import Status, TrialId

_REMEMBERED = 1_000
"""How many stopped trials are remembered: their late checkpoints come in the same batch."""


class Retention:
    """Keeps the newest `keep` checkpoints of a live trial, the last one of a completed trial.

    Args:
        keep: at least 1; more helps only if a checkpoint can turn out to be unreadable.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        # of completed trials whose last checkpoint is still being written: what it will free
        self._last_words: dict[TrialId, list[str]] = {}
        self._doomed: dict[TrialId, None] = {}  # ended otherwise, the latest last

    def add(self, trial: LiveTrial, step: int, path: str) -> list[str]:
        """`trial` has written a checkpoint, or pauses with one that it has just written."""
        if (step, path) in trial.checkpoints:
            return []
        trial.checkpoints.append((step, path))
        extra = len(trial.checkpoints) - max(1, self.keep)
        gone = [path for _, path in trial.checkpoints[:extra]] if extra > 0 else []
        del trial.checkpoints[: len(gone)]
        return gone

    def end(self, trial: LiveTrial, *, saving: bool) -> list[str]:
        """`trial` has ended; if it completed and is `saving`, one more checkpoint is to come."""
        paths = [path for _, path in trial.checkpoints]
        if trial.status is not Status.COMPLETED:
            self._doomed[trial.id] = None
            if len(self._doomed) > _REMEMBERED:
                del self._doomed[next(iter(self._doomed))]
            return paths
        if paths and saving:
            self._last_words[trial.id] = paths
        return []

    def late(self, trial: TrialId, path: str) -> list[str]:
        """A trial that has ended had written a checkpoint at `path`.

        It is the last one of a trial that completed, and frees those before it; a trial that was
        stopped at the step of that checkpoint needs it no more.
        """
        if trial in self._doomed:
            return [path]
        return [older for older in self._last_words.pop(trial, []) if older != path]

    def state(self) -> dict[str, Any]:
        """What last checkpoints will free, as plain data."""
        return {"last_words": self._last_words, "doomed": list(self._doomed)}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._last_words = dict(state["last_words"])
        self._doomed = dict.fromkeys(state["doomed"])
