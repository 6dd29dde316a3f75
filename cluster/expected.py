"""Whether what a process tells of its trials can be true."""

from __future__ import annotations

from typing import Any

from raysweep.trials.actions import RunTo, Start, TrialAction
from raysweep.trials.errors import AnswerError
from raysweep.trials.events import Checkpointed, Finished, Paused, Reported, Started
from raysweep.trials.trial import TrialId

_REMEMBERED = 1_000


class Expected:
    """What one process was given to do, and how far it has come with it."""

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._given: dict[tuple[TrialId, int], _Given] = {}  # the latest last

    def give(self, action: TrialAction) -> None:
        """The process will be sent this."""
        if isinstance(action, Start):
            self._given[action.trial, action.attempt] = _Given(action)
            if len(self._given) > _REMEMBERED:
                del self._given[next(iter(self._given))]
        elif isinstance(action, RunTo) and (of := self._given.get((action.trial, action.attempt))):
            of.run_to = max(of.run_to, action.step)

    def check(self, event: Any) -> None:
        """Take note of an event.

        Raises:
            AnswerError: it is of a trial that the process was never given, or cannot follow on
                what was told before.
        """
        of = self._given.get((event.trial, event.attempt))
        if of is None:
            raise AnswerError(
                f"it tells of {event.trial!r}, attempt {event.attempt}, which it was never given"
            )
        if isinstance(event, Reported):
            if event.steps[0] != of.step + 1 or event.steps[-1] > of.run_to:
                raise AnswerError(
                    f"it reports steps {event.steps[0]} to {event.steps[-1]} after step {of.step}, "
                    f"and was to run to {of.run_to}"
                )
            of.step = event.steps[-1]
        elif hasattr(event, "step") and event.step != of.step:
            raise AnswerError(f"{type(event).__name__} is of step {event.step}, not {of.step}")
        if isinstance(event, Started) and event.slot != self._slot:
            raise AnswerError(f"it tells of slot {event.slot[:100]!r}, and is {self._slot!r}")
        if isinstance(event, Checkpointed | Paused | Finished) and event.path is not None:
            own = f"checkpoints/{event.trial}/{event.attempt}-{event.step}"
            if event.path not in (own, of.checkpoint):
                raise AnswerError(f"it tells of a checkpoint at {event.path[:100]!r}, not at {own}")


class _Given:
    __slots__ = ("checkpoint", "run_to", "step")

    def __init__(self, start: Start) -> None:
        self.step, self.run_to, self.checkpoint = start.step, start.run_to, start.checkpoint
