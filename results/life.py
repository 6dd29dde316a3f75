"""A trial's life as the journal tells it: which attempt is open, and where the trial stands.

The fold is lenient where the state machine is strict: an event of an attempt that is not its
trial's current, open one changes nothing and is counted; `raysweep verify` asks whether the moves
were legal.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from raysweep.results.best import BestSoFar
from raysweep.results.ledger import CODE, END, STATUSES, Attempts, Trials
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import (
    Checkpointed,
    Ended,
    ErrorClass,
    Event,
    Failed,
    Finished,
    Opened,
    Paused,
    Retried,
    Started,
    Suggested,
    SuggestFailed,
)  # fmt: skip
from raysweep.trials.trial import Status

_PENDING, _RUNNING, _PAUSING = CODE[Status.PENDING], CODE[Status.RUNNING], CODE[Status.PAUSING]
_PAUSED, _FAILED = CODE[Status.PAUSED], CODE[Status.FAILED]
_COMPLETED, _STOPPED = CODE[Status.COMPLETED], CODE[Status.STOPPED]
TERMINAL: Final = frozenset(CODE[status] for status in STATUSES if status.terminal)
CUTS: Final = {"stop": _STOPPED, "finish": _COMPLETED, "fail": _FAILED}
"""The verdicts that end a trial, and how."""
_SETTLING: Final = frozenset({"retry", "park"})
"""The verdicts that say what becomes of a trial whose attempt was lost."""
_ENDINGS: Final = {"stop": "stopped", "finish": "finished", "fail": "failed"}


class Life:
    """Applies events and verdicts to the rows of trials and attempts."""

    def __init__(self, trials: Trials, attempts: Attempts, best: BestSoFar) -> None:
        self.trials, self.attempts, self.best = trials, attempts, best
        self.stale_events = self.suggest_failed = 0
        self.code: str | None = None
        """The hash of the training code of the driver at work."""
        self.keeps_best = False
        """Whether the sweep keeps the best checkpoints of its trials."""
        self.moved: Callable[[str, Status, Status], None] | None = None

    def happened(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """Apply any event but Reported; `verdicts` are those of the same record."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event, verdicts)

    def decided(self, verdict: Verdict, event: Event) -> None:
        """What a verdict changes; one on a trial that has ended changes nothing."""
        trial, verb, at = self.trials.index.get(verdict.trial, -1), verdict.verb, event.at
        if trial < 0 or self.trials.status[trial] in TERMINAL or verb == "run_to":
            return
        if verb in ("start", "resume"):
            if verdict.attempt > self.trials.attempts[trial]:
                self._begin(trial, verdict.attempt, verdict.step, at)
            return
        row = self.trials.open_row[trial]
        if verb == "pause":
            self._explain(trial, verdict)
            self._move(trial, _PAUSING)
        elif verb in _SETTLING:
            if row >= 0:
                self._end(row, "driver" if isinstance(event, Opened) else "failed", at)
            self._move(trial, _PENDING if verb == "retry" else _PAUSED)
        elif verb in CUTS:
            self._explain(trial, verdict)
            if row >= 0:
                self._end(row, _ENDINGS[verb], at)
            if verb == "fail":
                self.trials.errors.setdefault(trial, (verdict.rule, ""))
            self._finish(trial, CUTS[verb], at)

    def _explain(self, trial: int, verdict: Verdict) -> None:
        """Keep which rule and rung ended or paused a trial."""
        self.trials.stop_rule[trial] = sys.intern(verdict.rule)
        self.trials.stop_rung[trial] = -1 if verdict.rung is None else verdict.rung

    def _suggested(self, event: Suggested, verdicts: Sequence[Verdict]) -> None:
        if event.trial not in self.trials.index:
            origin = (event.parent, event.parent_step)
            of = event.replicate_of
            self.trials.add(event.trial, event.config, event.at, event.why, origin, of)

    def _suggest_failed(self, event: SuggestFailed, verdicts: Sequence[Verdict]) -> None:
        self.suggest_failed += 1

    def _started(self, event: Started, verdicts: Sequence[Verdict]) -> None:
        """The attempt is set up; it may have begun, by a verdict, some seconds before."""
        trial = self.trials.index.get(event.trial, -1)
        if trial >= 0 and event.attempt > self.trials.attempts[trial]:
            self._begin(trial, event.attempt, event.step, event.at)
        row = self._current(event.trial, event.attempt)
        if row < 0:
            return
        if event.step != self.attempts.start_step[row] and not self.attempts.reports[row]:
            self.attempts.start_step[row] = self.attempts.end_step[row] = event.step
            self.best.supersede(trial, event.step)
        self.attempts.slot[row], self.attempts.node[row] = event.slot, event.node
        self.attempts.setup_s[row] = event.setup_s
        self.attempts.gpu[row] = math.nan if event.gpu is None else event.gpu
        self.attempts.cpu[row] = math.nan if event.cpu is None else event.cpu

    def _checkpointed(self, event: Checkpointed | Finished, verdicts: Sequence[Verdict]) -> None:
        trial = self.trials.index.get(event.trial, -1)
        if trial < 0 or event.attempt != self.trials.attempts[trial]:
            self.stale_events += 1
        elif event.path is not None:
            self._keep(trial, event.step, event.path)

    def _paused(self, event: Paused, verdicts: Sequence[Verdict]) -> None:
        row = self._current(event.trial, event.attempt)
        if row < 0:
            return
        trial = self.attempts.trial[row]
        if event.path is not None:
            self._keep(trial, event.step, event.path)
        self._end(row, "paused", event.at)
        self._move(trial, _PAUSED)

    def _ended(self, event: Ended, verdicts: Sequence[Verdict]) -> None:
        row = self._current(event.trial, event.attempt)
        if row < 0:
            return
        self._end(row, "ended", event.at)
        if "fail" not in _verbs(event.trial, verdicts):
            self._finish(self.attempts.trial[row], _COMPLETED, event.at)

    def _failed(self, event: Failed, verdicts: Sequence[Verdict]) -> None:
        row = self._current(event.trial, event.attempt)
        if row < 0:
            return
        trial = self.attempts.trial[row]
        unread = event.error == ErrorClass.CHECKPOINT and math.isnan(self.attempts.setup_s[row])
        if unread and self.trials.best_checkpoint[trial] == self.trials.checkpoint[trial]:
            self.trials.best_checkpoint[trial], self.trials.best_saved[trial] = None, math.nan
        self.attempts.fail(row, event.error, event.message)
        self.trials.errors[trial] = self.attempts.errors[row]
        self._end(row, "failed", event.at)
        if not _SETTLING & _verbs(event.trial, verdicts):
            self._finish(trial, _FAILED, event.at)

    def _retried(self, event: Retried, verdicts: Sequence[Verdict]) -> None:
        """A failed trial is pending again; what it reported beyond its checkpoint goes at its start."""
        trial = self.trials.index.get(event.trial, -1)
        if trial < 0 or self.trials.status[trial] != _FAILED:
            self.stale_events += 1
            return
        self.trials.errors.pop(trial, None)
        self.trials.ended_at[trial] = math.nan
        self._move(trial, _PENDING)

    def _opened(self, event: Opened, verdicts: Sequence[Verdict]) -> None:
        """A new driver: what ran under the last one is lost."""
        self.code = event.code.get("hash") or None
        settled = {self.trials.index.get(v.trial) for v in verdicts if v.verb in _SETTLING}
        for row in self.trials.open_row:
            if row >= 0:
                self._end(row, "driver", event.at)
        for trial, status in enumerate(self.trials.status):
            if status in (_RUNNING, _PAUSING) and trial not in settled:
                self._move(trial, _PENDING if status == _RUNNING else _PAUSED)

    def _current(self, name: str, attempt: int) -> int:
        """The row of a trial's open attempt if that is `attempt`; else -1, and the event counts."""
        trial = self.trials.index.get(name, -1)
        row = self.trials.open_row[trial] if trial >= 0 else -1
        if row < 0 or self.trials.attempts[trial] != attempt:
            self.stale_events += 1
            return -1
        return row

    def _keep(self, trial: int, step: int, path: str) -> None:
        trials = self.trials
        trials.checkpoint[trial] = path
        if self.keeps_best and trials.steps[trial] == step:
            value, saved = trials.last_value[trial], trials.best_saved[trial]
            if math.isfinite(value) and not self.best.sign * value >= self.best.sign * saved:
                trials.best_checkpoint[trial], trials.best_saved[trial] = path, value
        if self.trials.status[trial] not in TERMINAL:
            self.best.keep(trial, step)

    def _begin(self, trial: int, attempt: int, step: int, at: float) -> None:
        trials = self.trials
        if trials.status[trial] in TERMINAL:
            return
        if trials.open_row[trial] >= 0:
            self._end(trials.open_row[trial], "failed", at)
        trials.open_row[trial] = self.attempts.open(trial, attempt, step, at, self.code)
        trials.attempts[trial] = attempt
        if trials.started_at[trial] != trials.started_at[trial]:
            trials.started_at[trial] = at
        trials.stop_rule[trial], trials.stop_rung[trial] = None, -1
        self.best.supersede(trial, step)
        self._move(trial, _RUNNING)

    def _end(self, row: int, end: str, at: float) -> None:
        trial = self.attempts.trial[row]
        self.attempts.end[row], self.attempts.ended_at[row] = END[end], at
        self.trials.open_row[trial] = -1
        self.trials.busy_s[trial] += at - self.attempts.started_at[row]

    def _finish(self, trial: int, status: int, at: float) -> None:
        if self.trials.status[trial] in TERMINAL:
            return
        self.trials.ended_at[trial] = at
        if status != _FAILED:
            self.trials.errors.pop(trial, None)
        if status != _FAILED:  # that may be retried
            self.best.forget(trial)
        self._move(trial, status)

    def _move(self, trial: int, status: int) -> None:
        before = self.trials.status[trial]
        self.trials.status[trial] = status
        if self.moved is not None and before != status:
            self.moved(self.trials.ids[trial], STATUSES[before], STATUSES[status])


def _verbs(trial: str, verdicts: Sequence[Verdict]) -> set[str]:
    """What a record's verdicts say about one trial."""
    return {verdict.verb for verdict in verdicts if verdict.trial == trial}


_HANDLERS: Final[dict[type, Callable[[Life, Any, Sequence[Verdict]], None]]] = {
    Suggested: Life._suggested,
    SuggestFailed: Life._suggest_failed,
    Started: Life._started,
    Checkpointed: Life._checkpointed,
    Paused: Life._paused,
    Finished: Life._checkpointed,
    Ended: Life._ended,
    Failed: Life._failed,
    Retried: Life._retried,
    Opened: Life._opened,
}
