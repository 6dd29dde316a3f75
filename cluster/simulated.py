"""A pool on a heap and a manual clock: the same seam as the Ray pool, thousands of times faster.

Step times, start-up times, failures and stragglers are drawn from keyed streams, so the same
seed gives the same events whatever is asked in between. Ties in time are broken first in, first
out.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from raysweep.trials import actions
from raysweep.trials.actions import PoolAction
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import RaysweepError
from raysweep.trials.events import (
    Checkpointed,
    Ended,
    ErrorClass,
    Event,
    Failed,
    Finished,
    Paused,
    Reported,
    SlotDown,
    SlotUp,
    Started,
)
from raysweep.trials.streams import Stream
from raysweep.trials.trial import UNBOUNDED

Curve = Callable[[Mapping[str, Any], int, int], dict[str, Any]]
"""(config, seed, step) → that step's metrics; must not depend on anything else."""


class Pace(Protocol):
    """Recorded trainings: how long each step of a config took, and how far it went."""

    def step_s(self, config: Mapping[str, Any], step: int) -> float:
        """Seconds that `step` took."""
        ...

    def length(self, config: Mapping[str, Any]) -> int:
        """Its last recorded step; a trial that is told to go beyond it ends there."""
        ...


class Machine(NamedTuple):
    """What the simulated cluster is like; probabilities are per step.

    A trial's step takes lognormal time: median `step_s`, times its slot's factor, which is 1, or
    `straggler_factor` for a `straggler_share` of the slots; where a `Pace` says how long a step
    takes, that is the median. `speeds` are those of the kinds of hardware, by name, on which devices
    stand in turn: a step takes its time divided by that. A slot `size` times as large as others is
    size ** `scaling` times as fast. Each device is a node of its own with `slots_per_device` slots;
    the smallest hold `gpu` each. `ends_at` is the step at which the
    training code itself has nothing more to train, `raises_at` one that it fails to take. A
    checkpoint is written at each multiple of `every_steps` steps, if that is given.
    """

    workers: int = 4
    slots_per_device: int = 1
    scaling: float = 0.0
    gpu: float | None = None
    step_s: float = 1.0
    step_sigma: float = 0.0
    setup_s: float = 0.0
    save_s: float = 0.0
    slot_start_s: float = 0.0
    batch_s: float = 0.2
    straggler_share: float = 0.0
    straggler_factor: float = 4.0
    speeds: Mapping[str, float] = {}
    error_rate: float = 0.0
    crash_rate: float = 0.0
    loss_rate: float = 0.0
    ends_at: int = UNBOUNDED
    raises_at: int | None = None
    can_save: bool = True
    every_steps: int | None = None


class _Slot:
    """One slot of `size` on the `device`-th device; `factor` is how slow it is."""

    __slots__ = ("busy_until", "device", "factor", "size")

    def __init__(self, device: int, size: int, factor: float, busy_until: float) -> None:
        self.device, self.size, self.factor, self.busy_until = device, size, factor, busy_until


class _Run:
    """One attempt on one slot. `gone` once nothing of it may be heard any more."""

    __slots__ = (
        "elapsed_s", "ends_at", "gone", "hot", "pausing", "run_to", "start", "step", "stream",
    )  # fmt: skip

    def __init__(self, start: actions.Start, stream: Stream, ends_at: int) -> None:
        self.start, self.stream, self.ends_at = start, stream, ends_at
        self.step, self.run_to, self.elapsed_s = start.step, start.run_to, 0.0
        self.hot = self.pausing = self.gone = False


class SimulatedPool:
    """`Pool` without a cluster.

    Args:
        machine: what the cluster is like.
        curve: what a trial reports.
        clock: moved ahead by `poll`.
        seed: of every draw.
        origin_s: `clock.now()` of the moment that events count their time from.
        pace: of recorded trainings; None: steps take the machine's time.
    """

    def __init__(
        self,
        machine: Machine,
        curve: Curve,
        clock: ManualClock,
        seed: int = 0,
        origin_s: float = 0.0,
        pace: Pace | None = None,
    ) -> None:
        self._machine, self._curve, self._clock, self._seed = machine, curve, clock, seed
        self._origin_s, self._pace = origin_s, pace
        self._heap: list[tuple[float, int, Event | None, _Run | None]] = []
        self._order = 0
        self._slots: dict[str, _Slot] = {}
        self._runs: dict[str, _Run] = {}  # slot → the attempt it hosts
        self._slots_made = 0
        for number in range(machine.workers):
            self._add_slot(self._now(), number // machine.slots_per_device)

    # -- the seam -------------------------------------------------------------------------------

    def do(self, action: PoolAction) -> None:
        """Carry out `action` now, or when its slot has finished what it is at."""
        if isinstance(action, actions.Reshape):
            return self._reshape(action)
        if action.slot not in self._slots:
            return None  # its death is on the way to whoever gave this
        if isinstance(action, actions.Start):
            return self._start(action)
        run = self._runs.get(action.slot)
        if run is None or run.gone or run.start[:2] != action[:2]:
            return None
        if isinstance(action, actions.RunTo):
            run.run_to = action.step
            if run.hot:
                self._go_on(run, self._now())
        elif isinstance(action, actions.Pause):
            run.pausing = True
            if run.hot:
                self._save(run, self._now())
        elif isinstance(action, actions.Stop):
            self._leave(run)
        else:
            self._finish(run)
        return None

    def poll(self, timeout_s: float) -> list[Event]:
        """Jump to the next moment at which something happens, if it lies within `timeout_s`.

        Raises:
            RaysweepError: if asked to wait for ever although nothing can happen any more.
        """
        until = self._now() + timeout_s
        happened: list[Event] = []
        while self._heap and self._heap[0][0] <= until:
            moment, _, event, run = heapq.heappop(self._heap)
            if run is not None and run.gone:
                continue
            if event is None and run is not None:
                event = self._stepped(run, moment)
            self._clock.jump_to(moment + self._origin_s)
            until = moment
            if event is not None:
                happened.append(event)
        if not happened and until == math.inf:
            raise RaysweepError("the simulated sweep waits for ever: nothing is left to happen")
        if not happened:
            self._clock.jump_to(until + self._origin_s)
        return happened

    def close(self) -> None:
        """Forget everything."""
        self._heap.clear()
        self._slots.clear()
        self._runs.clear()

    # -- what happens on a slot -----------------------------------------------------------------

    def _now(self) -> float:
        return self._clock.now() - self._origin_s

    def _later(self, moment: float, event: Event | None, run: _Run | None) -> None:
        self._order += 1
        heapq.heappush(self._heap, (moment, self._order, event, run))

    def _add_slot(self, asked_at: float, device: int, size: int = 1) -> None:
        """A slot that is ready `slot_start_s` after it was asked for."""
        number, machine = self._slots_made, self._machine
        self._slots_made += 1
        slot, stream = f"s{number:05d}", Stream(self._seed, "slot", number)
        slow = stream.uniform() < machine.straggler_share
        ready = asked_at + machine.slot_start_s
        factor = (machine.straggler_factor if slow else 1.0) / self._kind(device)[1]
        self._slots[slot] = _Slot(device, size, factor / size**machine.scaling, ready)
        self._announce(slot, ready)

    def _announce(self, slot: str, moment: float) -> None:
        device, size = self._slots[slot].device, self._slots[slot].size
        kind, _ = self._kind(device)
        name = str(device) if kind else ""
        self._later(moment, SlotUp(moment, slot, self._node(device), name, kind, size), None)

    def _kind(self, device: int) -> tuple[str, float]:
        """What kind of hardware a device is, and how fast that is."""
        kinds = list(self._machine.speeds.items()) or [("", 1.0)]
        return kinds[device % len(kinds)]

    @staticmethod
    def _node(device: int) -> str:
        return f"n{device:04d}"

    def _reshape(self, action: actions.Reshape) -> None:
        """Slots of other sizes in the place of these; if one of them is gone, the others stay."""
        now, held = self._now(), [slot for slot in action.slots if slot in self._slots]
        for slot in held:
            self._later(now, SlotDown(now, slot, "its room is needed"), None)
        if len(held) < len(action.slots):
            for slot in held:
                self._announce(slot, now)
            return
        device = self._slots[held[0]].device
        for slot in held:
            del self._slots[slot]
        for size in action.sizes:
            self._add_slot(now, device, size)

    def _start(self, action: actions.Start) -> None:
        stream = Stream(self._seed, action.trial, action.attempt, "machine")
        recorded = self._pace.length(action.config) if self._pace else UNBOUNDED
        run = _Run(action, stream, min(self._machine.ends_at, recorded))
        self._runs[action.slot] = run
        slot = self._slots[action.slot]
        begun = max(self._now(), slot.busy_until)
        moment = begun + self._machine.setup_s
        node, setup_s = self._node(slot.device), moment - begun
        gpu = None if self._machine.gpu is None else self._machine.gpu * slot.size
        started = Started(
            moment, action.trial, action.attempt, run.step, action.slot, node, setup_s, gpu
        )
        self._later(moment, started, run)
        self._go_on(run, moment)

    def _go_on(self, run: _Run, moment: float) -> None:
        """Schedule the end of the next batch of steps: a grant, an end, or `batch_s`."""
        run.hot = False
        limit = min(run.run_to, run.ends_at)
        if run.step >= limit:
            return self._later(moment, None, run)
        machine, factor = self._machine, self._slots[run.start.slot].factor
        begun, failure = moment, None
        steps: list[int] = []
        elapsed: list[float] = []
        saves = False
        while run.step < limit and (not steps or moment - begun < machine.batch_s):
            median_s = self._median_s(run) * factor
            step_s = run.stream.lognormal(median_s, machine.step_sigma)
            moment += step_s
            if failure := self._failure(run):
                break
            run.step += 1
            run.elapsed_s += step_s
            steps.append(run.step)
            elapsed.append(run.elapsed_s)
            if saves := self._saves(run):
                break
        if steps and failure in (None, ErrorClass.ERROR):  # what a dead process held is lost
            self._later(moment, self._report(run, moment, steps, elapsed), run)
        if failure:
            return self._fail(run, moment, failure)
        if saves:
            moment += machine.save_s
            written = Checkpointed(
                moment, run.start.trial, run.start.attempt, run.step, self._path(run)
            )
            self._later(moment, written, None)
        return self._later(moment, None, run)

    def _saves(self, run: _Run) -> bool:
        """Whether it writes a checkpoint at the step that it has come to."""
        every = self._machine.every_steps
        return self._machine.can_save and every is not None and run.step % every == 0

    def _median_s(self, run: _Run) -> float:
        """What the next step takes on an ordinary slot."""
        if self._pace is None:
            return self._machine.step_s
        return self._pace.step_s(run.start.config, run.step + 1)

    def _report(self, run: _Run, moment: float, steps: list[int], elapsed: list[float]) -> Reported:
        start = run.start
        rows = [self._curve(start.config, start.seed, step) for step in steps]
        columns = {name: [row.get(name) for row in rows] for name in rows[0]}
        return Reported(moment, start.trial, start.attempt, steps, elapsed, columns)

    def _stepped(self, run: _Run, moment: float) -> Event | None:
        """A batch is over: end, save, wait hot, or go on."""
        # where a recording ends, nobody knows that until the trial is told to go further
        if run.step >= run.ends_at and (self._pace is None or run.run_to > run.step):
            self._leave(run)
            return Ended(moment, run.start.trial, run.start.attempt, run.step)
        if run.pausing:
            self._save(run, moment)
        elif run.step >= run.run_to:
            run.hot = True
        else:
            self._go_on(run, moment)
        return None

    def _save(self, run: _Run, moment: float) -> None:
        moment += self._machine.save_s
        path = self._path(run) if self._machine.can_save else None
        start = run.start
        self._later(moment, Paused(moment, start.trial, start.attempt, run.step, path), run)
        self._busy_until(start.slot, moment)

    def _finish(self, run: _Run) -> None:
        moment, start, path = self._now() + self._machine.save_s, run.start, None
        if self._machine.can_save:
            path = self._path(run)
            self._busy_until(start.slot, moment)
        self._later(moment, Finished(moment, start.trial, start.attempt, run.step, path), None)
        self._leave(run)

    def _leave(self, run: _Run) -> None:
        run.gone = True
        if self._runs.get(run.start.slot) is run:
            del self._runs[run.start.slot]

    def _busy_until(self, slot: str, moment: float) -> None:
        self._slots[slot].busy_until = moment

    @staticmethod
    def _path(run: _Run) -> str:
        return f"checkpoints/{run.start.trial}/{run.start.attempt}-{run.step}"

    # -- what goes wrong ------------------------------------------------------------------------

    def _failure(self, run: _Run) -> ErrorClass | None:
        machine = self._machine
        if run.step + 1 == machine.raises_at:
            return ErrorClass.ERROR
        if not (machine.error_rate or machine.crash_rate or machine.loss_rate):
            return None
        draw = run.stream.uniform()
        if draw < machine.error_rate:
            return ErrorClass.ERROR
        if draw < machine.error_rate + machine.crash_rate:
            return ErrorClass.CRASH
        if draw < machine.error_rate + machine.crash_rate + machine.loss_rate:
            return ErrorClass.INFRA
        return None

    def _fail(self, run: _Run, moment: float, error: ErrorClass) -> None:
        """The attempt ends; unless its own code raised, its slot goes and a new one comes."""
        start = run.start
        message = f"simulated {error} after step {run.step}"
        failed = Failed(moment, start.trial, start.attempt, error.value, message, "")
        self._later(moment, failed, run)
        if error is ErrorClass.ERROR:
            return
        slot = self._slots.pop(start.slot)
        self._later(moment, SlotDown(moment, start.slot, message), None)
        self._add_slot(moment, slot.device, slot.size)
