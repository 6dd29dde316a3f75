"""The seam between what proposes configs and everything else.

| call | when | told again on resume |
|---|---|---|
| `ask(trial, stream)` | a slot will need a config; may be far ahead of the trial's start | no |
| `suggested(trial, config)` | the proposal is in the journal: the trial is pending from here | yes |
| `tell(report)` | each report of a trial, once per step, in journal order | yes |
| `end(trial, outcome)` | the trial has ended for good | yes |

`ask` must not change what the searcher knows: a config that never reached the journal was never
proposed. Everything that a searcher learns comes through the three calls below it, so replaying
the journal rebuilds it without a refit; `state` and `load` only shorten the replay.
"""

from __future__ import annotations

from typing import Any, Protocol

from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId


class Searcher(Protocol):
    """What to try next."""

    def ask(self, trial: TrialId, stream: Stream) -> dict[str, Any] | None:
        """A config for `trial`, drawn from its own `stream`; None if there is nothing left."""
        ...

    def suggested(self, trial: TrialId, config: Config) -> None:
        """`trial` was given `config` and counts as pending from now on."""
        ...

    def tell(self, report: Report) -> None:
        """A trial reported a step."""
        ...

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial ended for good."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything learnt, as plain JSON data."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        ...
