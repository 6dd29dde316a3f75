"""Notices when a sweep cannot succeed, before it has spent its budget on finding out."""

from __future__ import annotations

from typing import Any

_PATIENCE = 10
"""Failed suggestions in a row after which the sweep gives up on its searcher."""
_ALIKE = 5
"""If the first so many trials all fail alike without one report, it is a bug, not a config."""


class Suspicion:
    """Each method returns, in words, why the sweep should come to rest; "" if it need not."""

    def __init__(self) -> None:
        self._failed_suggestions = 0
        self._first_failures: list[str] | None = []  # None: a trial has reported: the code works

    def works(self, what: str) -> None:
        """The "searcher" has suggested a config, or the "code" has reported a step."""
        if what == "code":
            self._first_failures = None
        else:
            self._failed_suggestions = 0

    def suggestion_failed(self, message: str) -> str:
        """The searcher raised, or left the space."""
        self._failed_suggestions += 1
        if self._failed_suggestions < _PATIENCE:
            return ""
        return f"the searcher failed {_PATIENCE} times in a row: {message}"

    def trial_failed(self, message: str) -> str:
        """A trial failed for good."""
        if self._first_failures is None:
            return ""
        self._first_failures.append(message)
        if len(self._first_failures) < _ALIKE or len(set(self._first_failures)) > 1:
            return ""
        return f"the first {_ALIKE} trials all failed alike, before a single report: {message}"

    def state(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"suggestions": self._failed_suggestions, "first_failures": self._first_failures}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._failed_suggestions = state["suggestions"]
        self._first_failures = state["first_failures"]
