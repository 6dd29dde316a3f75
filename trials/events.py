"""What happened: the only input of the state machine, and what the journal stores.

`at` is the sweep's age in seconds: time during which a driver was at work, over all its epochs.
Events are plain data (numbers, strings, lists, dicts), so that JSON carries every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import repeat
from typing import Any, NamedTuple

from raysweep.trials.decisions import equal_by_class
from raysweep.trials.goal import Goal
from raysweep.trials.trial import Report, TrialId


class ErrorClass(StrEnum):
    """What kind of failure ended an attempt; each has its own retry budget."""

    ERROR = "error"
    """The training code raised."""
    OOM = "oom"
    """It ran out of GPU or host memory."""
    REPORT = "report"
    """It reported what cannot be recorded, lacked the metric, or never reported. Not retried."""
    CHECKPOINT = "checkpoint"
    """Its checkpoint could not be written or read."""
    CRASH = "crash"
    """Its process died while its node lived on."""
    STUCK = "stuck"
    """It made no progress for longer than it is allowed to."""
    INFRA = "infra"
    """Its node was lost or preempted."""
    STORAGE = "storage"
    """The file system was full or took no writes. Tried again at no charge."""
    DRIVER = "driver"
    """The driver died. Always retried."""


@equal_by_class
class Opened(NamedTuple):
    """A driver took the sweep over; whatever ran under the last one is lost.

    `changes` holds all that resumes have changed in the spec so far: dotted key → value. `code` says
    which training code this driver's attempts train: its hash, files, folder and git commit; empty in
    journals of 0.1.
    """

    at: float
    epoch: int
    wall: float
    host: str
    changes: dict[str, Any] = {}  # noqa: RUF012 - never written to
    code: Mapping[str, Any] = {}


@equal_by_class
class SlotUp(NamedTuple):
    """A slot is ready, or its next process runs elsewhere on its node. `device` lists the indices of its accelerators, "" if it has none.

    `accelerator` is their type as Ray calls it, e.g. "H100"; "" if there is none, or it is unknown.
    `size` says how many of the sweep's smallest slots it is as large as.
    """

    at: float
    slot: str
    node: str
    device: str
    accelerator: str = ""
    size: int = 1

    @property
    def kind(self) -> str:
        """What kind of hardware it is, as speeds and prices name it; "gpu" is one of no known type."""
        return self.accelerator or ("gpu" if self.device else "cpu")


@equal_by_class
class SlotDown(NamedTuple):
    """A slot is gone; the pool has told of its trial's loss before."""

    at: float
    slot: str
    cause: str


@equal_by_class
class Suggested(NamedTuple):
    """A new trial's config; `why` is what its maker says of the reasons, as plain data.

    The searcher proposed it; or, where `parent` names a trial, the scheduler made a child of that
    one, which goes on from the parent's checkpoint of `parent_step`; or, where `replicate_of` names
    one, its config is trained again from scratch, up to the step `to_step` in `why`.
    """

    at: float
    trial: TrialId
    config: dict[str, Any]
    why: Mapping[str, Any] = {}
    parent: TrialId | None = None
    parent_step: int | None = None
    replicate_of: TrialId | None = None


@equal_by_class
class SuggestFailed(NamedTuple):
    """The searcher raised, or proposed a config outside the space; the id is spent."""

    at: float
    trial: TrialId
    message: str


@equal_by_class
class Exhausted(NamedTuple):
    """The searcher has nothing left to propose."""

    at: float


@equal_by_class
class Deferred(NamedTuple):
    """The searcher proposes nothing before it has learnt more; the id stays free for later."""

    at: float
    trial: TrialId


@equal_by_class
class Started(NamedTuple):
    """An attempt is set up and stands at `step` (0: from scratch).

    `gpu` and `cpu` are what it holds: a share of one GPU or a number of them, and cores; None in
    journals of 0.1.
    """

    at: float
    trial: TrialId
    attempt: int
    step: int
    slot: str
    node: str
    setup_s: float
    gpu: float | None = None
    cpu: float | None = None


@equal_by_class
class Reported(NamedTuple):
    """A batch of reports of one attempt, column by column.

    `steps`, `elapsed_s` and every list in `metrics` have the same length; `elapsed_s` is training
    time within the attempt. A metric that a step lacks is None there.
    """

    at: float
    trial: TrialId
    attempt: int
    steps: Sequence[int]
    elapsed_s: Sequence[float]
    metrics: Mapping[str, Sequence[Any]]

    def reports(self, goal: Goal, since_s: float = 0.0, device: str = "") -> Iterator[Report]:
        """The batch step by step, scored.

        Args:
            goal: by which.
            since_s: the attempt's training time before the first of these steps.
            device: what kind of hardware it ran on, as far as it is known.
        """
        trial, attempt, names = self.trial, self.attempt, tuple(self.metrics)
        scores = goal.scores(self.metrics.get(goal.metric) or [None] * len(self.steps))
        rows = zip(*self.metrics.values(), strict=True) if names else repeat(())
        columns = zip(self.steps, scores, rows, self.elapsed_s, strict=False)
        for step, score, row, elapsed_s in columns:
            metrics = dict(zip(names, row, strict=True))
            step_s, since_s = max(0.0, elapsed_s - since_s), elapsed_s
            yield Report(trial, attempt, step, metrics, score, elapsed_s, step_s, device)


@equal_by_class
class Checkpointed(NamedTuple):
    """A checkpoint is complete at `path`, relative to the sweep directory."""

    at: float
    trial: TrialId
    attempt: int
    step: int
    path: str


@equal_by_class
class Unsaved(NamedTuple):
    """A checkpoint that was due could not be written; the attempt trains on. `message` says why."""

    at: float
    trial: TrialId
    attempt: int
    step: int
    message: str


@equal_by_class
class Undeleted(NamedTuple):
    """A checkpoint that nothing refers to any more could not be deleted; `message` says why."""

    at: float
    path: str
    message: str


@equal_by_class
class Paused(NamedTuple):
    """The trial has yielded its slot; `path` is None if its training code cannot save."""

    at: float
    trial: TrialId
    attempt: int
    step: int
    path: str | None


@equal_by_class
class Finished(NamedTuple):
    """A trial that was told to finish has left its slot; `path` is its last checkpoint, or None."""

    at: float
    trial: TrialId
    attempt: int
    step: int
    path: str | None


@equal_by_class
class Ended(NamedTuple):
    """The training code has nothing more to train after `step`.

    If it is `saving`, `Finished` will tell of its last checkpoint; journals of 0.1 had that before.
    """

    at: float
    trial: TrialId
    attempt: int
    step: int
    saving: bool = False


@equal_by_class
class Failed(NamedTuple):
    """An attempt ended by an error. `traceback` is text, never a pickle."""

    at: float
    trial: TrialId
    attempt: int
    error: str
    message: str
    traceback: str


@equal_by_class
class Retried(NamedTuple):
    """A trial that had failed for good gets another attempt, free of charge.

    `attempts` counts those that it has had. It goes on from `checkpoint` at `step`, or from scratch.
    """

    at: float
    trial: TrialId
    config: dict[str, Any]
    attempts: int
    step: int = 0
    checkpoint: str | None = None


@equal_by_class
class Silent(NamedTuple):
    """A trial has not reported for long; shown, and never recorded.

    `doing` is what its process is at: "setup", "train", "save" or "cleanup"; `cores` how many
    cores the process and its descendants kept busy of late, None where that cannot be told. `full`
    says that no core of the cluster was free, so that a Ray task of the trial may wait for ever.
    """

    at: float
    trial: TrialId
    attempt: int
    doing: str
    silent_s: float
    cores: float | None
    full: bool = False


@equal_by_class
class Ticked(NamedTuple):
    """Time has passed a deadline that the state machine waits for."""

    at: float


@equal_by_class
class Interrupted(NamedTuple):
    """Somebody asked the sweep to stop: Ctrl-C, SIGTERM, or `raysweep stop`."""

    at: float
    cause: str


@equal_by_class
class Warned(NamedTuple):
    """Something went wrong beside the trials.

    `source` is a short name of what it concerns: searcher, scheduler, storage, device. `in_a_row`
    says how often the same call of a searcher or scheduler had failed on end by then.
    """

    at: float
    source: str
    message: str
    in_a_row: int = 0


@equal_by_class
class Closed(NamedTuple):
    """The sweep has come to rest. `reason` says why, `exit_code` as the command line documents."""

    at: float
    reason: str
    exit_code: int


Event = (
    Opened
    | SlotUp
    | SlotDown
    | Suggested
    | SuggestFailed
    | Exhausted
    | Deferred
    | Started
    | Reported
    | Checkpointed
    | Unsaved
    | Undeleted
    | Paused
    | Finished
    | Ended
    | Failed
    | Retried
    | Silent
    | Ticked
    | Interrupted
    | Warned
    | Closed
)

EVENTS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        Opened, SlotUp, SlotDown, Suggested, SuggestFailed, Exhausted, Deferred, Started,
        Reported, Checkpointed, Unsaved, Undeleted, Paused, Finished, Ended, Failed, Retried, Ticked,
        Interrupted, Warned, Closed,
    )
}  # fmt: skip
"""Every event of the journal, by the name that it has there; `Silent` is in none."""
