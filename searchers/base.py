"""The seam between what proposes configs and everything else.

| call | when | told again on resume |
|---|---|---|
| `ask(trial, stream)` | a slot will need a config; may be far ahead of the trial's start. None: nothing is left; `LATER`: ask again when a trial has reported or ended | no |
| `suggested(trial, config)` | the proposal is in the journal: the trial is pending from here | yes |
| `tell(report)` | each report of a trial, once per step, in journal order | yes |
| `end(trial, outcome)` | the trial has ended for good | yes |

A proposal is a config, or a `Proposal` where the searcher can say why.

`ask` must not change what the searcher knows: a config that never reached the journal was never
proposed. Everything that a searcher learns comes through the three calls below it, so replaying
the journal rebuilds it without a refit; `state` and `load` only shorten the replay.

Calls never overlap, but a searcher that learns is called in a thread of its own, and may be told of
other trials between `ask` and `suggested`. One that cannot stand this has the attribute
`in_turn = True`: it is asked between one event and the next, and the sweep waits for it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Literal, NamedTuple, Protocol

from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId


class Later(Enum):
    """The type of `LATER`."""

    LATER = "later"


LATER: Final = Later.LATER
"""The answer of a searcher that must learn from the trials under way before it proposes more."""


class Proposal(NamedTuple):
    """A config and the reasons for it.

    `why` is plain data, recorded with the suggestion: `model` names who proposes; `acquisition`
    and `value` what it maximised and to what, `parents` trials it starts from, `n` of how many
    results it knew, `note` a remark, each where there is one. `repeat`: that the config has been
    tried before is intended.
    """

    config: dict[str, Any]
    why: dict[str, Any] = {}  # noqa: RUF012 - never written to
    repeat: bool = False


Answer = dict[str, Any] | Proposal | Literal[Later.LATER] | None
"""What `ask` may answer."""


class Searcher(Protocol):
    """What to try next."""

    def ask(self, trial: TrialId, stream: Stream) -> Answer:
        """A config for `trial`, drawn from its own `stream`; `LATER`; None: nothing is left."""
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
