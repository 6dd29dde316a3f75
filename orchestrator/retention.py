"""Which checkpoints may go: each method returns the paths that nothing refers to any more.

A child starts from a checkpoint of its parent. From the moment at which the child is decided on
until it has a checkpoint of its own, or has ended, it *holds* that of its parent: whatever becomes
of the parent meanwhile, the checkpoint stays until the last of its holders lets go.
"""

from __future__ import annotations

import math
from typing import Any

from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.rules import Keep
from raysweep.trials.trial import Status, TrialId

_REMEMBERED = 1_000
"""How many stopped trials are remembered: their late checkpoints come in the same batch."""


class Retention:
    """Keeps the newest checkpoints of each trial.

    Args:
        keep: how many, and of whom.
    """

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        # of completed trials whose last checkpoint is still being written: those that it has
        self._last_words: dict[TrialId, list[str]] = {}
        self._doomed: dict[TrialId, None] = {}  # ended otherwise, the latest last
        self._held: dict[TrialId, str] = {}  # child → its parent's checkpoint
        self._due: dict[str, None] = {}  # held, and needed by nobody but the holders
        self._undeleted: dict[str, None] = {}
        self._ahead: tuple[float, list[str]] | None = None

    def hold(self, child: TrialId, path: str) -> None:
        """`child` will start from `path`."""
        self._held[child] = path

    def held_by(self, child: TrialId) -> str | None:
        """What `child` starts from; None: nothing of anybody else's."""
        return self._held.get(child)

    def let_go(self, child: TrialId) -> list[str]:
        """`child` needs its parent's checkpoint no more, if it ever did."""
        path = self._held.pop(child, None)
        if path is None or path not in self._due or path in self._held.values():
            return []
        del self._due[path]
        return [path]

    def free(self, paths: list[str]) -> list[str]:
        """Of paths that their own trial needs no more, those that nobody holds either."""
        if not self._held:
            return paths
        held = set(self._held.values())
        self._due.update(dict.fromkeys(path for path in paths if path in held))
        return [path for path in paths if path not in held]

    def add(self, trial: LiveTrial, step: int, path: str) -> list[str]:
        """`trial` has written a checkpoint, or pauses with one that it has just written."""
        if (step, path) in trial.checkpoints:
            return []
        trial.checkpoints.append((step, path))
        gone = self._beyond([path for _, path in trial.checkpoints])
        del trial.checkpoints[: len(gone)]
        if self.keep.best and trial.last[0] == step and math.isfinite(trial.last[1]):
            ranked = sorted([*trial.bests, (trial.last[1], step, path)])
            gone += [lost for *_, lost in ranked[self.keep.best :]]
            trial.bests = ranked[: self.keep.best]
        kept = {path for _, path in trial.checkpoints} | {path for *_, path in trial.bests}
        return self.free([path for path in dict.fromkeys(gone) if path not in kept])

    def _beyond(self, paths: list[str]) -> list[str]:
        """Of a trial's checkpoints, oldest first, those that are too many."""
        return paths[: max(0, len(paths) - max(1, self.keep.newest))]

    def end(self, trial: LiveTrial, *, saving: bool) -> list[str]:
        """`trial` has ended; if it completed and is `saving`, one more checkpoint is to come."""
        bests = {path for *_, path in trial.bests}
        paths = [path for _, path in trial.checkpoints if path not in bests]
        if trial.status is not Status.COMPLETED:
            if self.keep.stopped:
                return []
            self._doomed[trial.id] = None
            if len(self._doomed) > _REMEMBERED:
                del self._doomed[next(iter(self._doomed))]
            return self.free([*paths, *self._champion(trial)])
        if paths and saving:
            self._last_words[trial.id] = paths
        return []

    def _champion(self, trial: LiveTrial) -> list[str]:
        """A trial that loses its checkpoints ends: those of its best, or of the one that was ahead.

        The best checkpoint of all such trials stays, so that the best model of the sweep exists.
        """
        if not trial.bests:
            return []
        score, paths = trial.bests[0][0], [path for *_, path in trial.bests]
        if self._ahead is not None and self._ahead[0] <= score:
            return paths
        before = self._ahead[1] if self._ahead is not None else []
        self._ahead = (score, paths)
        return before

    def late(self, trial: TrialId, path: str) -> list[str]:
        """A trial that has ended had written a checkpoint at `path`.

        It is the last one of a trial that completed; a trial that was stopped at the step of that
        checkpoint needs it no more.
        """
        if trial in self._doomed:
            return self.free([path])
        before = [older for older in self._last_words.pop(trial, []) if older != path]
        return self.free(self._beyond([*before, path]))

    def revive(self, trial: TrialId) -> None:
        """A trial that had failed is live again: what it writes is wanted."""
        self._doomed.pop(trial, None)

    def left_over(self, path: str) -> None:
        """A checkpoint that was let go could not be deleted."""
        self._undeleted[path] = None

    def reopen(self) -> list[str]:
        """A new driver: what the last one could not delete is let go once more."""
        paths, self._undeleted = list(self._undeleted), {}
        return paths

    def state(self) -> dict[str, Any]:
        """What last checkpoints and holders will free, as plain data."""
        return {
            "last_words": self._last_words,
            "doomed": list(self._doomed),
            "held": self._held,
            "due": list(self._due),
            "undeleted": list(self._undeleted),
            "ahead": self._ahead,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._last_words = dict(state["last_words"])
        self._doomed = dict.fromkeys(state["doomed"])
        self._held = dict(state.get("held", {}))  # snapshots of 0.1 have none
        self._due = dict.fromkeys(state.get("due", ()))
        self._undeleted = dict.fromkeys(state.get("undeleted", ()))
        ahead = state.get("ahead")
        self._ahead = (ahead[0], list(ahead[1])) if ahead else None
