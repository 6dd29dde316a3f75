"""A trial's life: its states and the table of the moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from raysweep.trials.errors import IllegalTransition

TrialId = str
Config = Mapping[str, Any]
"""A trial's parameters by flat name; nested groups join with "/": `{"net/width": 64}`."""

UNBOUNDED = 1 << 53
"""The step up to which a trial may run when nothing but itself ends it."""


def trial_id(number: int) -> TrialId:
    """The id of the `number`-th trial of a sweep; also the name of its folder."""
    return f"t{number:06d}"


def trial_number(trial: TrialId) -> int | None:
    """The number behind an id that `trial_id` made; None for others, such as Ray Tune's."""
    digits = trial[1:]
    return int(digits) if trial[:1] == "t" and len(digits) > 5 and digits.isdecimal() else None


class Status(StrEnum):
    """Where a trial stands."""

    PENDING = "PENDING"
    """Has a config (and perhaps a checkpoint) and waits for a slot."""
    RUNNING = "RUNNING"
    """Holds a slot."""
    PAUSING = "PAUSING"
    """Holds a slot and is writing the checkpoint with which it will yield it."""
    PAUSED = "PAUSED"
    """Holds nothing but its checkpoint; a scheduler may promote it, a resume may go on with it."""
    COMPLETED = "COMPLETED"
    """Ran as far as it was meant to."""
    STOPPED = "STOPPED"
    """Ended early by the scheduler."""
    FAILED = "FAILED"
    """Ended by an error that its retries did not cover."""

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.COMPLETED, Status.STOPPED, Status.FAILED})

TRANSITIONS: frozenset[tuple[Status, Status]] = frozenset(
    {
        (Status.PENDING, Status.RUNNING),  # a slot took it
        (Status.PENDING, Status.FAILED),  # could not be started at all
        (Status.RUNNING, Status.PAUSING),  # the scheduler, or a drain, wants its slot
        (Status.RUNNING, Status.PENDING),  # lost; its retries cover that
        (Status.RUNNING, Status.COMPLETED),
        (Status.RUNNING, Status.STOPPED),
        (Status.RUNNING, Status.FAILED),
        (Status.PAUSING, Status.PAUSED),  # checkpoint written, or lost with an older one at hand
        (Status.PAUSING, Status.COMPLETED),  # its last reports, already on their way, ended it
        (Status.PAUSING, Status.STOPPED),
        (Status.PAUSING, Status.FAILED),  # saving raised
        (Status.PAUSED, Status.PENDING),  # promoted, or its sweep was resumed
        (Status.FAILED, Status.PENDING),  # retried: the code was mended, or its device was bad
    }
)


def check_transition(trial: TrialId, before: Status, after: Status, story: str) -> None:
    """Refuse a move that `TRANSITIONS` does not list.

    Raises:
        IllegalTransition: with the trial's story so far.
    """
    if (before, after) not in TRANSITIONS:
        allowed = ", ".join(sorted(b for a, b in TRANSITIONS if a == before)) or "nothing"
        raise IllegalTransition(
            f"trial {trial} cannot go from {before} to {after}; from there it can go to {allowed}. "
            f"Its story: {story}"
        )


class Report(NamedTuple):
    """One step's metrics of one trial.

    `score` is lower-is-better and `goal.WORST` where the metric is missing or not finite, so
    nobody behind this point flips a sign or meets a NaN. `elapsed_s` is training time within the
    attempt, `step_s` that of this step alone, 0 where nobody measured it. `device` is what kind of
    hardware the trial ran on: "H100", "cpu"; "" where it is not known.
    """

    trial: TrialId
    attempt: int
    step: int
    metrics: Mapping[str, Any]
    score: float
    elapsed_s: float = 0.0
    step_s: float = 0.0
    device: str = ""


class Outcome(NamedTuple):
    """How a trial ended: its last state, its last step and its best score (`goal.WORST`: none)."""

    status: Status
    step: int
    score: float
