"""What training code prints, kept beside the sweep: one file per attempt, made when it is needed."""

from __future__ import annotations

import io
from pathlib import Path

FOLDER = "logs"


class TrialLog(io.TextIOBase):
    """A text stream whose file can be changed; stands in for `sys.stdout` and `sys.stderr`.

    A trial that prints nothing costs no file. A file that cannot be written takes nothing, as
    training must not end for want of a log.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: io.TextIOWrapper | None = None

    def aim(self, path: Path | None) -> None:
        """Close the last file; from now on write to `path`, None: nowhere."""
        if self._file is not None:
            self._file.close()
        self._path, self._file = path, None

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Append `text` to the file."""
        try:
            if file := self._opened():
                file.write(text)
        except OSError:
            self._path, self._file = None, None
        return len(text)

    def fileno(self) -> int:
        """The file's descriptor, for child processes that are given this stream.

        Raises:
            OSError: there is no file.
        """
        file = self._opened()
        if file is None:
            raise io.UnsupportedOperation("no trial is running, so there is no log")
        return file.fileno()

    def _opened(self) -> io.TextIOWrapper | None:
        if self._file is None and self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", buffering=1, encoding="utf-8", errors="replace")
        return self._file
