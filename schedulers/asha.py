"""ASHA, the asynchronous successive halving algorithm, in both its forms.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar: "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020, arXiv:1810.05934.

    promotion   Algorithm 2: a trial pauses at its rung and goes on once it is among
                the best ⌊n/η⌋ of the n trials there; a free slot takes the promotable trial of the
                highest rung, and starts a new trial only if there is none.
    stopping    the form that most implementations ship: a trial goes on at once if it is among
                the best max(1, ⌊n/η⌋) that have reached the rung so far, and is stopped for good
                otherwise. It needs no checkpoints and forgives less.

Without a max_t the rungs go on without end (section 3.3, the infinite horizon): g, gη, gη² … up to
`UNBOUNDED`, which no trial reaches. The promotion form ends all the same, since ⌊n/η⌋ is 0 at some
rung; the stopping form lets its first trial run until its training code ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

from raysweep.schedulers.base import Promotion
from raysweep.schedulers.ladder import Ladder
from raysweep.schedulers.rungs import Rung, reason
from raysweep.trials.decisions import Decision, Pause, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, TrialId

_Entry = tuple[float, int, TrialId]
"""Of a trial that waits: its score, its order of arrival at the rung, its id."""


class _Ranked(Ladder):
    """A ladder whose rungs rank by score.

    Args:
        max_t, grace_period, reduction_factor, steps: as of `Ladder`.
        rule: what reasons call it.
    """

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        reduction_factor: int = 3,
        *,
        steps: Sequence[int] | None = None,
        rule: str = "asha",
    ) -> None:
        super().__init__(max_t, grace_period, reduction_factor, steps=steps)
        self._rule = rule
        self._rungs = [Rung(step) for step in self._steps]


class StoppingAsha(_Ranked):
    """ASHA that stops the losers."""

    def _at_rung(self, index: int, report: Report) -> Decision:
        rung = self._rungs[index]
        standing = rung.standing(rung.record(report.score), self._eta, least=1)
        why = reason(self._rule, rung, report.score, standing)
        if report.score == WORST or standing.rank > standing.keep:
            return Stop(why)
        return RunTo(self._above(index), why)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """Nobody is ever paused."""
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """What a trial showed at its rungs stays."""

    def state(self) -> dict[str, Any]:
        """The scores at each rung."""
        return {"rungs": [rung.state() for rung in self._rungs]}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        for rung, scores in zip(self._rungs, state["rungs"], strict=True):
            rung.load(scores)


class PromotionAsha(_Ranked):
    """ASHA that pauses whom it cannot promote yet, and promotes the best later (Algorithm 2).

    A trial that is promotable the moment it reaches its rung goes on without giving up its slot,
    which saves a checkpoint and a start; Algorithm 2 would first look at higher rungs.
    """

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        reduction_factor: int = 3,
        *,
        steps: Sequence[int] | None = None,
        rule: str = "asha",
    ) -> None:
        super().__init__(max_t, grace_period, reduction_factor, steps=steps, rule=rule)
        self._waiting: list[list[_Entry]] = [[] for _ in self._rungs]  # heaps, of past ones as well
        self._place: dict[TrialId, int] = {}  # the rung at which each waits now
        self._reached = 0  # nobody ever waited at this rung or above
        self._nobody = False  # is promotable, until one more trial comes to a rung

    def _at_rung(self, index: int, report: Report) -> Decision:
        rung, self._nobody = self._rungs[index], False
        key = rung.record(report.score)
        standing = rung.standing(key, self._eta)
        why = reason(self._rule, rung, report.score, standing)
        if report.score == WORST:
            return Stop(why)  # nothing can ever promote it, so it need not keep a checkpoint
        if standing.rank <= standing.keep and self._lets_on(index):
            return RunTo(self._above(index), why)
        self._wait(index, (*key, report.trial))
        return Pause(why)

    def _lets_on(self, index: int) -> bool:
        """Whether anybody may go on from rung `index` now."""
        return True

    def _wait(self, index: int, entry: _Entry) -> None:
        heappush(self._waiting[index], entry)
        self._place[entry[2]] = index
        self._reached = max(self._reached, index + 1)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """The best promotable trial of the highest rung that has one (Algorithm 2, get_job)."""
        if self._nobody:
            return None
        for index in range(self._reached - 1, -1, -1):
            waiting = self._waiting[index]
            if not waiting or not self._lets_on(index):
                continue
            while waiting and self._place.get(waiting[0][2]) != index:
                heappop(waiting)  # it ended
            rung = self._rungs[index]
            if waiting and rung.survives(waiting[0][:2], self._eta):
                score, order, trial = heappop(waiting)
                del self._place[trial]
                standing = rung.standing((score, order), self._eta)
                why = reason(f"{self._rule} promotion", rung, score, standing)
                return Promotion(trial, self._above(index), why)
        self._nobody = True
        return None

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial that ended waits no longer; what it showed at its rungs stays."""
        self._place.pop(trial, None)

    def state(self) -> dict[str, Any]:
        """The scores at each rung and who waits there."""
        return {
            "rungs": [rung.state() for rung in self._rungs],
            "waiting": [self._waiting_at(index) for index in range(len(self._rungs))],
        }

    def _waiting_at(self, index: int) -> list[list[Any]]:
        """Those that wait at a rung, best first."""
        entries = sorted(self._waiting[index])
        return [list(entry) for entry in entries if self._place.get(entry[2]) == index]

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._nobody = False
        for index, rung in enumerate(self._rungs):
            rung.load(state["rungs"][index])
            for score, order, trial in state["waiting"][index]:
                self._wait(index, (score, order, trial))
