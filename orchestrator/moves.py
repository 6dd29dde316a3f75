"""The live trials, and every move that one of them makes.

A move concerns the trial's status, its slot, the queue, its checkpoints and the record at once;
here it is done to all of them in one place. Which move is due, `state.py` decides.
"""

from __future__ import annotations

from typing import Any

from raysweep.orchestrator.advice import Advice
from raysweep.orchestrator.bad_devices import BadDevices
from raysweep.orchestrator.budget import Spend
from raysweep.orchestrator.confirm import RULE, Confirmation
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.placing import Placing
from raysweep.orchestrator.retention import Retention
from raysweep.orchestrator.retries import forgive, has_room
from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.slots import Device, Slots
from raysweep.orchestrator.turn import Turn, verdict
from raysweep.orchestrator.waiting import Waiting
from raysweep.schedulers.base import Fork
from raysweep.trials import actions, decisions
from raysweep.trials.decisions import Reason
from raysweep.trials.events import ErrorClass, Retried, Suggested
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Status, TrialId

_PARTS = ("spend", "slots", "waiting", "placing", "advice", "retention", "confirmation", "devices")
"""Attributes that can write themselves down."""
_MOST_CHILDREN = 4
"""A breeder whose children wait in larger numbers, by trials that have begun, would go on for ever."""


class Moves:
    """What is in hand: live trials, slots, queue, checkpoints and what was spent.

    Args:
        rules: their goal and seed stay for good.
        advice: is told of each trial's end.

    Attributes:
        live, ended: the trials that have not ended, and how many have, by status.
        unborn: children and replicates that were decided on and are not in the journal yet.
        turn: the answer to the event at hand; each move adds to it.
    """

    def __init__(self, rules: Rules, advice: Advice) -> None:
        self._goal, self._seed = rules.goal, rules.seed
        self.advice = advice
        self.spend = Spend(rules.budget, rules.gpu)
        self.slots = Slots()
        self.waiting = Waiting()
        self.placing = Placing(self.slots, rules.shares)
        self.retention = Retention(rules.keep)
        self.confirmation = Confirmation(rules.confirm)
        self.devices = BadDevices()
        self.live: dict[TrialId, LiveTrial] = {}
        self.unborn: dict[TrialId, actions.Fork] = {}
        self.ended = dict.fromkeys((Status.COMPLETED, Status.STOPPED, Status.FAILED), 0)
        self.turn = Turn([], [])

    def adopt(self, rules: Rules) -> None:
        """Go by other limits from now on."""
        self.spend.adopt(rules.budget, rules.gpu)
        self.retention.keep = rules.keep
        self.placing.shares = rules.shares

    def reopen(self, at: float) -> None:
        """A new driver, at the sweep's age `at`: all processes of the last one are gone."""
        self.slots.reset(at)
        self.waiting.reopen()
        self.placing.reset()
        self.devices.opened()
        self.drop(self.retention.reopen())
        for trial in self.live.values():
            trial.slot = None
            if trial.status is Status.RUNNING:
                self.again(trial, Reason(ErrorClass.DRIVER))
            elif trial.status is Status.PAUSING:
                self.park(trial, Reason(ErrorClass.DRIVER))
            elif trial.status is Status.PAUSED and trial.owed:
                self.recall(trial, Reason("resume"))
            elif trial.status is Status.PENDING and (trial.run_to or trial.parent or trial.retried):
                self.waiting.again(trial.id, Reason("resume"))
            elif trial.status is Status.PENDING:
                self.waiting.fresh.append(trial.id)
        for fork in self.unborn.values():
            self.do(fork)

    def fork(self) -> None:
        """Decide on the children that are due by now; each is born once it is in the journal."""

        def flaw(fork: Fork) -> str:
            parent = self.live.get(fork.parent)
            begun = sum(trial.attempt > 0 for trial in self.live.values())
            waiting = len(self.unborn) + len(self.live) - begun
            if waiting > _MOST_CHILDREN * begun:
                return f"{waiting} trials wait to begin already, where {begun} have begun"
            return "" if parent and parent.checkpoints else "its parent has ended or no checkpoint"

        while found := self.advice.next_fork(self.waiting.next_id, flaw):
            step, path = self.live[found.parent].checkpoints[-1]
            child = self.waiting.child()
            fork = actions.Fork(child, dict(found.config), dict(found.why), found.parent, step)
            self.unborn[child] = fork
            self.retention.hold(child, path)
            self.do(fork)

    def born(self, child: TrialId, config: dict[str, Any], parent: TrialId, step: int) -> None:
        """A child is in the journal: it wants a slot, ahead of all that is new."""
        self.unborn.pop(child, None)
        trial = self.live[child] = LiveTrial(child, config, parent)
        trial.told = step
        if path := self.retention.held_by(child):
            trial.origin = (step, path)
        self.waiting.again(child, Reason("fork"))

    def replicate(self) -> bool:
        """Decide on all the replicates that are missing; whether there are any."""
        for leader, rank, run_to in list(self.confirmation.owed(self.live.values())):
            self.confirmation.made(leader.trial)
            trial, value = self.waiting.child(), self._goal.value(leader.score)
            why = {"rank": rank, "value": value, "to_step": run_to}
            fork = actions.Fork(trial, leader.config, why, replicate_of=leader.trial)
            self.unborn[trial] = fork
            self.do(fork)
        return bool(self.unborn)

    def replicated(self, event: Suggested) -> None:
        """A replicate is in the journal: it wants a slot, and nobody is told of it."""
        self.unborn.pop(event.trial, None)
        trial = self.live[event.trial] = LiveTrial(event.trial, event.config)
        trial.replicate_of, trial.run_to = event.replicate_of, event.why["to_step"]
        self.waiting.again(trial.id, Reason(RULE))

    def retried(self, event: Retried) -> None:
        """A trial that had failed is live again: it wants a slot, ahead of all that is new."""
        if event.trial in self.live:
            return
        trial = self.live[event.trial] = LiveTrial(event.trial, event.config)
        trial.attempt, trial.retried = event.attempts, True
        self.retention.back(trial)
        if event.checkpoint is not None:
            trial.checkpoints.append((event.step, event.checkpoint))
            trial.told = event.step
        self.ended[Status.FAILED] -= 1
        self.retention.revive(trial.id)
        self.waiting.again(trial.id, Reason("failed before"))

    def suspect(self, trial: LiveTrial, device: Device, kind: str) -> bool:
        """`trial` has failed for good on `device`; whether the device is set aside for it.

        Then this trial and those before it in the streak are tried again elsewhere.
        """
        alone = trial.parent is None and trial.replicate_of is None
        retry = actions.Retry(trial.id, trial.config, trial.attempt) if alone else None
        there = set(self.slots.units())
        again = self.devices.failed(device, kind, retry, self.spend.at, there)
        if not again:
            return False
        until = self.devices.set_aside(device, self.spend.at)
        self.slots.set_aside(device)
        where = f"device {device[1]} of node {device[0]}" if device[1] else f"node {device[0]}"
        self.do(
            actions.Warn(
                "device",
                f"{len(again)} trials in a row failed alike at once on {where}, and not on others: it "
                f"is set aside for {until - self.spend.at:.0f} s, and they are tried again elsewhere",
            )
        )
        for each in again:
            self.do(each)
        return True

    def give_chances(self) -> None:
        """Devices that were set aside for long enough are used again."""
        for device in self.devices.back(self.spend.at):
            self.slots.bring_back(device)

    def do(self, action: actions.Action) -> None:
        """Want something done."""
        self.turn.actions.append(action)

    def record(
        self, trial: LiveTrial, verb: str, why: Reason, step: int, to_step: int | None = None
    ) -> None:
        """Put a decision on `trial` on record."""
        self.turn.verdicts.append(verdict(self._goal, trial, verb, why, step, to_step))

    def place(self, trial: LiveTrial, why: Reason, claimants: int | None = None) -> None:
        """Onto a free slot of its size, if there is one; else it waits.

        Args:
            trial: is pending.
            why: it goes on.
            claimants: as of `Placing.size`.
        """
        if not trial.run_to:
            trial.run_to = self.advice.grant(trial.id, trial.config)
            if (
                trial.retried and trial.run_to <= trial.step
            ):  # its rule wants to see it from the start
                self.drop(self.retention.free([path for _, path in trial.checkpoints]))
                trial.checkpoints, trial.told = [], 0
        size = self.placing.size(trial.run_to, claimants if trial.attempt else None)
        if slot := self.placing.find(size):
            self._start(trial, why, slot)
        else:
            self.placing.wait(trial.id, why, size, self.spend.at)
            self._reshape()

    def serve(self) -> None:
        """Start those who waited for a slot like one that is free; get one ready for the others."""
        for trial, why, slot in self.placing.served():
            self._start(self.live[trial], why, slot)
        self._reshape()

    def _reshape(self) -> None:
        self.turn.actions.extend(self.placing.plan(self.spend.at, self._left))

    def consolidate(self) -> None:
        """Nobody will start any more: let an autoscaler have the nodes on which nothing runs."""
        if not any(self.confirmation.owed(self.live.values())):
            self.turn.actions.extend(self.placing.spare(self.spend.at))

    def _left(self, trial: TrialId) -> int:
        """How many steps a trial on a slot may still run before it asks."""
        live = self.live[trial]
        return live.run_to - live.told if live.status is Status.RUNNING else 0

    def _start(self, trial: LiveTrial, why: Reason, slot: str) -> None:
        """On a slot that is free, from its newest checkpoint."""
        seed = Stream(self._seed, trial.id, "train").integer(0, 1 << 31)
        self.slots.take(trial.id, slot)
        self.devices.began(self.slots.device(slot), self.spend.at)
        start = trial.begin(slot, seed, why)
        trial.move(Status.RUNNING, self.spend.at)
        verb = "start" if trial.attempt == 1 else "resume"
        self.record(trial, verb, why, trial.step, trial.run_to)
        self.do(start)

    def obey(self, trial: LiveTrial, decision: decisions.Decision, step: int) -> None:
        """Do what the scheduler decided when `trial` had reported `step`."""
        if isinstance(decision, decisions.Continue):
            return
        slot, why = trial.slot or "", decision.reason
        if isinstance(decision, decisions.RunTo):
            larger = self.placing.size(decision.step) > self.placing.size(trial.run_to)
            trial.run_to = decision.step
            self.record(trial, "run_to", why, step, decision.step)
            if larger and trial.status is Status.RUNNING:
                self.pause(trial, Reason("larger share"), step)
                trial.owed = True
            elif trial.status is Status.RUNNING:  # else it is on its way out, and owed the rest
                self.do(actions.RunTo(trial.id, trial.attempt, slot, decision.step, why))
        elif isinstance(decision, decisions.Pause):
            self.pause(trial, why, step)
            trial.owed = False
        elif isinstance(decision, decisions.Stop):
            self.record(trial, "stop", why, step)
            self.do(actions.Stop(trial.id, trial.attempt, slot, why))
            self.end(trial, Status.STOPPED)
        else:
            self.record(trial, "finish", why, step)
            self.do(actions.Finish(trial.id, trial.attempt, slot, why))
            if trial.status is Status.RUNNING:  # else it has left, or will before it hears of this
                self.slots.finishing[trial.id] = slot
            self.end(trial, Status.COMPLETED, saving=True)

    def pause(self, trial: LiveTrial, why: Reason, step: int) -> None:
        """Let it write a checkpoint and yield its slot, if it is not about to."""
        self.record(trial, "pause", why, step)
        if trial.status is Status.RUNNING:
            trial.move(Status.PAUSING, self.spend.at)
            self.do(actions.Pause(trial.id, trial.attempt, trial.slot or "", why))

    def keep(self, trial: LiveTrial, step: int, path: str) -> None:
        """It has written a checkpoint."""
        forgive(trial)
        has_room(trial)
        self.drop(self.retention.add(trial, step, path))
        if trial.origin:
            trial.origin = None
            self.drop(self.retention.let_go(trial.id))
        self.advice.saved(trial.id, trial.step)

    def unreadable(self, trial: LiveTrial) -> None:
        """Its newest checkpoint, if it has one of its own, cannot be read."""
        if trial.checkpoints:
            self.drop(self.retention.give_up(trial))
            self.advice.saved(trial.id, trial.step)

    def drop(self, paths: list[str]) -> None:
        """Nothing refers to these checkpoints any more."""
        self.turn.actions.extend(map(actions.DropCheckpoint, paths))

    def late(self, trial: TrialId, step: int, path: str) -> None:
        """One that has ended had written a checkpoint."""
        self.drop(self.retention.late(trial, step, path))

    def again(self, trial: LiveTrial, why: Reason, delay_s: float = 0.0) -> None:
        """Back to the queue, from its newest checkpoint."""
        trial.move(Status.PENDING, self.spend.at)
        self.record(trial, "retry", why, trial.step)
        self.waiting.again(trial.id, why, self.spend.at + delay_s if delay_s else 0.0)

    def park(self, trial: LiveTrial, why: Reason, *, resting: bool = False) -> None:
        """Lost while it wrote its checkpoint: it pauses with the one before.

        A sweep that is `resting` calls nobody back, not even those that are owed a slot.
        """
        trial.move(Status.PAUSED, self.spend.at)
        self.record(trial, "park", why, trial.step)
        if trial.owed and not resting:
            self.recall(trial, why)

    def recall(self, trial: LiveTrial, why: Reason) -> None:
        """It pauses, and wants a slot again."""
        trial.move(Status.PENDING, self.spend.at)
        self.waiting.again(trial.id, why)

    def release(self, trial: LiveTrial, *, usable: bool = True) -> None:
        """It has left its slot, if it had one; `usable` is False if the process died with it."""
        if trial.slot:
            self.slots.release(trial.slot, usable=usable)
            trial.slot = None

    def end(self, trial: LiveTrial, status: Status, *, saving: bool = False) -> None:
        """It has ended for good; if it is `saving`, one more checkpoint will come."""
        self.release(trial)
        trial.move(status, self.spend.at)
        del self.live[trial.id]
        self.ended[status] += 1
        self.drop(self.retention.end(trial, saving=saving))
        self.drop(self.retention.let_go(trial.id))
        if trial.replicate_of is None:
            self.waiting.deferred = False
            self.confirmation.ended(trial)
            self.advice.end(
                trial.id, trial.outcome(), mute=trial.parent is not None or trial.retried
            )

    def state(self) -> dict[str, Any]:
        """Everything but the turn, as plain JSON data."""
        parts = {name: getattr(self, name).state() for name in _PARTS}
        return parts | {
            "live": {trial.id: trial.to_json() for trial in self.live.values()},
            "ended": {status.value: count for status, count in self.ended.items()},
            "unborn": list(self.unborn.values()),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        for name in _PARTS:
            if name in state:  # snapshots of 0.1 have not all of them
                getattr(self, name).load(state[name])
        self.live.clear()
        for name, data in state["live"].items():
            self.live[name] = LiveTrial.from_json(name, data)
        self.ended.update({Status(name): count for name, count in state["ended"].items()})
        forks = (actions.Fork(*fork) for fork in state.get("unborn", ()))  # 0.1 knew none
        self.unborn = {fork.trial: fork for fork in forks}
