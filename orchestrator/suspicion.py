"""Notices when a sweep cannot succeed, before it has spent its budget on finding out."""

from __future__ import annotations

import re
from typing import Any

from raysweep.orchestrator.advice import PATIENCE

_ALIKE = 5
"""If the first so many trials to end all fail alike and none gets further, it is a bug, not a config."""
_DETAILS = re.compile(
    r"0x[0-9a-fA-F]+|\bt\d{6,}\b|[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|(?:/[^\s'\",:]*)+"
)
_PLACE = re.compile(r'File "([^"]+)", line (\d+)')


def kind_of(error: str, message: str, traceback: str) -> str:
    """The same for failures alike: class, place in the code, and the message without its details.

    Numbers, addresses, trial ids and paths differ from trial to trial.
    """
    places = _PLACE.findall(traceback)
    place = ":".join(places[-1]) if places else ""
    return f"{error}|{place}|{_DETAILS.sub('#', message)[:500]}"


class Suspicion:
    """Each method that returns text says why the sweep should come to rest; "" if it need not."""

    def __init__(self) -> None:
        self._failed_suggestions = 0
        self._kind, self._count, self._step = "", 0, 0
        self._cleared = False

    def opened(self) -> None:
        """A new driver: the code may have been mended, or broken, since the last one."""
        self._kind, self._count, self._step = "", 0, 0
        self._cleared = False

    def suggested(self) -> None:
        """The searcher has suggested a config."""
        self._failed_suggestions = 0

    def succeeded(self) -> None:
        """A trial has completed, paused, or was stopped by its rule: the code works."""
        self._cleared = True

    def suggestion_failed(self, message: str) -> str:
        """The searcher raised, or left the space."""
        self._failed_suggestions += 1
        if self._failed_suggestions < PATIENCE:
            return ""
        return f"the searcher failed {PATIENCE} times in a row: {message}"

    def trial_failed(self, kind: str, step: int, message: str, furthest: int) -> str:
        """A trial failed for good.

        Args:
            kind: as of `kind_of`.
            step: the last that it had reported.
            message: of its failure.
            furthest: the last step of any trial that has not ended.
        """
        if self._cleared:
            return ""
        if self._count and kind != self._kind:
            self._cleared = True
            return ""
        self._kind, self._count, self._step = kind, self._count + 1, max(self._step, step)
        if self._count < _ALIKE or furthest > self._step:
            return ""
        how = "before a single report" if not self._step else f"none got beyond step {self._step}"
        return f"the first {self._count} trials all failed alike, {how}: {message}"

    def state(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "suggestions": self._failed_suggestions,
            "kind": self._kind,
            "count": self._count,
            "step": self._step,
            "cleared": self._cleared,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._failed_suggestions = state["suggestions"]
        self._kind, self._count = state.get("kind", ""), state.get("count", 0)
        self._step, self._cleared = state.get("step", 0), state.get("cleared", True)
