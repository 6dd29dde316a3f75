"""Requests to stop a running sweep: signals, and the file that `raysweep stop` leaves."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from raysweep.orchestrator.interrupts import SIGNALS
from raysweep.orchestrator.own_files import take
from raysweep.trials.errors import StoreError, StoreFormatError

_FILE = "stop.request"
_LOOK_EVERY_S = 0.5


def request_stop(path: Path) -> None:
    """Ask the driver of the sweep at `path`, wherever it runs, to checkpoint and come to rest.

    Raises:
        StoreFormatError: there is no sweep at `path`.
        StoreError: the request cannot be written.
    """
    if not (path / "SWEEP.json").is_file():
        raise StoreFormatError(
            f"{path} is not a sweep directory: name one that `raysweep ls` lists"
        )
    file = path / _FILE
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644))
    except OSError as error:
        raise StoreError(
            f"{file} cannot be written ({error.strerror}): remove what stands there, or send the "
            "driver SIGTERM"
        ) from None


class StopRequests:
    """Heard by the loop once per turn; looks for the file twice a second.

    As a context manager it also handles SIGINT, SIGTERM and SIGHUP (unless that is ignored, as under
    nohup): the first asks the sweep to come to
    rest, the second interrupts it at once. It stays resumable either way. A first signal that
    comes while Ray starts is kept until the loop can hear it: an exception inside `ray.init` may
    take the process down, and would leave nothing to resume.
    """

    def __init__(self, path: Path) -> None:
        self._sweep = path
        self._asked()  # meant for an earlier driver
        self._signal = ""
        self._look_at = 0.0
        self._before: dict[int, Any] = {}

    def __call__(self, at: float) -> str:
        """Who asked since the last call, "" for nobody; `at` is the sweep's age in seconds."""
        cause, self._signal = self._signal, ""
        if at >= self._look_at:
            self._look_at = at + _LOOK_EVERY_S
            if self._asked():
                cause = cause or "raysweep stop"
        return cause

    def _asked(self) -> bool:
        """Take the request away, if there is one; what a trial has put in its place is none."""
        with contextlib.suppress(OSError):
            return take(self._sweep, _FILE)
        return False

    def __enter__(self) -> StopRequests:
        for number in SIGNALS:
            before = signal.getsignal(number)
            if number != signal.SIGHUP or before is not signal.SIG_IGN:
                self._before[number] = before
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals, again if somebody has put another handler; not after the first one."""
        if not self._signal:
            for number in self._before:
                signal.signal(number, self._caught)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        for each in self._before:
            signal.signal(each, signal.default_int_handler)  # the second one is not waited for
        self._signal = signal.Signals(number).name
