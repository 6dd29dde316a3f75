"""What every trial of a Tune run was granted and told: Tune's reports go in, decisions come out.

Our schedulers want each step once, in order, and exactly the steps at which they decide. Tune
gives whatever a trial reports: a time that jumps or is a float, steps that come again after a
retry or a restore, and nothing at all for a step that it lost. The ledger stands between them and
needs no Ray.

    told      the last step that the scheduler has heard of; what comes again at or before it is
              answered from the ledger and never counted twice
    target    the step up to which the trial may run; a report beyond it is heard at the target,
              and at every further one that it has passed, in order
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

from raysweep.schedulers.base import Scheduler
from raysweep.trials.decisions import Continue, Decision, Finish, Pause, RunTo
from raysweep.trials.goal import WORST
from raysweep.trials.trial import UNBOUNDED, Outcome, Report, Status, TrialId


class Answer(StrEnum):
    """What the trial does next, in Tune's words."""

    CONTINUE = "CONTINUE"
    PAUSE = "PAUSE"
    STOP = "STOP"


class Stands(StrEnum):
    """Where a trial stands with the scheduler."""

    RUNS = "runs"
    """Up to its target."""
    WAITS = "waits"
    """Paused; `promote` may name it."""
    FREE = "free"
    """Past max_t, and allowed to run on until its training code ends."""
    OVER = "over"
    FAILED = "failed"


class _Entry:
    __slots__ = ("config", "score", "stands", "target", "told")

    def __init__(self, told: int, target: int, stands: Stands, score: float, config: str) -> None:
        self.told, self.target, self.stands = told, target, stands
        self.score, self.config = score, config


_ACTIVE = (Stands.RUNS, Stands.FREE)


class Ledger:
    """A scheduler and what it has been told.

    Args:
        scheduler: one of ours, fresh.
        stop_last_trials: end trials at max_t; False lets them run on as they like.

    Attributes:
        active: how many trials run or may be started, as far as the scheduler goes.
        version: counts the changes that a restart must not lose.
    """

    def __init__(self, scheduler: Scheduler, stop_last_trials: bool = True) -> None:
        self.scheduler, self._stop_last_trials = scheduler, stop_last_trials
        self._entries: dict[TrialId, _Entry] = {}
        self.active = self.version = 0

    def __contains__(self, trial: TrialId) -> bool:
        return trial in self._entries

    def stands(self, trial: TrialId) -> Stands:
        """Where `trial` stands; OVER if it is unknown."""
        entry = self._entries.get(trial)
        return entry.stands if entry else Stands.OVER

    def told(self, trial: TrialId) -> int:
        """The last step of `trial` that was decided on or averaged in."""
        return self._entries[trial].told

    def waiting(self) -> list[TrialId]:
        """Those that wait, the best of the highest step first."""
        entries = [(t, e) for t, e in self._entries.items() if e.stands is Stands.WAITS]
        entries.sort(key=lambda pair: (-pair[1].told, pair[1].score))
        return [trial for trial, _ in entries]

    def enter(self, trial: TrialId, config: str = "") -> None:
        """A new trial, or one that failed and is tried again from where it was.

        One that is known with another `config` (any digest) is a new one: a searcher that lost its
        latest trials in a crash gives their ids away again.
        """
        entry = self._entries.get(trial)
        if entry and config and entry.config != config:
            self.end(trial, Stands.FAILED)
            entry = None
        if entry is None:
            target = self.scheduler.grant(trial, {})
            self._entries[trial] = _Entry(0, target, Stands.OVER, WORST, config)
            self._stand(trial, Stands.RUNS)
        elif entry.stands is Stands.FAILED:  # if it had lost at its rung, it has lost
            self._stand(trial, Stands.RUNS if entry.target > entry.told else Stands.WAITS)

    def hear(self, trial: TrialId, time: float, score: float) -> Answer:
        """A trial reported `score` at `time`, in the units of max_t; what it does next."""
        self.enter(trial)
        entry, step = self._entries[trial], math.floor(min(time, UNBOUNDED))
        if entry.stands is Stands.RUNS:
            self._advance(trial, entry, step, score)
        if entry.stands in _ACTIVE or step < entry.told:
            return Answer.CONTINUE
        return Answer.PAUSE if entry.stands is Stands.WAITS else Answer.STOP

    def _advance(self, trial: TrialId, entry: _Entry, step: int, score: float) -> None:
        joined_anew = False
        while entry.stands is Stands.RUNS and entry.target <= step:
            decision = self._report(trial, entry, entry.target, score)
            if not isinstance(decision, Continue):
                self._obey(trial, entry, decision)
            elif joined_anew:
                self._leave(trial, Stands.OVER, Status.STOPPED)
            else:  # the scheduler let it go when it failed: it joins as a new one does
                joined_anew, entry.target = True, self.scheduler.grant(trial, {})
        if entry.stands is Stands.RUNS and entry.told < step:
            self._report(trial, entry, step, score)

    def _report(self, trial: TrialId, entry: _Entry, step: int, score: float) -> Decision:
        entry.told, entry.score = max(step, entry.told), score
        return self.scheduler.on_report(Report(trial, 1, step, {}, score))

    def _obey(self, trial: TrialId, entry: _Entry, decision: Decision) -> None:
        if isinstance(decision, RunTo):
            entry.target = decision.step
            self.version += 1
        elif isinstance(decision, Pause):
            self._stand(trial, Stands.WAITS)
        elif isinstance(decision, Finish):
            after = Stands.OVER if self._stop_last_trials else Stands.FREE
            self._leave(trial, after, Status.COMPLETED)
        else:
            self._leave(trial, Stands.OVER, Status.STOPPED)

    def _leave(self, trial: TrialId, stands: Stands, status: Status) -> None:
        entry = self._entries[trial]
        self._stand(trial, stands)
        self.scheduler.on_end(trial, Outcome(status, entry.told, entry.score))

    def _stand(self, trial: TrialId, stands: Stands) -> None:
        entry = self._entries[trial]
        self.active += (stands in _ACTIVE) - (entry.stands in _ACTIVE)
        entry.stands = stands
        self.version += 1

    def promote(self, more: bool = True) -> TrialId | None:
        """Whom to resume; None: nobody. Counts as resumed."""
        while promotion := self.scheduler.next_paused(more):
            entry = self._entries.get(promotion.trial)
            if entry is None or entry.stands is not Stands.WAITS:
                continue
            entry.target = promotion.step
            self._stand(promotion.trial, Stands.RUNS)
            return promotion.trial
        return None

    def end(self, trial: TrialId, stands: Stands = Stands.OVER) -> None:
        """A trial ended: OVER, or FAILED, which a restart of the experiment may take back."""
        entry = self._entries.get(trial)
        if entry is None or entry.stands in (Stands.OVER, Stands.FAILED):
            return
        if entry.stands is Stands.FREE:
            self._stand(trial, stands)
        else:
            status = Status.FAILED if stands is Stands.FAILED else Status.COMPLETED
            self._leave(trial, stands, status)

    def end_all_but(self, trials: set[TrialId]) -> None:
        """A restored experiment has lost the others: nobody waits for them to reach a rung.

        They stay known, for a searcher may give the same config under the same id again.
        """
        for trial, entry in self._entries.items():
            if trial not in trials and entry.stands in _ACTIVE:
                self.end(trial, Stands.FAILED)

    def state(self) -> dict[str, Any]:
        """Everything, as plain JSON data."""
        trials = {
            trial: [entry.told, entry.target, entry.stands, entry.score, entry.config]
            for trial, entry in self._entries.items()
        }
        return {"trials": trials, "scheduler": self.scheduler.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave; the ledger must be fresh."""
        self.scheduler.load(state["scheduler"])
        for trial, (told, target, stands, score, config) in state["trials"].items():
            self._entries[trial] = _Entry(told, target, Stands.OVER, score, config)
            self._stand(trial, Stands(stands))
