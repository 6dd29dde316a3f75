"""What SIGINT, SIGTERM and SIGHUP do to a command while no sweep is there to hear them.

The command line takes the signals before it imports anything that takes time. Until a sweep takes
them over (`orchestrator/requests.py`) nothing is on disk and no process was started, so a command
says one line and is gone; an exception would surface in whatever is being imported just then.
"""

from __future__ import annotations

import atexit
import os
import signal

TYPE_CHECKING = False  # typing and pathlib would double the time until signals are taken
if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

RESUMABLE = 75
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Command:
    """What the command of this process is about.

    Attributes:
        sweep: the directory of the sweep that it drives; it may not be there yet.
        code: the exit code of that sweep once it has come to rest.
    """

    sweep: Path | None = None
    code: int | None = None


_command = _Command()


def take() -> None:
    """Leave by one line at the first signal from now on; what the caller has ignored stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    atexit.register(_done)


def _done() -> None:
    """The exit code stands: the interpreter would put back what kills, while it clears itself."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def drives(sweep: Path) -> None:
    """The command drives the sweep at this path, which may not be there yet."""
    _command.sweep, _command.code = sweep, None


def came_to_rest(code: int) -> None:
    """The sweep has closed: nothing that happens now changes the exit code."""
    _command.code = code


def outcome(number: int = signal.SIGINT) -> tuple[int, str]:
    """The exit code of a command that a signal ends at once, and what it says of that."""
    said, sweep = f"interrupted by {signal.Signals(number).name}", _command.sweep
    if _command.code is not None:
        return _command.code, f"{said} after the sweep had come to rest"
    if sweep is None:
        return 128 + number, said
    if not (sweep / "SWEEP.json").is_file():
        return 128 + number, f"{said} before the sweep began"
    what = f"what was recorded is safe: `raysweep resume {sweep}` goes on"
    return RESUMABLE, f"{said} at once; {what}"


def _leave(number: int, frame: FrameType | None) -> None:
    """Say one line and end, without unwinding what was in progress."""
    try:  # imports nothing: whatever is being imported just now is half there
        code, said = outcome(number)
        line = "".join(c if c.isprintable() else " " for c in said)
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))
    except OSError:  # nothing reads it any more
        os._exit(code)
    os._exit(code)
