"""A searcher that proposes nothing more once somebody says that the sweep has seen enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raysweep.searchers.base import Answer, Searcher
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId


class StoppableSearcher:
    """`inner`, until `stopping` holds.

    Args:
        inner: proposes and learns.
        stopping: asked before each proposal; must answer by what the journal says, or a resumed
            sweep does not stop where the first one did.
    """

    def __init__(self, inner: Searcher, stopping: Callable[[], bool]) -> None:
        self.inner, self._stopping = inner, stopping

    def ask(self, trial: TrialId, stream: Stream) -> Answer:
        """What the inner one proposes; None once the sweep is to stop."""
        return None if self._stopping() else self.inner.ask(trial, stream)

    def suggested(self, trial: TrialId, config: Config) -> None:
        """Passed on."""
        self.inner.suggested(trial, config)

    def tell(self, report: Report) -> None:
        """Passed on."""
        self.inner.tell(report)

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """Passed on."""
        self.inner.end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """The inner one's; it knows nothing of its own."""
        return self.inner.state()

    def load(self, state: dict[str, Any]) -> None:
        """Passed on."""
        self.inner.load(state)
