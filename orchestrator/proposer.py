"""Asks the searcher for configs and turns whatever comes back into an event."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from raysweep.orchestrator.answers import said, shown
from raysweep.searchers.base import LATER, Proposal, Searcher
from raysweep.trials.errors import SpaceError
from raysweep.trials.events import Deferred, Event, Exhausted, Suggested, SuggestFailed
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, TrialId

_ALLOWED = "it may answer a config, a Proposal with a config and a why, LATER, or None"
_PLAIN = frozenset({int, float, str, bool, type(None)})


class Proposer:
    """The only caller of `Searcher.ask`.

    Args:
        searcher: asked with a stream keyed by the trial, so that its answer to trial 17 does not
            hang on what was asked before.
        check: raises SpaceError for a config outside the space.
        seed: the sweep's.
    """

    def __init__(self, searcher: Searcher, check: Callable[[Config], None], seed: int) -> None:
        self._searcher, self._check, self._seed = searcher, check, seed

    def __call__(self, trial: TrialId, at: float) -> Event:
        """`Suggested`, `Exhausted`, `Deferred`, or `SuggestFailed` for whatever the searcher did wrong."""
        try:
            answer = self._searcher.ask(trial, Stream(self._seed, trial, "ask"))
            if answer is None:
                return Exhausted(at)
            if answer is LATER:
                return Deferred(at, trial)
            config, why, _ = answer if isinstance(answer, Proposal) else Proposal(answer)
            if not (isinstance(config, Mapping) and isinstance(why, Mapping)):
                return SuggestFailed(
                    at, trial, f"the searcher answered {shown(answer)}; {_ALLOWED}"
                )
            config, why = dict(config), dict(why)  # a searcher may go on writing to its own
            self._check(config)
            if why:
                json.dumps(why, allow_nan=False)
            if not _PLAIN.issuperset(map(type, config.values())):
                json.dumps(config)  # a numpy scalar equals an option, but no journal can carry it
        except SpaceError as error:
            return SuggestFailed(at, trial, f"the searcher left the space: {error}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also exit() in a user's code
            return SuggestFailed(at, trial, f"the searcher raised {said(error)}")
        return Suggested(at, trial, config, why)
