"""Every exception that raysweep raises on purpose.

RaysweepError
├── SpecError                 what the user handed us is wrong; nothing has been started   (exit 2)
│   ├── SpaceError            a parameter, condition, constraint or config
│   └── TrainableError        the training code cannot be found, imported, or is of no known shape
├── ClusterError              Ray cannot be reached, or can never give what a trial asks for  (exit 2)
│   └── ClusterLost           Ray was there and is gone; the sweep can be resumed          (exit 75)
├── StoreError                the sweep directory
│   ├── StoreBusy             another driver is at work on it                               (exit 2)
│   ├── StoreFenced           a newer driver has taken this sweep over; this one must stop
│   ├── StoreUnwritable       the disk took nothing for too long; resumable                (exit 75)
│   ├── StoreFormatError      written by a newer raysweep, or not a sweep directory         (exit 2)
│   └── StoreCorrupt          checksums, ranges or chains do not fit
├── CheckpointError           a checkpoint is incomplete or does not match its hashes
│   └── NoRoom                it cannot be written: the file system is full or takes no writes
├── SweepFailed               trials failed and not one of the sweep succeeded           (exit 1)
├── ReportError               a trial reported something that cannot be recorded
├── AnswerError               a trial's process answered what no trial of it can have done
└── IllegalTransition         a trial was asked to make a move that its state does not allow

Every message says what was given, what is allowed and what to do.
"""

from __future__ import annotations


class RaysweepError(Exception):
    """The root: catch this to catch everything that raysweep raises on purpose."""


class SpecError(RaysweepError):
    """What the user handed us is wrong; raised before any resource is taken."""


class SpaceError(SpecError):
    """A parameter, a condition, a constraint or a config is wrong."""


class TrainableError(SpecError):
    """The training code cannot be found or imported, or has no shape that we can run."""


class ClusterError(RaysweepError):
    """Ray cannot be reached, or can never give what a trial asks for."""


class ClusterLost(ClusterError):
    """Ray was connected and answers no more; what was recorded is safe, the sweep resumable."""


class StoreError(RaysweepError):
    """The sweep directory cannot be read or written."""


class StoreBusy(StoreError):
    """Another driver holds the sweep directory."""


class StoreFenced(StoreError):
    """A newer driver has taken the sweep over; whatever this one knows is history."""


class StoreUnwritable(StoreError):
    """The disk has taken nothing for too long; what was recorded is safe, the sweep resumable."""


class StoreFormatError(StoreError):
    """The directory is no sweep, or was written by a newer raysweep."""


class StoreCorrupt(StoreError):
    """A checksum, a range or a chain in the sweep directory does not fit."""


class CheckpointError(RaysweepError):
    """A checkpoint is incomplete or does not match its own hashes."""


class NoRoom(CheckpointError):
    """A checkpoint cannot be written: its file system is full, out of quota, or takes no writes."""


class SweepFailed(RaysweepError):
    """Trials of the sweep failed, and not one has completed, paused or been stopped by its rule.

    Attributes:
        path: the sweep directory; `raysweep.read(path)` has the tables.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class ReportError(RaysweepError):
    """A trial reported something that cannot be recorded."""


class AnswerError(RaysweepError):
    """What a trial's process answered is no data of ours, or cannot be true."""


class IllegalTransition(RaysweepError):
    """A trial was asked to make a move that its state does not allow."""
