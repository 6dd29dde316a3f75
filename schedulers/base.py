"""The seam between what decides how far a trial runs and everything else.

| call | when | answer |
|---|---|---|
| `grant(trial, config)` | a new trial is about to start | the step to which it may run without asking |
| `on_report(report)` | each report, once per step, in journal order | `Continue` before the granted step; there `RunTo`, `Pause`, `Stop` or `Finish` |
| `next_paused(more)` | a slot is free; `more`: new trials may still come | whom to resume, to which step and why; None: nobody. What it names counts as resumed |
| `on_end(trial, outcome)` | a trial ended for good, by whatever cause | |

A rule that makes new trials out of running ones is a `Breeder`, which has two calls more.

A scheduler sees scores: lower is better, `goal.WORST` for what is missing or not finite, and
`WORST` never survives a rung. It draws nothing but from keyed streams and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from raysweep.trials.decisions import Decision, Reason
from raysweep.trials.trial import Config, Outcome, Report, TrialId


class Promotion(NamedTuple):
    """Let the paused `trial` run on to `step`."""

    trial: TrialId
    step: int
    reason: Reason


class Fork(NamedTuple):
    """A new trial with `config`, which goes on from the newest checkpoint of `parent`.

    `why` is what the rule says of its reasons, as plain data.
    """

    parent: TrialId
    config: Config
    why: Mapping[str, Any] = {}


class Scheduler(Protocol):
    """How far to let it run."""

    def grant(self, trial: TrialId, config: Config) -> int:
        """The first step at which `trial` must ask."""
        ...

    def on_report(self, report: Report) -> Decision:
        """What the trial should do after this report."""
        ...

    def next_paused(self, more: bool = True) -> Promotion | None:
        """The paused trial that deserves a free slot more than a new one does.

        Without `more`, nobody new will join, so nobody need wait to be compared with them.
        """
        ...

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """Forget a trial that ended; what it showed at rungs still counts."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything decided on, as plain JSON data."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        ...


@runtime_checkable
class Breeder(Scheduler, Protocol):
    """A scheduler whose trials have children: a trial keeps its config, a child has another."""

    def saved(self, trial: TrialId, step: int) -> None:
        """The newest checkpoint of `trial`, which has not ended, stands at `step`; 0: it has none."""
        ...

    def next_fork(self, trial: TrialId) -> Fork | None:
        """Whose child the new trial `trial` is to be; None: no child is due.

        The parent has not ended and has a checkpoint. A child that was named counts as made, and
        `grant` is asked for it as for any new trial.
        """
        ...
