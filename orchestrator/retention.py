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

Saved = tuple[float, int, str]
"""Score, step and path of a checkpoint."""

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
        # ended otherwise, the latest last: step and score of the last report, if that is finite
        self._doomed: dict[TrialId, tuple[int, float] | None] = {}
        self._held: dict[TrialId, str] = {}  # child → its parent's checkpoint
        self._due: dict[str, None] = {}  # held, and needed by nobody but the holders
        self._undeleted: dict[str, None] = {}
        # the trial with the best checkpoint among the doomed, and its best ones
        self._ahead: tuple[TrialId, list[Saved]] | None = None

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
            self._doomed[trial.id] = trial.last if math.isfinite(trial.last[1]) else None
            if len(self._doomed) > _REMEMBERED:
                del self._doomed[next(iter(self._doomed))]
            return self.free([*paths, *self._champion(trial.id, trial.bests)])
        if paths and saving:
            self._last_words[trial.id] = paths
        return []

    def _champion(self, trial: TrialId, bests: list[Saved]) -> list[str]:
        """The best checkpoints of a trial that loses the others: what it, or another, loses of them.

        Those of the one that is ahead stay, so that the best model of the sweep exists.
        """
        ahead, lost = self._ahead, bests
        if ahead is not None and ahead[0] == trial:
            ranked = sorted([*ahead[1], *bests])
            self._ahead, lost = (trial, ranked[: self.keep.best]), ranked[self.keep.best :]
        elif bests and (ahead is None or bests[0][0] < ahead[1][0][0]):
            self._ahead, lost = (trial, bests), ahead[1] if ahead else []
        return [path for *_, path in lost]

    def back(self, trial: LiveTrial) -> None:
        """`trial` had failed and is live again: it has its best checkpoints back, if they are there."""
        self._doomed.pop(trial.id, None)
        if self._ahead is not None and self._ahead[0] == trial.id:
            trial.bests, self._ahead = self._ahead[1], None

    def give_up(self, trial: LiveTrial) -> list[str]:
        """The newest checkpoint of `trial` cannot be read."""
        path = trial.checkpoints.pop()[1]
        trial.bests = [saved for saved in trial.bests if saved[-1] != path]
        return self.free([path])

    def late(self, trial: TrialId, step: int, path: str) -> list[str]:
        """A trial that has ended had written a checkpoint of `step` at `path`.

        It is the last one of a trial that completed; a trial that was stopped at the step of that
        checkpoint needs it no more, unless it is the best.
        """
        if trial in self._doomed:
            last = self._doomed[trial]
            if self.keep.best and last is not None and last[0] == step:
                return self.free(self._champion(trial, [(last[1], step, path)]))
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
            "doomed": [[trial, last] for trial, last in self._doomed.items()],
            "held": self._held,
            "due": list(self._due),
            "undeleted": list(self._undeleted),
            "champion": self._ahead,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._last_words = dict(state["last_words"])
        self._doomed = {}
        for entry in state["doomed"]:
            trial, last = (
                (entry, None) if isinstance(entry, str) else entry
            )  # 0.1 had the name alone
            self._doomed[trial] = (last[0], last[1]) if last else None
        self._held = dict(state.get("held", {}))  # snapshots of 0.1 have none
        self._due = dict.fromkeys(state.get("due", ()))
        self._undeleted = dict.fromkeys(state.get("undeleted", ()))
        champion = state.get("champion")
        self._ahead = (
            (champion[0], [(score, step, path) for score, step, path in champion[1]])
            if champion
            else None
        )
