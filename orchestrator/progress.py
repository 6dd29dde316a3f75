"""What the live view shows, folded from events and verdicts one by one.

It is shown every event of the hot path, so each costs a few dictionary look-ups, and nothing is
remembered of a trial that has ended but the counters.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.rung_counts import Rungs
from raysweep.trials import events
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event
from raysweep.trials.trial import Status, TrialId

_WINDOW_S = 5
_LAST_ERRORS = 5
_ON_A_SLOT = frozenset({Status.RUNNING, Status.PAUSING})
_SETTLED = frozenset({"retry", "park"})


class Leader(NamedTuple):
    """The best report so far; `value` in the metric's own direction."""

    trial: TrialId
    step: int
    value: float
    config: dict[str, Any]


class Failure(NamedTuple):
    """One failed attempt, or (attempt 0) a failed suggestion."""

    trial: TrialId
    attempt: int
    error: str
    message: str


class Spent(NamedTuple):
    """One limit of the budget by its name in a spec: what has been used of it."""

    name: str
    used: float
    limit: float


class Tracked:
    """What the fold knows of a trial that has not ended; `gpu` is what it holds on its slot."""

    __slots__ = ("attempt", "config", "gpu", "status")

    def __init__(self, config: dict[str, Any], status: Status, attempt: int) -> None:
        self.config, self.status, self.attempt = config, status, attempt
        self.gpu = 0.0


class Progress:
    """Where a sweep stands.

    Args:
        rules: goal, budget and GPU fraction of the sweep.

    Attributes:
        at: the sweep's age at the newest event.
        trials: how many trials there are by status.
        issued: how many trials the budget has been charged.
        best: None while nobody has reported a finite value. One that a restarted trial reported
            beyond its checkpoint stays here, though it is no longer live in the tables.
        rungs: what became of the trials at each rung.
        failures: failed attempts by error class; `errors` holds the newest.
        warnings: the newest warning of this driver by source.
        busy: how many slots are held by a trial.
        gpu_s: GPU-seconds spent: a trial's fraction for as long as it holds a slot.
        running: whether a driver is at work.
        closed: why the sweep came to rest, once it has.
    """

    def __init__(self, rules: Rules) -> None:
        self.at = 0.0
        self.trials = dict.fromkeys(Status, 0)
        self.issued = self.steps = 0
        self.best: Leader | None = None
        self.rungs = Rungs()
        self.failures: Counter[str] = Counter()
        self.errors: deque[Failure] = deque(maxlen=_LAST_ERRORS)
        self.warnings: dict[str, str] = {}
        self.busy = 0
        self.running = False
        self.closed: events.Closed | None = None
        self.live: dict[TrialId, Tracked] = {}
        self.silent: dict[TrialId, events.Silent] = {}
        """The last sign of life of each trial that has not reported since."""
        self._budget, self._gpu = rules.budget, rules.gpu
        self._metric = rules.goal.metric
        self._sign = -1.0 if rules.goal.mode == "max" else 1.0
        self._best_score = math.inf
        self._sizes: dict[str, int] = {}  # of each slot
        self._opened_at = self._held = self.gpu_s = 0.0
        self._counted = [0] * (_WINDOW_S + 1)  # reports by second, the last six of them
        self._seconds = [-1] * (_WINDOW_S + 1)
        self._handlers: dict[type, Callable[[Any, Sequence[Verdict]], None]] = {
            events.Opened: self._opened,
            events.SlotUp: self._slot_up,
            events.SlotDown: self._slot_down,
            events.Suggested: self._suggested,
            events.SuggestFailed: self._suggest_failed,
            events.Started: self._started,
            events.Reported: self._reported,
            events.Paused: self._paused,
            events.Ended: self._ended,
            events.Failed: self._failed,
            events.Retried: self._retried,
            events.Warned: self._warned,
            events.Closed: self._closed,
            events.Silent: self._silent,
        }

    def observe(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """Take in one event with the verdicts that were taken on it."""
        at = event.at
        if self.silent and not isinstance(event, events.Silent):
            self.silent.pop(getattr(event, "trial", ""), None)
            for verdict in verdicts:
                self.silent.pop(verdict.trial, None)
        if at > self.at:
            self.gpu_s += (at - self.at) * self._held
            self.at = at
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, verdicts)
        for verdict in verdicts:
            self._decided(verdict)

    def begin(self, at: float, steps: int, gpu_s: float, best: Leader | None) -> None:
        """Go on from what earlier drivers have done and spent."""
        self.at, self.steps, self.gpu_s = at, steps, gpu_s
        if best is not None:
            self.best, self._best_score = best, self._sign * best.value

    def add(self, name: TrialId, trial: Tracked, *, child: bool = False) -> None:
        """One more trial, which earlier drivers may have run already; no budget counts a child."""
        self.issued += not child
        self.trials[trial.status] += 1
        if trial.status in _ON_A_SLOT:
            self._hold(trial, 1, self._gpu)
        if not trial.status.terminal:
            self.live[name] = trial

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return len(self._sizes)

    @property
    def gpus(self) -> tuple[float, float]:
        """GPUs held by trials, and GPUs that all slots together could hold."""
        return round(self._held, 6), round(sum(self._sizes.values()) * self._gpu, 6)

    def reports_per_s(self, age_s: float) -> float:
        """Reports per second over the last five seconds before the sweep's age `age_s`."""
        now = int(age_s)
        pairs = zip(self._seconds, self._counted, strict=True)
        count = sum(number for second, number in pairs if now - _WINDOW_S <= second <= now)
        span_s = min(age_s - self._opened_at, _WINDOW_S + age_s - now)
        return count / span_s if span_s > 0 else 0.0

    def spent(self, age_s: float) -> list[Spent]:
        """What has been used of each limit."""
        used = {
            "trials": self.issued,
            "steps": self.steps,
            "wall_time_s": age_s,
            "gpu_hours": self.gpu_s / 3600,
        }
        limits = self._budget._asdict().items()
        return [Spent(name, used[name], limit) for name, limit in limits if limit is not None]

    def eta_s(self, age_s: float) -> float | None:
        """Seconds until the limit that is reached first, at the pace so far; None: no telling."""
        settled = sum(self.trials.values()) - self.busy - self.trials[Status.PENDING]
        left = []
        for name, used, limit in self.spent(age_s):
            if name == "wall_time_s":
                left.append(limit - age_s)
                continue
            done = settled if name == "trials" else used
            if done > 0:
                left.append((limit - done) * age_s / done)
        return max(0.0, min(left)) if left else None

    # -- events ---------------------------------------------------------------------------------

    def _opened(self, event: events.Opened, verdicts: Sequence[Verdict]) -> None:
        self._sizes, self.closed, self._opened_at = {}, None, event.at
        self.running = True

    def _slot_up(self, event: events.SlotUp, verdicts: Sequence[Verdict]) -> None:
        self._sizes[event.slot] = event.size

    def _slot_down(self, event: events.SlotDown, verdicts: Sequence[Verdict]) -> None:
        self._sizes.pop(event.slot, None)

    def _suggested(self, event: events.Suggested, verdicts: Sequence[Verdict]) -> None:
        tracked = Tracked(event.config, Status.PENDING, 0)
        self.add(event.trial, tracked, child=(event.parent or event.replicate_of) is not None)

    def _suggest_failed(self, event: events.SuggestFailed, verdicts: Sequence[Verdict]) -> None:
        self.issued += 1
        self._note(Failure(event.trial, 0, "suggestion", event.message))

    def _started(self, event: events.Started, verdicts: Sequence[Verdict]) -> None:
        """Until now it was taken for granted that it holds as little as any."""
        trial = self._current(event)
        if trial is not None and event.gpu is not None:
            self._hold(trial, 0, event.gpu)

    def _reported(self, event: events.Reported, verdicts: Sequence[Verdict]) -> None:
        trial = self._current(event)
        if trial is None:
            return
        count = len(event.steps)
        self.steps += count
        second = int(event.at)
        place = second % (_WINDOW_S + 1)
        if self._seconds[place] == second:
            self._counted[place] += count
        else:
            self._seconds[place], self._counted[place] = second, count
        values = event.metrics.get(self._metric)
        if values is not None:
            sign, score = self._sign, self._best_score
            for place, value in enumerate(values):
                if isinstance(value, (int, float)) and -math.inf < sign * value < score:
                    score = self._best_score = sign * value
                    self.best = Leader(event.trial, event.steps[place], value, trial.config)

    def _paused(self, event: events.Paused, verdicts: Sequence[Verdict]) -> None:
        trial = self._current(event)
        if trial is not None:
            self._move(event.trial, trial, Status.PAUSED)

    def _ended(self, event: events.Ended, verdicts: Sequence[Verdict]) -> None:
        trial = self._current(event)
        if trial is not None:
            self._move(event.trial, trial, Status.COMPLETED)

    def _failed(self, event: events.Failed, verdicts: Sequence[Verdict]) -> None:
        trial = self._current(event)
        if trial is None:
            return
        self._note(Failure(event.trial, event.attempt, event.error, event.message))
        if not any(v.trial == event.trial and v.verb in _SETTLED for v in verdicts):
            self._move(event.trial, trial, Status.FAILED)

    def _retried(self, event: events.Retried, verdicts: Sequence[Verdict]) -> None:
        if event.trial not in self.live:
            self.trials[Status.FAILED] -= 1
            self.trials[Status.PENDING] += 1
            self.live[event.trial] = Tracked(event.config, Status.PENDING, event.attempts)

    def _warned(self, event: events.Warned, verdicts: Sequence[Verdict]) -> None:
        self.warnings[event.source] = event.message

    def _silent(self, event: events.Silent, verdicts: Sequence[Verdict]) -> None:
        self.silent[event.trial] = event

    def _closed(self, event: events.Closed, verdicts: Sequence[Verdict]) -> None:
        self.closed, self.running = event, False

    # -- moves ----------------------------------------------------------------------------------

    def _current(self, event: Any) -> Tracked | None:
        """The trial whose current attempt holds a slot and is what `event` tells of, or None."""
        trial = self.live.get(event.trial)
        if trial is None or trial.attempt != event.attempt or trial.status not in _ON_A_SLOT:
            return None
        return trial

    def _decided(self, verdict: Verdict) -> None:
        name, verb = verdict.trial, verdict.verb
        trial = self.live.get(name)
        if trial is None:
            return
        self.rungs.decided(name, verb, verdict.rung)
        if verb in ("start", "resume"):
            trial.attempt = verdict.attempt
            self._move(name, trial, Status.RUNNING)
        elif verb == "pause":
            self._move(name, trial, Status.PAUSING)
        elif status := _AFTER.get(verb):
            self._move(name, trial, status)

    def _move(self, name: TrialId, trial: Tracked, status: Status) -> None:
        self.trials[trial.status] -= 1
        self.trials[status] += 1
        now = status in _ON_A_SLOT
        if now != (trial.status in _ON_A_SLOT):
            self._hold(trial, 1 if now else -1, self._gpu if now else 0.0)
        trial.status = status
        if status.terminal:
            del self.live[name]

    def _hold(self, trial: Tracked, slots: int, gpu: float) -> None:
        """It holds so many slots more, and from now on `gpu`."""
        self.busy += slots
        self._held += gpu - trial.gpu
        trial.gpu = gpu

    def _note(self, failure: Failure) -> None:
        self.failures[failure.error] += 1
        self.errors.append(failure)


_AFTER = {
    "stop": Status.STOPPED,
    "finish": Status.COMPLETED,
    "retry": Status.PENDING,
    "park": Status.PAUSED,
}
"""Where a verdict puts its trial."""
