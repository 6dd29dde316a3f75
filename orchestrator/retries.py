"""Which failures are tried again, after how long, and at whose expense."""

from __future__ import annotations

from collections.abc import Mapping

from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.trials.events import ErrorClass

_FIRST_S, _LONGEST_S = 1.0, 300.0

DEFAULT_RETRIES: dict[str, int] = {
    ErrorClass.INFRA: 5,
    ErrorClass.ERROR: 0,
    ErrorClass.CRASH: 1,
    ErrorClass.OOM: 1,
    ErrorClass.STUCK: 0,
    ErrorClass.CHECKPOINT: 1,
}
"""How often a trial is tried again, by the class of its failure. A bad report never is."""
_FULL_DISKS = 10
_LONGEST_FULL_S = 60.0


def retry_delay_s(trial: LiveTrial, error: str, retries: Mapping[str, int]) -> float | None:
    """Charge one failure of class `error` to `trial`.

    Infrastructure losses are forgiven as soon as the trial gets on: `trial.charged["infra"]` is
    reset by its next new checkpoint or step, so only a trial that never progresses runs out. The
    death of the driver is nobody's fault. Nor is a full disk: that costs no retries, and only a
    trial that meets one ten times on end, without a checkpoint between, over some four minutes,
    has failed.

    Returns:
        Seconds to wait before the next attempt (0, then 1 s doubling up to 5 min), or None if the
        trial has used up its retries of this class.
    """
    if error == ErrorClass.DRIVER:
        return 0.0
    count = trial.charged.get(error, 0)
    if error == ErrorClass.STORAGE:
        trial.charged[error] = count + 1
        return min(_LONGEST_FULL_S, _FIRST_S * 2.0**count) if count < _FULL_DISKS else None
    if count >= retries.get(error, 0):
        return None
    trial.charged[error] = count + 1
    return 0.0 if count == 0 else min(_LONGEST_S, _FIRST_S * 2.0 ** (count - 1))


def forgive(trial: LiveTrial) -> None:
    """The trial got further than ever: losses of nodes so far count no more."""
    if trial.charged:
        trial.charged.pop(ErrorClass.INFRA, None)


def has_room(trial: LiveTrial) -> None:
    """The trial has written a checkpoint: full disks that it met so far count no more."""
    if trial.charged:
        trial.charged.pop(ErrorClass.STORAGE, None)
