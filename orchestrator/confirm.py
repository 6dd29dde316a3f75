"""Which configs are trained again on fresh seeds before a sweep closes.

Whoever is best of many has also been lucky: the value that selects a config is too good, the more
so the noisier values are (the winner's curse). Values of fresh seeds, which took no part in the
selection, are not. So the best configs are trained again when all trials have run their course,
each as new trials, *replicates*: a trial's seed is drawn by its id, so a new id is a fresh seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Reason
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Report, TrialId

RULE = "replicate"
"""The reason by which replicates start, and finish."""


class Confirm(NamedTuple):
    """The `top` best configs are trained again, `seeds` times each, up to `max_t`.

    Without `max_t`, a replicate runs as far as its original did.
    """

    top: int
    seeds: int
    max_t: int | None = None


class Leader(NamedTuple):
    """A trial that may be replicated: its best score, its config, and how far it has run."""

    score: float
    trial: TrialId
    config: dict[str, Any]
    steps: int


class Replicate(NamedTuple):
    """One more training of `leader`, the `rank`-th best config, to step `run_to`."""

    leader: Leader
    rank: int
    run_to: int


class Confirmation:
    """Keeps the best of the trials that have ended, and who has been replicated how often.

    Whatever became of a trial, its best report counts, as it does for `raysweep best`. Of several
    trials with the same config the best one stands for it.

    Args:
        asked: what the spec asks for; None: nothing.
    """

    def __init__(self, asked: Confirm | None) -> None:
        self._asked = asked
        self._ended: list[Leader] = []  # the best, no more than could be chosen
        self._made: dict[TrialId, int] = {}

    def ended(self, trial: LiveTrial) -> None:
        """A trial of the searcher's has ended."""
        if self._asked is not None:
            self._ended = _best([*self._ended, *_leader(trial)], self._asked.top)

    def owed(self, live: Iterable[LiveTrial]) -> Iterator[Replicate]:
        """The replicates that are missing, those of the best config first.

        Args:
            live: the trials that have not ended.
        """
        if self._asked is None:
            return
        top, seeds, max_t = self._asked
        found = [*self._ended, *(leader for trial in live for leader in _leader(trial))]
        for rank, leader in enumerate(_best(found, top), 1):
            for _ in range(seeds - self._made.get(leader.trial, 0)):
                yield Replicate(leader, rank, max_t or leader.steps)

    def made(self, original: TrialId) -> None:
        """One more replicate of `original` has been decided on."""
        self._made[original] = self._made.get(original, 0) + 1

    def state(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"ended": self._ended, "made": self._made}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._ended = [Leader(*leader) for leader in state["ended"]]
        self._made = dict(state["made"])


def to_the_end(report: Report, run_to: int) -> Decision:
    """What a replicate does next: nobody judges it before it has run as far as it was to."""
    return CONTINUE if report.step < run_to else Finish(Reason(RULE))


def _leader(trial: LiveTrial) -> Iterator[Leader]:
    """The trial, unless it has no finite value, or is made of another one."""
    made_of = trial.parent or trial.replicate_of
    if trial.best < WORST and made_of is None:
        yield Leader(trial.best, trial.id, trial.config, trial.told)


def _best(leaders: list[Leader], top: int) -> list[Leader]:
    """The `top` best of different configs, the best first."""
    best: list[Leader] = []
    for leader in sorted(leaders, key=lambda each: each[:2]):
        if len(best) < top and all(leader.config != other.config for other in best):
            best.append(leader)
    return best
