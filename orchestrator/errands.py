"""What a driver does beside its record: showing events, writing files, deleting checkpoints.

Whatever goes wrong with one of these costs a warning and never the sweep: this is the one place
where the driver catches what it does not know.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from raysweep.orchestrator.own_files import write_text
from raysweep.trainables.checkpoint import delete_checkpoint
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import RaysweepError
from raysweep.trials.events import Event, Failed, Undeleted, Unsaved, Warned

_LOG = logging.getLogger(__name__)
_AGAIN_S = 60.0
"""How often what could not be deleted is tried again."""
_MOST_LEFT = 10_000
"""So many checkpoints that could not be deleted are tried again while the driver runs."""


class Errands:
    """Runs errands for a loop, and collects what must be told of them.

    Args:
        sweep: the sweep directory.
        observe: is shown every event and every warning.
        age: the sweep's age in seconds.
    """

    def __init__(
        self,
        sweep: Path,
        observe: Callable[[Event, Sequence[Verdict]], None],
        age: Callable[[], float],
    ) -> None:
        self._sweep, self._observe, self._age = sweep, observe, age
        self._recorded: list[tuple[Event, Sequence[Verdict]]] = []
        self._news: list[Event] = []
        self._shown: set[str] = set()
        self._seen: Counter[str] = Counter()
        self._left: dict[str, None] = {}
        self._again_at = 0.0

    def observed(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """Keep an event until it is on record: what is shown or written of it comes later."""
        self._recorded.append((event, verdicts))

    def drop(self, path: str) -> None:
        """Delete a checkpoint; what cannot be deleted stays, and is tried again."""
        try:
            delete_checkpoint(self._sweep, path)
        except (OSError, RaysweepError) as error:
            if path not in self._left and len(self._left) < _MOST_LEFT:
                self._left[path] = None
                self._again_at = self._again_at or self._age() + _AGAIN_S
            self._news.append(Undeleted(0.0, path, str(error)))
            self._count(
                "checkpoints left over",
                f"{path} cannot be deleted ({error}); it stays, and is tried again every "
                f"{_AGAIN_S:.0f} s and at the next resume",
            )
        else:
            self._left.pop(path, None)

    def say(self, message: str) -> None:
        """Warn at once, although nothing can be recorded at present."""
        self._shown.add(message)
        self._news.append(Warned(0.0, "storage", message))
        warned = Warned(self._age(), "storage", message)
        self._attempt("showing events", partial(self._observe, warned, ()))

    def news(self, at: float) -> list[Event]:
        """What is to be recorded by now, stamped with `at`; called when a turn is on record.

        Does what is due: shows events, writes files, tries again to delete.
        """
        self._tell()
        if self._left and at >= self._again_at:
            self._again_at = at + _AGAIN_S
            self._retry()
        news, self._news = self._news, []
        return [event._replace(at=at) for event in news]

    def finish(self) -> None:
        """The last turn is on record: the last showing, and the last try to delete."""
        self._tell()
        self._retry()
        for event in self._news:
            if isinstance(event, Warned) and event.message not in self._shown:
                _LOG.warning("%s: %s", self._sweep, event.message)

    def _tell(self) -> None:
        recorded, self._recorded = self._recorded, []
        for event, verdicts in recorded:
            self._attempt("writing errors/", partial(self._write, event))
            if isinstance(event, Warned) and event.message in self._shown:
                self._shown.discard(event.message)  # it could not wait until it was on record
            else:
                self._attempt("showing events", partial(self._observe, event, verdicts))

    def _write(self, event: Event) -> None:
        if isinstance(event, Failed):
            text = f"{event.error}: {event.message}\n\n{event.traceback}\n"
            write_text(self._sweep, "errors", f"{event.trial}-{event.attempt}.txt", text)
        elif isinstance(event, Unsaved):
            what = f"{event.trial} trains on without a checkpoint of step {event.step}"
            self._count("checkpoints left out", f"{what}: {event.message}")

    def _retry(self) -> None:
        for path in list(self._left):
            with contextlib.suppress(OSError, RaysweepError):  # it was told
                delete_checkpoint(self._sweep, path)
                del self._left[path]

    def _attempt(self, what: str, errand: Callable[[], None]) -> None:
        try:
            errand()
        except Exception as error:
            _LOG.debug("%s", what, exc_info=True)
            self._count(what, f"{what} failed: {type(error).__name__}: {error}; the sweep goes on")

    def _count(self, kind: str, message: str) -> None:
        """Warn of the first of a kind, the 10th, the 100th, and so on."""
        self._seen[kind] += 1
        times = self._seen[kind]
        if times == 10 ** (len(str(times)) - 1):
            so_far = "" if times == 1 else f" ({times:,} times so far)"
            self._news.append(Warned(0.0, "storage", message[:1_000] + so_far))
