"""The pool on a Ray cluster: a long-lived actor per slot, which runs trial after trial."""

from __future__ import annotations

import logging
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from raysweep.cluster.deaths import Death, Doubts, diagnose
from raysweep.cluster.mailbox import Mail, Post
from raysweep.cluster.nodes import (
    Block,
    Nodes,
    NodeWatcher,
    Seat,
    Seats,
    cores_are_taken,
    living_nodes,
)
from raysweep.cluster.resources import Resources, accelerators_of
from raysweep.cluster.silence import is_idle, stuck
from raysweep.cluster.slot import Arrival, Slot, stamped
from raysweep.trainables.actor import TrialActor
from raysweep.trainables.failures import TERMINATED
from raysweep.trainables.runner import HostSpec
from raysweep.trainables.wire import Pulse
from raysweep.trials.actions import PoolAction, Reshape
from raysweep.trials.clock import Clock
from raysweep.trials.errors import AnswerError, ClusterLost
from raysweep.trials.events import ErrorClass, Event, Failed, Silent, SlotDown, SlotUp

_START_S = 300.0
"""How long a process may take to come up before its seat is given up for a while."""
_RESHAPED_S = 60.0
"""The same for a process that takes the room of others: somebody else may have got it first."""
_TEXT_CHARS = 4_000
_LAST_MAIL_S = 5.0
"""How long word of a death waits for what the process has left in the mailbox."""
_MOST_AT_ONCE = 1_000
"""Messages that one `poll` takes in, so that its caller is not kept waiting under load."""
_log = logging.getLogger(__name__)


class RayPool:
    """Runs trials on all nodes of the Ray cluster that this process is connected to.

    All of its state is touched by `do`, `poll` and `close` only, which belong in one thread.
    Ray's threads and the node watcher put messages into one queue; an event costs the same
    however many slots there are.

    Args:
        host: what to run; sent to the cluster once.
        resources: what each slot holds, until it is told to `Reshape` some.
        clock: the driver's clock.
        origin_s: `clock.now()` of the moment that events count their time from.
        max_slots: the most slots at once; None: as many as fit.
        fresh_process: give each trial a process of its own.
        stuck_s: a trial that shows no progress for so long is killed; None: never.
        cleanup_s: a process whose cleanup after a trial takes so long is replaced.
    """

    def __init__(
        self,
        host: HostSpec,
        resources: Resources,
        *,
        clock: Clock,
        origin_s: float,
        max_slots: int | None = None,
        fresh_process: bool = False,
        stuck_s: float | None = None,
        cleanup_s: float = 45.0,
    ):
        import ray

        self._ray = ray
        self._clock, self._origin_s = clock, origin_s
        self._fresh, self._stuck_s = fresh_process, stuck_s
        self._cleanup_s = cleanup_s
        self._host, self._actor = ray.put(host), ray.remote(TrialActor)
        self._resources = resources
        self._arrivals = SimpleQueue[Arrival | Mail | Nodes | ClusterLost | None]()  # None: wake up
        self._lost = False
        self._post = Post(self._arrivals.put)
        self._deaths: dict[str, Death[Slot]] = {}  # by slot
        self._doubts = Doubts()
        self._seats = Seats(resources, max_slots)
        self._taken: dict[Seat, Slot] = {}
        self._slots: dict[str, tuple[Block, Slot]] = {}
        self._reshapes: list[tuple[float, Reshape]] = []  # by when, what
        self._changing: dict[str, set[str]] = {}  # node → slots for which others made room there
        self._unflushed: list[Slot] = []
        self._count = 0
        self._seats.nodes = living_nodes()
        self._fill_seats()
        self._watcher = NodeWatcher(self._arrivals.put)

    def do(self, action: PoolAction) -> None:
        """Keep `action` for the next `poll`; one for a slot that is gone changes nothing."""
        if isinstance(action, Reshape):
            self._reshapes.append((self._clock.now() + _RESHAPED_S, action))
            return
        held = self._slots.get(action.slot)
        if held is not None and held[1].give(action):
            self._unflushed.append(held[1])

    def poll(self, timeout_s: float) -> list[Event]:
        """Send what was given to do; then what has happened, at once if anything has.

        Raises `ClusterLost` if Ray itself is gone.
        """
        unflushed, self._unflushed = self._unflushed, []
        for slot in unflushed:
            if slot.name in self._slots and slot.name not in self._deaths:
                slot.flush()
        deadline_s = self._clock.now() + timeout_s
        events: list[Event] = []
        self._reshape_where_calm(events)
        while not events:
            woken = self._wait(deadline_s - self._clock.now(), events)
            if events or woken or self._clock.now() >= deadline_s:
                break
        at = self._clock.now() - self._origin_s
        return [stamped(event, at) for event in events]

    def wake(self) -> None:
        """End the wait of `poll`, from any thread: its caller has something else to do."""
        self._arrivals.put(None)

    def close(self) -> None:
        """Kill every process, once it has cleaned up after a trial that has ended.

        Trials that run are lost where they are.
        """
        deadline_s = self._clock.now() + self._cleanup_s
        slots = [slot for _, slot in self._slots.values() if slot.name not in self._deaths]
        tidying = [slot for slot in slots if slot.tidying and slot.hosted is None]
        for slot in tidying:
            slot.flush()
        while any(slot.name in self._slots and slot.tidying for slot in tidying):
            if self._clock.now() >= deadline_s:
                break
            self._wait(min(1.0, deadline_s - self._clock.now()), [])
        self._watcher.close()
        if not self._lost:
            self._post.close()
        for _, slot in self._slots.values():
            slot.end()
        self._slots, self._taken, self._unflushed, self._reshapes = {}, {}, [], []

    def _wait(self, timeout_s: float, events: list[Event]) -> bool:
        """Wait for one message and take in all that are there by then; whether one was a `wake`."""
        nodes: Nodes | None = None
        woken = False
        try:
            message = self._arrivals.get(timeout=max(timeout_s, 0.0))
            for _ in range(_MOST_AT_ONCE):
                if isinstance(message, ClusterLost):
                    self._lost = True
                    raise message
                if isinstance(message, Arrival):
                    self._arrived(message, events)
                elif isinstance(message, Mail):
                    self._mailed(message, events)
                elif message is None:
                    woken = True
                else:
                    nodes = message
                message = self._arrivals.get_nowait()
        except Empty:
            if nodes is not None:  # about once a second, and only when all that arrived is known
                self._look_around(nodes, events)
        return woken

    def _arrived(self, arrival: Arrival, events: list[Event]) -> None:
        slot = arrival.slot
        gone = slot.name not in self._slots or slot.name in self._deaths
        if gone or not slot.is_current(arrival.process):
            return
        block = self._slots[slot.name][0]
        seat = block[0]
        if arrival.error is not None:
            self._seats.nodes = living_nodes()  # as Ray knows them now
            alive = seat.node in self._seats.nodes
            kind, message = diagnose(arrival.error, slot.node or seat.node[:8], alive)
            if kind is ErrorClass.CRASH and slot.hosted is not None:
                self._doubts.hold(slot.name, arrival.error, self._clock.now())
            else:
                self._died(slot, kind, message, str(arrival.error)[:_TEXT_CHARS], events)
            return
        starting, was = slot.starting, (slot.node, slot.device)
        try:
            events.extend(slot.receive(arrival))
        except AnswerError as error:
            self._misled(slot, error, events)
            return
        if not starting:
            self._tidy(slot, events)
            return
        slot.ready = True
        self._seats.succeeded(seat)
        if was != (slot.node, slot.device):
            events.append(self._up(slot, block))
        self._changed(seat.node, slot.name)

    def _mailed(self, mail: Mail, events: list[Event]) -> None:
        if mail.error is not None:  # Ray starts it anew; `_look_around` asks it again
            self._post.broken = True
        else:
            self._post.up = True
        asked, letters = mail.read()
        for sender, letter in letters:
            _, slot = self._slots.get(sender.partition(".")[0], (None, None))
            if slot is None or slot.key != sender:
                continue
            try:
                events.extend(slot.receive_mail(letter))
            except AnswerError as error:
                self._misled(slot, error, events)
            else:
                if slot.pulse is not None and slot.name not in self._deaths:
                    self._felt(slot, slot.pulse, events)
                self._tidy(slot, events)
        for death in list(self._deaths.values()):
            if mail.error is not None or death.asked <= asked:
                self._bury(death, events)
        if mail.error is None:
            self._post.take()

    def _tidy(self, slot: Slot, events: list[Event]) -> None:
        """Have a trial that has ended cleaned up after, and replace a process that is to end."""
        if slot.tidying:
            self._unflushed.append(slot)
        elif slot.condemned and slot.name in self._slots:
            self._died(slot, ErrorClass.INFRA, TERMINATED, "", events)

    def _felt(self, slot: Slot, pulse: Pulse, events: list[Event]) -> None:
        """A process shows that it lives in the middle of something long."""
        if pulse.doing == "cleanup" and pulse.since_s >= self._cleanup_s * 0.99:
            what = (
                f"the cleanup of {pulse.trial} took longer than {self._cleanup_s:g} s "
                "(timeouts.cleanup); its process is replaced"
            )
            self._died(slot, ErrorClass.CRASH, what, "", events)
            return
        full = is_idle(pulse.cores) and cores_are_taken()
        of = (pulse.trial, pulse.attempt)
        events.append(Silent(0.0, *of, pulse.doing, pulse.since_s, pulse.cores, full))

    def _misled(self, slot: Slot, error: AnswerError, events: list[Event]) -> None:
        what = f"the trial's process sent what it should not, and was ended: {error}"
        self._lose(slot, ErrorClass.CRASH, what, "", events)

    def _died(
        self, slot: Slot, kind: ErrorClass, message: str, text: str, events: list[Event]
    ) -> None:
        """Tell of a death once all that the process has left in the mailbox has been told."""
        if slot.name in self._deaths:
            return
        until_s = self._clock.now() + _LAST_MAIL_S
        up = self._post.up and not self._post.broken and slot.ready
        death = Death(self._post.ask() if up else 0, until_s, slot, kind, message, text)
        if up:
            self._deaths[slot.name] = death
        else:
            self._bury(death, events)

    def _bury(self, death: Death[Slot], events: list[Event]) -> None:
        self._deaths.pop(death.slot.name, None)
        if death.slot.name in self._slots:
            self._lose(death.slot, death.kind, death.message, death.text, events)

    def _up(self, slot: Slot, block: Block) -> Event:
        has = self._seats.nodes.get(block[0].node, {})
        kind = (accelerators_of(has) if slot.device else [])[:1]
        return SlotUp(0.0, slot.name, slot.node, slot.device, "".join(kind), len(block))

    def _look_around(self, nodes: Nodes, events: list[Event]) -> None:
        """What is due once a second: lost nodes, silent processes, vacant seats."""
        self._seats.nodes = nodes
        now_s = self._clock.now()
        if self._post.broken:
            self._post.broken = False
            self._post.take()
        for death in list(self._deaths.values()):
            if death.until_s <= now_s:
                self._bury(death, events)
        for name in list(self._slots):
            (seat, *_), slot = self._slots[name]
            since_s = slot.silent_since()
            silent_s = now_s - since_s if since_s is not None else 0.0
            start_s = _RESHAPED_S if name in self._changing.get(seat.node, ()) else _START_S
            if seat.node not in nodes:
                self._died(slot, ErrorClass.INFRA, f"node {slot.node} was lost", "", events)
            elif self._doubts.is_held(name):
                if (error := self._doubts.settled(name, now_s)) is not None:
                    kind, message = diagnose(error, slot.node or seat.node[:8], node_alive=True)
                    self._died(slot, kind, message, str(error)[:_TEXT_CHARS], events)
            elif slot.starting and silent_s > start_s:
                what = f"its process did not start on node {seat.node[:8]} within {start_s:g} s"
                self._lose(slot, ErrorClass.INFRA, what, "", events)
            elif not slot.starting and self._stuck_s is not None and silent_s > self._stuck_s:
                what = stuck(silent_s, self._stuck_s, slot.pulse, cores_are_taken())
                self._died(slot, ErrorClass.STUCK, what, "", events)
        self._fill_seats()
        self._reshape_where_calm(events)

    def _lose(
        self, slot: Slot, kind: ErrorClass, message: str, text: str, events: list[Event]
    ) -> None:
        """Tell of the trial's loss, then of the slot's, and put another one in its place."""
        if slot.untouched:
            _log.warning("slot %s: %s; %s goes back to the queue", slot.name, message, slot.hosted)
        elif slot.hosted is not None:
            events.append(Failed(0.0, *slot.hosted, kind.value, message, text))
        elif slot.ran:
            _log.warning("slot %s: %s", slot.name, message)
        events.append(SlotDown(0.0, slot.name, message))
        self._doubts.drop(slot.name)
        slot.end()
        block = self._vacate(slot.name)
        if slot.name in self._changing.get(block[0].node, ()):
            self._seats.reshape(block, (1,) * len(block))
        if not slot.ran:
            self._seats.failed(block[0], self._clock.now())
        self._changed(block[0].node, slot.name)
        self._fill_seats()

    def _vacate(self, name: str) -> Block:
        block, _ = self._slots.pop(name)
        for seat in block:
            del self._taken[seat]
        return block

    def _reshape_where_calm(self, events: list[Event]) -> None:
        """Carry out what waits on nodes where no process is coming up: Ray gives free shares of its
        devices to whoever asks, so on one node only one change at a time may ask for them."""
        reshapes, self._reshapes = self._reshapes, []
        for until_s, action in reshapes:
            held = [self._slots[name] for name in action.slots if name in self._slots]
            whole = len(held) == len(action.slots)  # else one has died meanwhile
            here = {block[0].node for block, _ in held}
            on = [s for block, s in self._slots.values() if block[0].node in here]
            calm = all(s.ready for s in on) and not any(s.tidying for _, s in held)
            if whole and not calm and self._clock.now() < until_s:
                self._reshapes.append((until_s, action))
                continue
            events.extend(SlotDown(0.0, slot.name, "its room is needed") for _, slot in held)
            if whole and calm:
                self._reshape(held, action.sizes)
            else:
                events.extend(self._up(slot, block) for block, slot in held)

    def _reshape(self, held: list[tuple[Block, Slot]], sizes: tuple[int, ...]) -> None:
        """End these slots and begin others on their seats."""
        seats = list[Seat]()
        for _, slot in held:
            slot.end()
            seats.extend(self._vacate(slot.name))
        if blocks := self._seats.reshape(seats, sizes):
            self._changing[seats[0].node] = {self._occupy(block) for block in blocks}

    def _changed(self, node: str, name: str) -> None:
        """A slot has come up, or never will: others may now come up on its node."""
        changing = self._changing.get(node, set())
        changing.discard(name)
        if not changing:
            self._changing.pop(node, None)

    def _fill_seats(self) -> None:
        for block in self._seats.vacant(self._taken, self._clock.now()):
            if block[0].node not in self._changing:
                self._occupy(block)

    def _occupy(self, block: Block) -> str:
        """Start the process of a slot; the slot's name."""
        self._count += 1
        name = f"s{self._count:04d}"
        spawn = partial(self._spawn, block[0].node, self._resources.times(len(block)))
        slot = Slot(name, spawn, self._kill, self._arrivals.put, self._clock, self._fresh)
        self._slots[name] = (block, slot)
        self._taken.update(dict.fromkeys(block, slot))
        return name

    def _spawn(self, node: str, holds: Resources, key: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = self._actor.options(
            **holds.to_ray_options(),
            max_restarts=0,
            max_task_retries=0,
            enable_task_events=False,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        return actor.remote(self._host, holds.gpu, holds.cpu, self._post.handle, key)

    def _kill(self, process: Any) -> None:
        if process is not None and not self._lost:  # else Ray would end this process
            self._ray.kill(process, no_restart=True)
