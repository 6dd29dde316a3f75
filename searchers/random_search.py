"""Independent draws from the space: the baseline that every other searcher has to beat.

Bergstra & Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13 (2012).
"""

from __future__ import annotations

import json
from typing import Any

from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId
from raysweep.trials.values import plain

_SMALL = 10_000
_REDRAWS = 20


class RandomSearch:
    """Draws each trial's config from that trial's own stream, so it depends on nothing else.

    In a finite space of up to 10,000 configs a draw that is already a trial is redrawn up to 20
    times, so exact duplicates are rare while most of the space is untried. It never runs out:
    when everything has been tried, it repeats; a sweep that should end there wants grid.

    Args:
        space: what to draw from.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._small = space.size is not None and space.size <= _SMALL
        self._seen: set[str] = set()

    def ask(self, trial: TrialId, stream: Stream) -> dict[str, Any] | None:
        """A config drawn from `stream`; never None."""
        config = self._space.sample(stream)
        if self._small and self._seen:
            for _ in range(_REDRAWS):
                if _identity(config) not in self._seen:
                    break
                config = self._space.sample(stream)
        return config

    def suggested(self, trial: TrialId, config: Config) -> None:
        """Remember `config` if the space is small."""
        if self._small:
            self._seen.add(_identity(config))

    def tell(self, report: Report) -> None:
        """Nothing is learnt from reports."""

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """Nothing is learnt from ends."""

    def state(self) -> dict[str, Any]:
        """What has been tried in a small space; nothing in any other."""
        return {"seen": sorted(self._seen)}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._seen = set(state["seen"])


def _identity(config: Config) -> str:
    return json.dumps(plain(dict(config)), sort_keys=True)
