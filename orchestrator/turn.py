"""One turn of the state machine: what it wants done, and what it decided, for the record."""

from __future__ import annotations

import math
from typing import NamedTuple

from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.trials.actions import Action
from raysweep.trials.decisions import Reason, Verdict
from raysweep.trials.goal import Goal


class Turn(NamedTuple):
    """The answer to one event. The verdicts are journalled with the event, then the actions run."""

    actions: list[Action]
    verdicts: list[Verdict]


DURABLE = frozenset({"pause", "stop"})
"""Verbs that must be on disk before they take effect: what they end in memory cannot be had again
(a trial that finishes, or is tried again, loses nothing that a power cut could not also take)."""


def verdict(
    goal: Goal, trial: LiveTrial, verb: str, why: Reason, step: int, to_step: int | None = None
) -> Verdict:
    """A decision in the metric's own direction, as `explain` shows it."""
    value = None if why.score is None else goal.value(why.score)
    return Verdict(
        trial.id,
        trial.attempt,
        step,
        verb,
        why.rule,
        to_step,
        why.rung,
        None if value is None or math.isnan(value) else value,
        None if why.cutoff is None else goal.value(why.cutoff),
        why.rank,
        why.peers,
        why.model,
    )
