"""A trial that has not ended: what the state machine must know of it."""

from __future__ import annotations

from typing import Any

from raysweep.trials.actions import Start
from raysweep.trials.decisions import Reason
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Status, TrialId, check_transition

_STORY = 6
"""How many moves a trial remembers for the message of a refusal; the journal has them all."""


class LiveTrial:
    """One live trial.

    `step` is where its newest checkpoint stands (0: from scratch); `told` the last step that
    searcher and scheduler were told of; `run_to` the step up to which it may run. It is *owed* a
    slot when it was granted more than it has run, e.g. after a drain. `elapsed_s` is the attempt's
    training time so far. A child of `parent` has in `origin` the step and path of the parent's
    checkpoint until it has one of its own. A trial that is a replicate names its original in
    `replicate_of`. `last` is the step and score of its newest report, `bests` the score, step and
    path of its best checkpoints, the best first. One that is `retried` had failed for good: the searcher knows of its end.
    """

    __slots__ = (
        "attempt", "best", "bests", "charged", "checkpoints", "config", "elapsed_s", "id", "last", "origin", "owed",
        "parent", "replicate_of", "retried", "run_to", "slot", "started", "status", "story", "told",
    )  # fmt: skip

    def __init__(
        self, trial: TrialId, config: dict[str, Any], parent: TrialId | None = None
    ) -> None:
        self.id = trial
        self.config = config
        self.status = Status.PENDING
        self.attempt = 0
        self.slot: str | None = None
        self.started = False
        self.checkpoints: list[tuple[int, str]] = []
        self.bests: list[tuple[float, int, str]] = []
        self.last: tuple[int, float] = (0, WORST)
        self.told = 0
        self.elapsed_s = 0.0
        self.run_to = 0
        self.owed = False
        self.best = WORST
        self.charged: dict[str, int] = {}
        self.story: tuple[str, ...] = ()
        self.parent = parent
        self.origin: tuple[int, str] | None = None
        self.replicate_of: TrialId | None = None
        self.retried = False

    @property
    def step(self) -> int:
        """The step of the checkpoint that it goes on from; 0 if there is none."""
        return self._newest[0] if self._newest else 0

    @property
    def checkpoint(self) -> str | None:
        """The path of the checkpoint that it goes on from, relative to the sweep directory."""
        return self._newest[1] if self._newest else None

    @property
    def _newest(self) -> tuple[int, str] | None:
        return self.checkpoints[-1] if self.checkpoints else self.origin

    def move(self, status: Status, at: float) -> None:
        """Go to `status`.

        Raises:
            IllegalTransition: if `trials.trial.TRANSITIONS` does not allow it.
        """
        check_transition(self.id, self.status, status, "; ".join(self.story) or "just made")
        self.story = (*self.story[1 - _STORY :], f"{at:.3f} s {self.status} → {status}")
        self.status = status

    def begin(self, slot: str, seed: int, why: Reason) -> Start:
        """A new attempt on `slot`, from the newest checkpoint: what a pool must do for it."""
        self.attempt += 1
        self.started, self.owed, self.slot, self.elapsed_s = False, False, slot, 0.0
        config, run_to = self.config, self.run_to
        return Start(
            self.id, self.attempt, slot, config, seed, self.step, self.checkpoint, run_to, why
        )

    def outcome(self) -> Outcome:
        """How it ended, once it has."""
        return Outcome(self.status, self.told, self.best)

    def to_json(self) -> dict[str, Any]:
        """Everything but the story, which the journal has."""
        skip = ("id", "story", "best")
        data = {name: getattr(self, name) for name in self.__slots__ if name not in skip}
        step, score = self.last
        return data | {
            "best": None if self.best == WORST else self.best,
            "last": [step, None if score == WORST else score],
        }

    @classmethod
    def from_json(cls, trial: TrialId, data: dict[str, Any]) -> LiveTrial:
        """The trial that `to_json` described."""
        live = cls(trial, data["config"])
        for name, value in data.items():
            setattr(live, name, value)
        live.status = Status(data["status"])
        live.checkpoints = [(step, path) for step, path in data["checkpoints"]]
        live.origin = (live.origin[0], live.origin[1]) if live.origin else None
        live.best = WORST if data["best"] is None else data["best"]
        live.bests = [(score, step, path) for score, step, path in data.get("bests", ())]
        step, score = data.get("last", (0, None))
        live.last = (step, WORST if score is None else score)
        return live
