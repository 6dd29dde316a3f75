"""The sweep as a pure state machine: an event comes in, actions and verdicts go out.

No Ray, no clock, no file, no random number is touched here; time enters inside events. Folding
the journal's events through `handle` therefore rebuilds a sweep exactly, and a resumed sweep
takes the decisions that an uninterrupted one takes when it is fed the same events.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from raysweep.orchestrator.advice import PATIENCE, Advice
from raysweep.orchestrator.confirm import to_the_end
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.moves import Moves
from raysweep.orchestrator.retries import forgive, retry_delay_s
from raysweep.orchestrator.rules import Draining, Rules
from raysweep.orchestrator.slots import Place
from raysweep.orchestrator.suspicion import Suspicion, kind_of
from raysweep.orchestrator.turn import Turn
from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.searchers.base import Searcher
from raysweep.trials import actions, events
from raysweep.trials.decisions import CONTINUE, Reason
from raysweep.trials.events import ErrorClass
from raysweep.trials.trial import Status, TrialId

_PROCESS_DEATH = frozenset({ErrorClass.CRASH, ErrorClass.STUCK, ErrorClass.INFRA})
_NO_FAULT = _PROCESS_DEATH | {ErrorClass.STORAGE}
"""What a trial that pauses is not charged with: it goes on from the checkpoint before."""

_DEVICE = frozenset({ErrorClass.ERROR, ErrorClass.OOM, ErrorClass.CRASH, ErrorClass.STUCK})
"""What a device that has gone bad makes of the trials on it."""
_PAUSED = frozenset({Status.PAUSED, Status.PAUSING})


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
        moves = self._moves = Moves(rules, self.advice)
        self.live, self.ended = moves.live, moves.ended
        self.spend, self.slots, self.waiting = moves.spend, moves.slots, moves.waiting
        self._placing = moves.placing
        self.draining: Draining | None = None
        self.closed = False
        self.changes: dict[str, Any] = {}
        self.warnings: dict[str, str] = {}
        self._exhausted = False
        self._suspicion = Suspicion()
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
            events.Undeleted: lambda event: self._moves.retention.left_over(event.path),
            events.Paused: self._paused,
            events.Finished: self._finished,
            events.Ended: self._ended,
            events.Failed: self._failed,
            events.Retried: moves.retried,
            events.Warned: self._warned,
            events.Interrupted: lambda e: self._drain(f"interrupted: {e.cause}", 75),
        }

    def handle(self, event: events.Event) -> Turn:
        """Take in one event; say what to do and what was decided.

        Events of attempts that are no longer current (a zombie's, a stopped trial's) change
        nothing.
        """
        turn = self._moves.turn = Turn([], [])
        self.spend.pass_time(event.at, self.slots.busy_units)
        if handler := self._handlers.get(type(event)):  # else it only passes time, or closes
            handler(event)
        self.closed |= isinstance(event, events.Closed)
        if not self.closed:
            if self.draining is None and (over := self.spend.exhausted()):
                self._drain(over, 0)
            self.waiting.wake(event.at)
            self._placing.tire(event.at)
            self._moves.give_chances()
            if self.draining is None:
                self._moves.fork()
                if self.slots.free and not self._moves.unborn:
                    self._fill()
            if self.draining or self.slots.idle:
                self._close_if_done()
        return turn

    def adopt(self, rules: Rules) -> None:
        """Go by other rules from now on: a resume has changed the spec."""
        self.rules = rules
        self._moves.adopt(rules)

    def deadline(self) -> float:
        """The sweep's age at which a `Ticked` is due even if nothing else happens."""
        if self.draining:
            return self.draining.deadline
        spent = self.spend.deadline(self.slots.busy_units)
        deadline = min(spent, self.waiting.due, self._placing.due, self._moves.devices.due)
        if self.slots.none_since is not None:
            deadline = min(deadline, self.slots.none_since + self.rules.stalled_s)
        return deadline

    def state(self) -> dict[str, Any]:
        """Everything, as plain JSON data: the next event may be any that this state could meet."""
        return self._moves.state() | {
            "suspicion": self._suspicion.state(),
            "draining": self.draining,
            "closed": self.closed,
            "changes": self.changes,
            "warnings": self.warnings,
            "exhausted": self._exhausted,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._moves.load(state)
        self._suspicion.load(state["suspicion"])
        self.draining = Draining(*state["draining"]) if state["draining"] else None
        self.closed = state["closed"]
        self.changes = state["changes"]
        self.warnings = dict(state.get("warnings", {}))  # snapshots of format 1 may lack it
        self._exhausted = state["exhausted"]

    def _opened(self, event: events.Opened) -> None:
        """A new driver: every process of the last one is gone, and so are its slots."""
        self.draining, self.closed = None, False
        self.changes, self.warnings = event.changes, {}
        self._suspicion.opened()
        self._moves.reopen(event.at)

    def _slot_up(self, event: events.SlotUp) -> None:
        place = Place(event.node, event.device, event.size, event.kind)
        self.slots.up(event.slot, place)

    def _slot_down(self, event: events.SlotDown) -> None:
        holder = self.slots.down(event.slot, event.at)
        if holder is not None:  # given to it before word of its death came: not the trial's fault
            trial = self.live[holder]
            trial.slot = None
            if trial.status is Status.RUNNING:
                self._moves.again(trial, Reason(ErrorClass.INFRA))
            else:
                self._park(trial, Reason(ErrorClass.INFRA))

    def _suggested(self, event: events.Suggested) -> None:
        if event.replicate_of is not None:
            return self._moves.replicated(event)
        if event.parent is not None:
            step = event.parent_step or 0
            return self._moves.born(event.trial, event.config, event.parent, step)
        self.waiting.answered(event.trial)
        self._suspicion.suggested()
        self.live[event.trial] = LiveTrial(event.trial, event.config)
        self.waiting.fresh.append(event.trial)
        return self.advice.suggested(event.trial, event.config)

    def _suggest_failed(self, event: events.SuggestFailed) -> None:
        self.waiting.answered(event.trial)
        self.warnings["searcher"] = event.message
        if hopeless := self._suspicion.suggestion_failed(event.message):
            self._drain(hopeless, 1)

    def _no_more(self, event: events.Exhausted) -> None:
        self._exhausted = True
        self.waiting.forget_asked()

    def _warned(self, event: events.Warned) -> None:
        self.warnings[event.source] = event.message
        if event.in_a_row >= PATIENCE:
            self._drain(f"{event.in_a_row} times in a row: {event.message}", 1)

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
        judged = trial.replicate_of is None
        self.waiting.deferred &= not judged
        self.spend.steps += len(event.steps)
        self._moves.devices.works(self.slots.device(trial.slot or ""))
        device = self.slots.kind(trial.slot)
        for report in event.reports(self.rules.goal, trial.elapsed_s, device):
            trial.elapsed_s = report.elapsed_s
            trial.last = (report.step, report.score)
            if report.step <= trial.told:
                continue  # a step that an earlier attempt has shown already
            trial.told = report.step
            if trial.charged:
                forgive(trial)
            if report.score < trial.best:
                trial.best = report.score
            mute = trial.parent is not None or trial.retried
            decision = (
                self.advice.decide(report, trial.run_to, mute=mute)
                if judged
                else to_the_end(report, trial.run_to)
            )
            if decision is not CONTINUE:
                self._moves.obey(trial, decision, report.step)
                if trial.status.terminal:
                    self._suspicion.succeeded()
                    return  # else it is on its way out, and its steps until then count as well

    def _checkpointed(self, event: events.Checkpointed) -> None:
        trial = self.live.get(event.trial)
        if trial is None:
            self._moves.late(event.trial, event.step, event.path)
        elif trial.attempt == event.attempt:
            self._moves.keep(trial, event.step, event.path)

    def _paused(self, event: events.Paused) -> None:
        trial = self._current(event)
        if trial is None or trial.status is not Status.PAUSING:
            return
        self._suspicion.succeeded()
        if event.path:
            self._moves.keep(trial, event.step, event.path)
        self._moves.release(trial)
        trial.move(Status.PAUSED, self.spend.at)
        if trial.owed and self.draining is None:
            self._moves.recall(trial, Reason("promoted while it paused"))

    def _finished(self, event: events.Finished) -> None:
        self.slots.finishing.pop(event.trial, None)
        if event.path:
            self._moves.late(event.trial, event.step, event.path)

    def _ended(self, event: events.Ended) -> None:
        if not event.saving:
            self.slots.finishing.pop(event.trial, None)  # it had ended when it was told to finish
        if trial := self._current(event):
            self._suspicion.succeeded()
            if event.saving and trial.slot:
                self.slots.finishing[trial.id] = trial.slot
            self._moves.end(trial, Status.COMPLETED, saving=event.saving)

    def _failed(self, event: events.Failed) -> None:
        trial = self._current(event)
        if trial is None:
            if event.trial not in self.live:  # it failed when it was told to finish
                self.slots.finishing.pop(event.trial, None)
            return None
        device = self.slots.device(trial.slot or "")
        self._moves.release(trial, usable=event.error not in _PROCESS_DEATH)
        if event.error == ErrorClass.CHECKPOINT and not trial.started:
            self._moves.unreadable(trial)
        why = Reason(event.error)
        if trial.status is Status.PAUSING and event.error in _NO_FAULT:
            return self._park(trial, why)
        delay_s = retry_delay_s(trial, event.error, self.rules.retries)
        if delay_s is None or (trial.parent and not trial.checkpoint):  # a child has no scratch
            self._moves.end(trial, Status.FAILED)
            kind = kind_of(event.error, event.message, event.traceback)
            if event.error in _DEVICE and self._moves.suspect(trial, device, kind):
                return None
            furthest = max((other.told for other in self.live.values()), default=0)
            if hopeless := self._suspicion.trial_failed(kind, trial.told, event.message, furthest):
                self._drain(hopeless, 1)
            return None
        if trial.status is Status.PAUSING:
            return self._park(trial, why)
        return self._moves.again(trial, why, delay_s)

    def _park(self, trial: LiveTrial, why: Reason) -> None:
        self._moves.park(trial, why, resting=self.draining is not None)

    def _fill(self) -> None:
        """Give free slots to: retries, then promotions, then new trials; ask for more of these."""
        self._moves.serve()
        while batch := self._batch():
            claimants = self._claimants(len(batch))
            for work in batch:
                self._moves.place(*work, claimants)
        wanted = self._placing.room - self.waiting.under_way
        while wanted > 0 and (trial := self.waiting.ask(new=self._may_suggest())):
            wanted -= 1
            self._moves.do(actions.Suggest(trial))
        all_run = self._placing.shares.elastic and self.slots.busy == len(self.live)
        if all_run and not self._more():
            self._moves.consolidate()

    def _batch(self) -> list[tuple[LiveTrial, Reason]]:
        """Whom to place next: one trial, or at once all those who are to share out the room."""
        room, batch = self._placing.room, list[tuple[LiveTrial, Reason]]()
        most = room if self._placing.shares.elastic else min(room, 1)
        while len(batch) < most and (work := self._next_work()):
            batch.append(work)
        return batch

    def _claimants(self, placed_now: int) -> int | None:
        """How many trials share out the room; None while new ones may come."""
        waiting = self.waiting
        if not self._placing.shares.elastic or self._may_suggest() or waiting.new:
            return None
        return self.slots.busy + len(self._placing) + waiting.resuming + placed_now

    def _may_suggest(self) -> bool:
        return not self._exhausted and self.waiting.issued < (self.rules.budget.trials or math.inf)

    def _more(self) -> bool:
        """Whether trials may still come to run that do not now, paused ones apart."""
        alone = self.waiting.deferred and self.slots.idle  # nobody to learn from
        waiting = bool(self.waiting or self._placing or self._moves.unborn)
        return waiting or (self._may_suggest() and not alone)

    def _next_work(self) -> tuple[LiveTrial, Reason] | None:
        if ready := self.waiting.pop_ready():
            return self.live[ready[0]], ready[1]
        more, named = self._more(), set[TrialId]()

        def flaw(promotion: Promotion) -> str:
            trial = self.live.get(promotion.trial)
            if trial is None:
                return "there is no such trial, or it has ended"
            if promotion.trial in named:
                return "it was named a moment ago"
            if trial.status not in _PAUSED or promotion.step <= trial.told:
                return f"the trial is {trial.status} at step {trial.told}"
            return ""

        while promotion := self.advice.next_paused(flaw, more=more):
            named.add(promotion.trial)
            trial = self.live[promotion.trial]
            trial.run_to, trial.owed = promotion.step, True
            if trial.status is Status.PAUSED:
                trial.move(Status.PENDING, self.spend.at)
                return trial, promotion.reason
        if self.waiting.fresh:
            return self.live[self.waiting.fresh.popleft()], Reason("new")
        return None

    def _drain(self, reason: str, exit_code: int) -> None:
        """Start nothing more; let everything that runs write a checkpoint."""
        if self.draining or self.closed:
            return
        self.draining = Draining(reason, exit_code, self.spend.at + self.rules.drain_s)
        why = Reason(reason)
        for trial in self.live.values():
            if trial.status is Status.RUNNING:
                self._moves.pause(trial, why, trial.told)
                trial.owed = True

    def _close_if_done(self) -> None:
        if self.draining:
            if self.slots.idle or self.spend.at >= self.draining.deadline:
                self._moves.do(actions.Close(self.draining.reason, self.draining.exit_code))
            return
        if not self._more() and (self.slots.free or not self.live):  # else a promotion may be due
            if self._moves.replicate():
                return
            made, failed = self.waiting.made, self.ended[Status.FAILED]
            reason, exit_code = self.rules.judge(failed, made, self.warnings)
            if self.waiting.deferred and self._may_suggest():
                reason += "; the searcher waits to learn more, and no trial is left to learn from"
            self._moves.do(actions.Close(reason, exit_code))
        elif self.slots.none_since is not None:
            waited_s = self.spend.at - self.slots.none_since
            if waited_s >= self.rules.stalled_s:
                self._moves.do(actions.Close(f"stalled: no slot for {waited_s:.0f} s", 3))
