"""What training code prints, kept beside the sweep: one file per attempt, of a bounded size.

Standard library only: `slot_guard`, which runs as a script, cuts files by it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import TextIO

FOLDER = "logs"
CEILING_BYTES = 16 << 20
"""A log that is longer than this is cut: its beginning and its newest end stay."""
HEAD_BYTES, TAIL_BYTES = 8 << 20, 1 << 20
_CUT = b"\n... output was left out here: a log holds %d MiB of what a trial prints ...\n"


class TrialLog:
    """Text streams whose file can be changed, for `sys.stdout` and `sys.stderr`.

    A trial that prints nothing leaves no file. Output that cannot be written is lost, as training
    must not end for want of a log.

    Args:
        of_process: make the log the standard output and error of the whole process while it is
            aimed at a file: child processes and native code write there too. Otherwise the
            streams have a descriptor of their own, and `redirected` puts them in place.

    Attributes:
        out: the stream of standard output.
        err: the stream of standard error.
    """

    def __init__(self, of_process: bool = False) -> None:
        self._of_process = of_process
        self._descriptors = (1, 2) if of_process else (os.open(os.devnull, os.O_WRONLY),)
        self._idle = [os.dup(descriptor) for descriptor in self._descriptors]
        self._before: tuple[TextIO, TextIO] | None = None
        self._path: Path | None = None
        self.out: TextIO = _stream(self._descriptors[0], "<stdout>")
        self.err: TextIO = _stream(self._descriptors[-1], "<stderr>")

    def aim(self, path: Path | None) -> None:
        """Close the last file; from now on write to `path`, None: nowhere."""
        for stream in (self.out, self.err, *(self._before or ())):
            with contextlib.suppress(OSError, ValueError):  # training code may have closed it
                stream.flush()
        self._leave()
        if path is None:
            return
        self.out = _renewed(self.out, self._descriptors[0], "<stdout>")
        self.err = _renewed(self.err, self._descriptors[-1], "<stderr>")
        with contextlib.suppress(OSError):
            file = _opened(path)
            self._path = path
            self._lead(file, *[file] * len(self._idle))
        if self._of_process:
            self._before = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = self.out, self.err

    @contextlib.contextmanager
    def redirected(self) -> Iterator[None]:
        """Within this context `sys.stdout` and `sys.stderr` are these streams."""
        if self._of_process:  # `aim` did it; training code may have put others in their place
            yield
            return
        with contextlib.redirect_stdout(self.out), contextlib.redirect_stderr(self.err):
            yield

    def _leave(self) -> None:
        if self._before is not None:
            sys.stdout, sys.stderr = self._before
            self._before = None
        path, self._path = self._path, None
        if path is None:
            return
        self._lead(None, *self._idle)
        tidy(path)

    def _lead(self, close: int | None, *targets: int) -> None:
        for descriptor, target in zip(self._descriptors, targets, strict=True):
            os.dup2(target, descriptor, inheritable=self._of_process)
        if close is not None:
            os.close(close)


def tidy(path: Path) -> None:
    """Bound the log of a trial that has ended, and remove it if nothing was printed."""
    with contextlib.suppress(OSError):
        size = path.lstat().st_size
        if size == 0:
            path.unlink()
        elif size > CEILING_BYTES:
            cut(path)


def cut(path: Path) -> None:
    """Shorten a log that is too long to its beginning and its newest end, with a word between.

    What is written meanwhile is lost or stays; whoever has the file open for appending goes on.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        size = os.fstat(descriptor).st_size
        if size > CEILING_BYTES:
            tail = os.pread(descriptor, TAIL_BYTES, size - TAIL_BYTES)
            os.ftruncate(descriptor, HEAD_BYTES)
            os.write(descriptor, _CUT % (CEILING_BYTES >> 20) + tail)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)


class _Lossy(io.FileIO):
    """A file whose writes cannot fail."""

    def write(self, data: object) -> int:
        """Write what can be written; the rest is lost."""
        try:
            return super().write(data)  # type: ignore[arg-type]  # any buffer, as of FileIO
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def _stream(descriptor: int, name: str) -> TextIO:
    raw = _Lossy(descriptor, "wb", closefd=False)
    raw.name = name
    text = io.TextIOWrapper(
        io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True
    )
    text.mode = "w"  # type: ignore[misc]  # as `open` sets it
    return text


_settings = attrgetter("encoding", "errors", "line_buffering", "write_through", "closed")
_SETTINGS = ("utf-8", "backslashreplace", True, False, False)


def _renewed(stream: TextIO, descriptor: int, name: str) -> TextIO:
    """The same stream as it was made: references to it stay good from one trial to the next."""
    assert isinstance(stream, io.TextIOWrapper)
    try:
        if _settings(stream) == _SETTINGS:
            return stream
        stream.reconfigure(
            encoding="utf-8", errors="backslashreplace", newline=None, line_buffering=True,
            write_through=False,
        )  # fmt: skip
    except ValueError:  # training code has closed or detached it
        return _stream(descriptor, name)
    return stream
