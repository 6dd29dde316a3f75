"""The sweep as a pure state machine: an event comes in, actions and verdicts go out.

No Ray, no clock, no file, no random number is touched here; time enters inside events. Folding
the journal's events through `handle` therefore rebuilds a sweep exactly, and a resumed sweep
takes the decisions that an uninterrupted one takes when it is fed the same events.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from raysweep.orchestrator.advice import Advice
from raysweep.orchestrator.budget import Spend
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.retention import Retention
from raysweep.orchestrator.retries import forgive, retry_delay_s
from raysweep.orchestrator.rules import Draining, Rules
from raysweep.orchestrator.slots import Slots
from raysweep.orchestrator.suspicion import Suspicion
from raysweep.orchestrator.turn import Turn, verdict
from raysweep.orchestrator.waiting import Waiting
from raysweep.schedulers.base import Scheduler
from raysweep.searchers.base import Searcher
from raysweep.trials import actions, decisions, events
from raysweep.trials.decisions import CONTINUE, Reason
from raysweep.trials.events import ErrorClass
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Status, TrialId

_PROCESS_DEATH = frozenset({ErrorClass.CRASH, ErrorClass.STUCK, ErrorClass.INFRA})
_PARTS = ("spend", "slots", "waiting", "advice", "retention", "suspicion")
"""Attributes of the state that can write themselves down."""


class SweepState:
    """The whole of a running sweep.

    Args:
        rules: goal, budget, retries and limits.
        searcher: told of every suggestion and report; never asked here (`Suggest` asks).
        scheduler: asked at every report and whenever a slot is free.
    """

    def __init__(self, rules: Rules, searcher: Searcher, scheduler: Scheduler) -> None:
        self.rules = rules
        self.advice = Advice(searcher, scheduler)
        self.spend = Spend(rules.budget, rules.gpu)
        self.slots = Slots()
        self.waiting = Waiting()
        self.live: dict[TrialId, LiveTrial] = {}
        self.ended = dict.fromkeys((Status.COMPLETED, Status.STOPPED, Status.FAILED), 0)
        self.draining: Draining | None = None
        self.closed = False
        self.changes: dict[str, Any] = {}
        self._exhausted = False
        self.retention = Retention(rules.keep)
        self.suspicion = Suspicion()
        self._turn = Turn([], [])
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.Opened: self._opened,
            events.SlotUp: self._slot_up,
            events.SlotDown: self._slot_down,
            events.Suggested: self._suggested,
            events.SuggestFailed: self._suggest_failed,
            events.Exhausted: self._no_more,
            events.Deferred: lambda event: self.waiting.defer(event.trial),
            events.Started: self._started,
            events.Reported: self._reported,
            events.Checkpointed: self._checkpointed,
            events.Paused: self._paused,
            events.Finished: self._finished,
            events.Ended: self._ended,
            events.Failed: self._failed,
            events.Interrupted: lambda e: self._drain(f"interrupted: {e.cause}", 75),
        }

    def handle(self, event: events.Event) -> Turn:
        """Take in one event; say what to do and what was decided.

        Events of attempts that are no longer current (a zombie's, a stopped trial's) change
        nothing.
        """
        turn = self._turn = Turn([], [])
        self.spend.pass_time(event.at, self.slots.busy)
        if handler := self._handlers.get(type(event)):  # else it only passes time, or closes
            handler(event)
        self.closed |= isinstance(event, events.Closed)
        if not self.closed:
            if self.draining is None and (over := self.spend.exhausted()):
                self._drain(over, 0)
            self.waiting.wake(event.at)
            if self.draining is None and self.slots.free:
                self._fill()
            if self.draining or self.slots.idle:
                self._close_if_done()
        return turn

    def adopt(self, rules: Rules) -> None:
        """Go by other rules from now on: a resume has changed the spec."""
        self.rules, self.retention.keep = rules, rules.keep
        self.spend.adopt(rules.budget, rules.gpu)

    def deadline(self) -> float:
        """The sweep's age at which a `Ticked` is due even if nothing else happens."""
        if self.draining:
            return self.draining.deadline
        deadline = min(self.spend.deadline(self.slots.busy), self.waiting.due)
        if self.slots.none_since is not None:
            deadline = min(deadline, self.slots.none_since + self.rules.stalled_s)
        return deadline

    def state(self) -> dict[str, Any]:
        """Everything, as plain JSON data: the next event may be any that this state could meet."""
        parts = {name: getattr(self, name).state() for name in _PARTS}
        return parts | {
            "draining": self.draining,
            "closed": self.closed,
            "changes": self.changes,
            "live": {trial.id: trial.to_json() for trial in self.live.values()},
            "ended": {status.value: count for status, count in self.ended.items()},
            "exhausted": self._exhausted,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        for name in _PARTS:
            getattr(self, name).load(state[name])
        self.draining = Draining(*state["draining"]) if state["draining"] else None
        self.closed = state["closed"]
        self.changes = state["changes"]
        self.live = {name: LiveTrial.from_json(name, data) for name, data in state["live"].items()}
        self.ended = {Status(name): count for name, count in state["ended"].items()}
        self._exhausted = state["exhausted"]

    def _opened(self, event: events.Opened) -> None:
        """A new driver: every process of the last one is gone, and so are its slots."""
        self.slots, self.draining, self.closed = Slots(event.at), None, False
        self.changes = event.changes
        self.waiting.reopen()
        for trial in self.live.values():
            trial.slot = None
            if trial.status is Status.RUNNING:
                self._again(trial, Reason(ErrorClass.DRIVER))
            elif trial.status is Status.PAUSING:
                self._park(trial, Reason(ErrorClass.DRIVER))
            elif trial.status is Status.PAUSED and trial.owed:
                self._recall(trial, Reason("resume"))
            elif trial.status is Status.PENDING and trial.run_to:
                self.waiting.again(trial.id, Reason("resume"))
            elif trial.status is Status.PENDING:
                self.waiting.fresh.append(trial.id)

    def _slot_up(self, event: events.SlotUp) -> None:
        self.slots.up(event.slot)

    def _slot_down(self, event: events.SlotDown) -> None:
        holder = self.slots.down(event.slot, event.at)
        if holder is not None:  # given to it before word of its death came: not the trial's fault
            trial = self.live[holder]
            trial.slot = None
            back = self._again if trial.status is Status.RUNNING else self._park
            back(trial, Reason(ErrorClass.INFRA))

    def _suggested(self, event: events.Suggested) -> None:
        self.waiting.answered(event.trial)
        self.suspicion.works("searcher")
        self.live[event.trial] = LiveTrial(event.trial, event.config)
        self.waiting.fresh.append(event.trial)
        self.advice.suggested(event.trial, event.config)

    def _suggest_failed(self, event: events.SuggestFailed) -> None:
        self.waiting.answered(event.trial)
        if hopeless := self.suspicion.suggestion_failed(event.message):
            self._drain(hopeless, 1)

    def _no_more(self, event: events.Exhausted) -> None:
        self._exhausted = True
        self.waiting.forget_asked()

    def _current(self, event: Any) -> LiveTrial | None:
        """The live trial whose current attempt this event is about; None: it is stale."""
        trial = self.live.get(event.trial)
        return trial if trial and trial.attempt == event.attempt and trial.slot else None

    def _started(self, event: events.Started) -> None:
        if trial := self._current(event):
            trial.started = True

    def _reported(self, event: events.Reported) -> None:
        trial = self._current(event)
        if trial is None:
            return
        self.suspicion.works("code")
        self.waiting.deferred = False
        self.spend.steps += len(event.steps)
        forgive(trial)
        for report in event.reports(self.rules.goal):
            if report.step <= trial.told:
                continue  # a step that an earlier attempt has shown already
            trial.told = report.step
            if report.score < trial.best:
                trial.best = report.score
            decision = self.advice.decide(report, trial.run_to)
            if decision is not CONTINUE:
                self._apply(trial, decision, report.step)
                if trial.status is not Status.RUNNING:
                    return

    def _apply(self, trial: LiveTrial, decision: decisions.Decision, step: int) -> None:
        if isinstance(decision, decisions.Continue):
            return
        slot, why = trial.slot or "", decision.reason
        if isinstance(decision, decisions.RunTo):
            trial.run_to = decision.step
            self._record(trial, "run_to", why, step, decision.step)
            if trial.status is Status.RUNNING:  # else it is on its way out, and owed the rest
                self._do(actions.RunTo(trial.id, trial.attempt, slot, decision.step, why))
        elif isinstance(decision, decisions.Pause):
            self._record(trial, "pause", why, step)
            if trial.status is Status.RUNNING:
                trial.move(Status.PAUSING, self.spend.at)
                self._do(actions.Pause(trial.id, trial.attempt, slot, why))
            trial.owed = False
        elif isinstance(decision, decisions.Stop):
            self._record(trial, "stop", why, step)
            self._do(actions.Stop(trial.id, trial.attempt, slot, why))
            self._end(trial, Status.STOPPED)
        else:
            self._record(trial, "finish", why, step)
            self._do(actions.Finish(trial.id, trial.attempt, slot, why))
            if trial.status is Status.RUNNING:  # else it has left, or will before it hears of this
                self.slots.finishing[trial.id] = slot
            self._end(trial, Status.COMPLETED, saving=True)

    def _checkpointed(self, event: events.Checkpointed) -> None:
        trial = self.live.get(event.trial)
        if trial is None:
            self._drop(self.retention.late(event.trial, event.path))
        elif trial.attempt == event.attempt:
            self._keep(trial, event.step, event.path)

    def _keep(self, trial: LiveTrial, step: int, path: str) -> None:
        forgive(trial)
        self._drop(self.retention.add(trial, step, path))

    def _drop(self, paths: list[str]) -> None:
        self._turn.actions.extend(map(actions.DropCheckpoint, paths))

    def _paused(self, event: events.Paused) -> None:
        trial = self._current(event)
        if trial is None or trial.status is not Status.PAUSING:
            return
        if event.path:
            self._keep(trial, event.step, event.path)
        self._release(trial)
        trial.move(Status.PAUSED, self.spend.at)
        if trial.owed and self.draining is None:
            self._recall(trial, Reason("promoted while it paused"))

    def _finished(self, event: events.Finished) -> None:
        self.slots.finishing.pop(event.trial, None)
        if event.path:
            self._drop(self.retention.late(event.trial, event.path))

    def _ended(self, event: events.Ended) -> None:
        self.slots.finishing.pop(event.trial, None)  # it had ended when it was told to finish
        if trial := self._current(event):
            self._end(trial, Status.COMPLETED)

    def _failed(self, event: events.Failed) -> None:
        trial = self._current(event)
        if trial is None:
            return None
        self._release(trial, usable=event.error not in _PROCESS_DEATH)
        if event.error == ErrorClass.CHECKPOINT and not trial.started and trial.checkpoints:
            self._drop([trial.checkpoints.pop()[1]])  # it cannot be read
        why = Reason(event.error)
        if trial.status is Status.PAUSING and event.error in _PROCESS_DEATH:
            return self._park(trial, why)
        delay_s = retry_delay_s(trial, event.error, self.rules.retries)
        if delay_s is None:
            self._end(trial, Status.FAILED)
            if hopeless := self.suspicion.trial_failed(event.message):
                self._drain(hopeless, 1)
            return None
        if trial.status is Status.PAUSING:
            return self._park(trial, why)
        return self._again(trial, why, delay_s)

    def _again(self, trial: LiveTrial, why: Reason, delay_s: float = 0.0) -> None:
        """Back to the queue, from its newest checkpoint."""
        trial.move(Status.PENDING, self.spend.at)
        self._record(trial, "retry", why, trial.step)
        self.waiting.again(trial.id, why, self.spend.at + delay_s if delay_s else 0.0)

    def _park(self, trial: LiveTrial, why: Reason) -> None:
        """Lost while it wrote its checkpoint: it pauses with the one before."""
        trial.move(Status.PAUSED, self.spend.at)
        self._record(trial, "park", why, trial.step)
        if trial.owed and self.draining is None:
            self._recall(trial, why)

    def _recall(self, trial: LiveTrial, why: Reason) -> None:
        trial.move(Status.PENDING, self.spend.at)
        self.waiting.again(trial.id, why)

    def _release(self, trial: LiveTrial, *, usable: bool = True) -> None:
        if trial.slot:
            self.slots.release(trial.slot, usable=usable)
            trial.slot = None

    def _end(self, trial: LiveTrial, status: Status, *, saving: bool = False) -> None:
        self._release(trial)
        trial.move(status, self.spend.at)
        self.waiting.deferred = False
        del self.live[trial.id]
        self.ended[status] += 1
        self._drop(self.retention.end(trial, saving=saving))
        self.advice.end(trial.id, trial.outcome())

    def _fill(self) -> None:
        """Give free slots to: retries, then promotions, then new trials; ask for more of these."""
        while work := self._next_work():
            self._start(*work)
        wanted = self.slots.free - self.waiting.under_way
        while wanted > 0 and (trial := self.waiting.ask(new=self._may_suggest())):
            wanted -= 1
            self._do(actions.Suggest(trial))

    def _may_suggest(self) -> bool:
        return not self._exhausted and self.waiting.issued < (self.rules.budget.trials or math.inf)

    def _more(self) -> bool:
        """Whether trials may still come to run that do not now, paused ones apart."""
        alone = self.waiting.deferred and self.slots.idle  # nobody to learn from
        return bool(self.waiting) or (self._may_suggest() and not alone)

    def _next_work(self) -> tuple[LiveTrial, Reason] | None:
        if not self.slots.free:
            return None
        if ready := self.waiting.pop_ready():
            return self.live[ready[0]], ready[1]
        more = self._more()
        while promotion := self.advice.next_paused(more=more):
            trial = self.live.get(promotion.trial)
            if trial is None:
                continue
            trial.run_to, trial.owed = promotion.step, True
            if trial.status is Status.PAUSED:
                trial.move(Status.PENDING, self.spend.at)
                return trial, promotion.reason
        if self.waiting.fresh:
            return self.live[self.waiting.fresh.popleft()], Reason("new")
        return None

    def _start(self, trial: LiveTrial, why: Reason) -> None:
        if not trial.run_to:
            trial.run_to = self.advice.grant(trial.id, trial.config)
        seed = Stream(self.rules.seed, trial.id, "train").integer(0, 1 << 31)
        start = trial.begin(self.slots.take(trial.id), seed, why)
        trial.move(Status.RUNNING, self.spend.at)
        verb = "start" if trial.attempt == 1 else "resume"
        self._record(trial, verb, why, trial.step, trial.run_to)
        self._do(start)

    def _drain(self, reason: str, exit_code: int) -> None:
        """Start nothing more; let everything that runs write a checkpoint."""
        if self.draining or self.closed:
            return
        self.draining = Draining(reason, exit_code, self.spend.at + self.rules.drain_s)
        why = Reason(reason)
        for trial in self.live.values():
            if trial.status is Status.RUNNING:
                trial.move(Status.PAUSING, self.spend.at)
                trial.owed = True
                self._record(trial, "pause", why, trial.told)
                self._do(actions.Pause(trial.id, trial.attempt, trial.slot or "", why))

    def _close_if_done(self) -> None:
        if self.draining:
            if self.slots.idle or self.spend.at >= self.draining.deadline:
                self._do(actions.Close(self.draining.reason, self.draining.exit_code))
            return
        if not self._more() and (self.slots.free or not self.live):  # else a promotion may be due
            failed, issued = self.ended[Status.FAILED], self.waiting.issued
            self._do(actions.Close(*self.rules.judge(failed, issued)))
        elif self.slots.none_since is not None:
            waited_s = self.spend.at - self.slots.none_since
            if waited_s >= self.rules.stalled_s:
                self._do(actions.Close(f"stalled: no slot for {waited_s:.0f} s", 3))

    def _do(self, action: actions.Action) -> None:
        self._turn.actions.append(action)

    def _record(
        self, trial: LiveTrial, verb: str, why: Reason, step: int, to_step: int | None = None
    ) -> None:
        self._turn.verdicts.append(verdict(self.rules.goal, trial, verb, why, step, to_step))
