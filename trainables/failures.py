"""Turns what the training code raised into an event: type, message and traceback as text."""

from __future__ import annotations

import traceback

from raysweep.trainables.folder_imports import LOCAL
from raysweep.trials.errors import CheckpointError, NoRoom, RaysweepError, ReportError
from raysweep.trials.events import ErrorClass, Failed
from raysweep.trials.filesystems import is_full
from raysweep.trials.trial import TrialId

MESSAGE_CHARS = 2_000
TRACEBACK_CHARS = 20_000
TERMINATED = (
    "the trial's process was told to end (SIGTERM), as when its node shuts down or is preempted"
)


def failed(trial: TrialId, attempt: int, error: BaseException, terminated: bool = False) -> Failed:
    """The failure of an attempt; no text in it is longer than the journal should carry.

    Args:
        trial: whose.
        attempt: which.
        error: what was raised.
        terminated: the process was told to end: whatever was raised then is not the code's fault.
    """
    if terminated:
        text = shortened(_traceback(error), TRACEBACK_CHARS)
        return Failed(0.0, trial, attempt, ErrorClass.INFRA.value, TERMINATED, text)
    return Failed(
        0.0,
        trial,
        attempt,
        error_class(error).value,
        shortened(_message(error)),
        shortened(_traceback(error), TRACEBACK_CHARS),
    )


def forget(error: BaseException) -> None:
    """Let go of what the frames of a traceback hold: the trial's tensors, files and processes."""
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and one.__traceback__ is not None:
            traceback.clear_frames(one.__traceback__)
            one.__traceback__ = None
            left += [one.__cause__, one.__context__]


def error_class(error: BaseException) -> ErrorClass:
    """What kind of failure an exception is; no memory and no space show through their wrappers."""
    cause: BaseException | None = error
    while cause is not None:
        if _is_out_of_memory(cause):
            return ErrorClass.OOM
        cause = cause.__cause__
    if isinstance(error, NoRoom) or is_full(error):
        return ErrorClass.STORAGE
    if isinstance(error, ReportError):
        return ErrorClass.REPORT
    if isinstance(error, CheckpointError):
        return ErrorClass.CHECKPOINT
    return ErrorClass.ERROR


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "CUDA out of memory" in _text(error)


def _message(error: BaseException) -> str:
    """The exception's own words; those of raysweep's errors need no type in front of them."""
    text = _text(error)
    if isinstance(error, ImportError | AttributeError):
        text += LOCAL.sentence()
    if isinstance(error, RaysweepError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its message cannot be shown: __str__ raised)"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return "".join(traceback.format_tb(error.__traceback__))


def shortened(text: str, chars: int = MESSAGE_CHARS) -> str:
    """At most `chars` characters: the beginning and the end, which say most."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= chars:
        return text
    cut = f"\n... {len(text) - chars:,} characters left out ...\n"
    head = (chars - len(cut)) // 3
    return text[:head] + cut + text[head + len(cut) - chars :]
