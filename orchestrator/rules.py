"""What a sweep goes by: its spec in the terms of the state machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.confirm import Confirm
from raysweep.orchestrator.retries import DEFAULT_RETRIES
from raysweep.orchestrator.shares import Shares
from raysweep.trials.goal import Goal

ALGORITHM_ERRORS = 4
"""The exit code of a sweep that ran to its end although its searcher or scheduler raised."""


class Keep(NamedTuple):
    """How many checkpoints of a trial stay, the newest ones; whether trials that were stopped or
    failed keep theirs once they have ended; and how many of the best ones stay beside them."""

    newest: int = 1
    stopped: bool = False
    best: int = 0


class Rules(NamedTuple):
    """Goal, limits and patience of a sweep.

    `gpu` is the fraction that a trial holds, or that the smallest slot has where `shares` grow; `stalled_s` how long the sweep waits for a first
    slot; `drain_s` how long running trials get to write a checkpoint when it comes to rest.
    """

    goal: Goal
    budget: Budget = Budget()
    retries: Mapping[str, int] = DEFAULT_RETRIES
    gpu: float = 0.0
    shares: Shares = Shares()
    seed: int = 0
    keep: Keep = Keep()
    confirm: Confirm | None = None
    max_failed_share: float = 0.5
    stalled_s: float = 600.0
    drain_s: float = 15.0

    def judge(self, failed: int, made: int, warnings: Mapping[str, str]) -> tuple[str, int]:
        """Reason and exit code of a sweep whose trials have all run their course.

        Args:
            failed: how many trials failed.
            made: how many there were.
            warnings: the newest of this driver, by source.
        """
        what = f"all {made} trials have run their course"
        if failed > self.max_failed_share * made:
            return f"{what}, but {failed} of {made} failed", 1
        for source in ("searcher", "scheduler"):
            if source in warnings:
                return f"{what}, but the {source} failed: {warnings[source]}", ALGORITHM_ERRORS
        return what, 0


class Draining(NamedTuple):
    """The sweep is coming to rest: why, with which exit code, and by when at the latest."""

    reason: str
    exit_code: int
    deadline: float
