"""What to do next: the only output of the state machine.

Actions on one slot are carried out in the order in which they are given, so a slot may be told
to stop one trial and start another in the same breath.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from raysweep.trials.decisions import Reason, equal_by_class
from raysweep.trials.trial import TrialId


@equal_by_class
class Suggest(NamedTuple):
    """Ask the searcher for the config of this trial (carried out by the loop, not by a pool)."""

    trial: TrialId


@equal_by_class
class Fork(NamedTuple):
    """Make `trial` of another one (carried out by the loop, which records it as `Suggested`).

    A child goes on from the checkpoint of `parent_step` of its `parent`; a replicate trains the
    config of the trial `replicate_of` again, from scratch.
    """

    trial: TrialId
    config: dict[str, Any]
    why: Mapping[str, Any]
    parent: TrialId | None = None
    parent_step: int | None = None
    replicate_of: TrialId | None = None


@equal_by_class
class Start(NamedTuple):
    """Run a trial on a free slot up to `run_to`, from `checkpoint` at `step` or from scratch."""

    trial: TrialId
    attempt: int
    slot: str
    config: dict[str, Any]
    seed: int
    step: int
    checkpoint: str | None
    run_to: int
    why: Reason


@equal_by_class
class RunTo(NamedTuple):
    """Let the trial, which waits hot at its grant, go on to `step`."""

    trial: TrialId
    attempt: int
    slot: str
    step: int
    why: Reason


@equal_by_class
class Pause(NamedTuple):
    """Checkpoint at the next step boundary and free the slot; answered by `Paused`."""

    trial: TrialId
    attempt: int
    slot: str
    why: Reason


@equal_by_class
class Stop(NamedTuple):
    """Drop the trial; its slot is free at once."""

    trial: TrialId
    attempt: int
    slot: str
    why: Reason


@equal_by_class
class Finish(NamedTuple):
    """Write the last checkpoint and end the trial; its slot is free at once. Answered by `Finished`."""

    trial: TrialId
    attempt: int
    slot: str
    why: Reason


@equal_by_class
class Reshape(NamedTuple):
    """Give the room of these free slots of one device to slots of `sizes`; answered by `SlotDown`s,
    then `SlotUp`s.

    Sizes count the sweep's smallest slots and add up to no more than those that go; none: the room
    is given back to the cluster. What cannot be carried out leaves the slots as they were.
    """

    slots: tuple[str, ...]
    sizes: tuple[int, ...]


@equal_by_class
class Retry(NamedTuple):
    """Give a trial that has failed another attempt (the loop records it as `Retried`)."""

    trial: TrialId
    config: dict[str, Any]
    attempts: int
    step: int = 0
    checkpoint: str | None = None


@equal_by_class
class Warn(NamedTuple):
    """Have a warning recorded (the loop records it as `Warned`)."""

    source: str
    message: str


@equal_by_class
class DropCheckpoint(NamedTuple):
    """Delete a checkpoint that nothing refers to any more (relative to the sweep directory)."""

    path: str


@equal_by_class
class Close(NamedTuple):
    """End the sweep (carried out by the loop)."""

    reason: str
    exit_code: int


TrialAction = Start | RunTo | Pause | Stop | Finish
PoolAction = TrialAction | Reshape
Action = Suggest | Fork | Retry | Warn | PoolAction | DropCheckpoint | Close
