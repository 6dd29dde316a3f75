"""The one door to a terminal: shows control characters escaped, and outlives the terminal."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from raysweep.orchestrator.wording import CONTROL, escaped


class Terminal(Console):
    """A console for text of specs, trials and file names: no markup, and nothing that steers it.

    Args:
        stderr: write to standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        stream: Any = _Lasting(sys.stderr if stderr else sys.stdout)
        super().__init__(file=stream, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Plain text; escaped before it is laid out, so that a cell is as wide as what it shows."""
        return super().render_str(escaped(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of `renderable`; what rich itself steers the terminal with stays as it is."""
        for segment in super().render(renderable, options):
            if segment.control or not CONTROL.search(segment.text):
                yield segment
            else:
                yield Segment(escaped(segment.text), segment.style)


class _Lasting:
    """A text stream that a terminal's end turns into one that writes nowhere.

    A sweep that the end of its terminal (SIGHUP) brings to rest has its exit code from the sweep,
    not from what could not be shown any more.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, with what the stream's encoding lacks escaped."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            known = self._stream.encoding
            return self._stream.write(text.encode(known, "backslashreplace").decode(known))
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flush, if there is anything left to flush to."""
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if error.errno != errno.EIO:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
