"""What a sweep would do on so many workers: its own state machine on the simulated pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from raysweep.cluster.simulated import Curve, Machine, Pace, SimulatedPool
from raysweep.cluster.synthetic import SyntheticCurves
from raysweep.orchestrator.earlier import read_earlier
from raysweep.orchestrator.loop import FOREVER_S, Journal, Loop, NoJournal
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import checkpoint_steps, new_state
from raysweep.orchestrator.shares import parts
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.state import SweepState
from raysweep.orchestrator.sweep import Observer
from raysweep.schedulers.units import MEASURED, unit_of
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Closed, Event, Opened, Reported
from raysweep.trials.goal import WORST
from raysweep.trials.trial import UNBOUNDED, Report

_DEFAULT_LENGTH = 100
"""Steps of a simulated trial where neither spec nor scheduler says when a trial ends."""
_LONGEST = 50_000
"""A max_t beyond this is there for form's sake (W&B's brackets go on for ever) and ends nothing."""


class Simulated(NamedTuple):
    """How a simulated sweep went.

    `trials` counts by status; `busy_s` is slot time in use, in smallest slots, `occupancy` its share of all slot
    time until the sweep closed; `rungs` how many trials came to each step at which the scheduler
    decided; `best` the best report, and `best_at_s` when it came.
    """

    closed: Closed
    at_s: float
    trials: dict[str, int]
    steps: int
    busy_s: float
    occupancy: float
    rungs: list[dict[str, Any]]
    best: Report | None
    best_at_s: float


class _Watch:
    """Counts what goes by."""

    def __init__(self, state: SweepState, observe: Observer) -> None:
        self._state, self._observe = state, observe
        self._at, self._busy = 0.0, 0
        self.rungs: Counter[int] = Counter()
        self.busy_s = self.best_at_s = 0.0
        self.best: Report | None = None

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        self.busy_s += (event.at - self._at) * self._busy
        self._at, self._busy = event.at, self._state.slots.busy_units
        if isinstance(event, Reported):
            for report in event.reports(self._state.rules.goal):
                if report.score < (self.best.score if self.best else WORST):
                    self.best, self.best_at_s = report, event.at
        for verdict in verdicts:
            if verdict.rung is not None and verdict.verb in ("run_to", "pause", "stop", "finish"):
                self.rungs[verdict.rung] += 1
        self._observe(event, verdicts)


def simulate(
    spec: SweepSpec,
    *,
    workers: int,
    step_s: float = 1.0,
    step_sigma: float = 0.3,
    setup_s: float = 0.0,
    start_s: float = 0.0,
    observe: Observer = lambda event, verdicts: None,
    journal: Journal | None = None,
) -> Simulated:
    """Run `spec` on `workers` simulated slots with synthetic learning curves.

    Args:
        spec: its searcher, scheduler, budget and limits are the real ones.
        workers: slots.
        step_s, step_sigma: median and log-sd of a step's lognormal duration.
        setup_s: seconds from a trial's start to its first step.
        start_s: seconds until a slot is there, at first and whenever others make room for it.
        observe: is shown every event.
        journal: where to record it; None: nowhere.

    Raises:
        SpecError: `workers` is below 1, a time or spread below 0, or the scheduler's unit is
            nothing that simulated trials have.
    """
    check_unit_is_simulated(spec)
    limit = spec.scheduler.get("max_t")
    ends_at = UNBOUNDED if limit and limit <= _LONGEST else _DEFAULT_LENGTH
    machine = machine_for(spec, workers, step_s=step_s, step_sigma=step_sigma, setup_s=setup_s)
    machine = machine._replace(ends_at=ends_at, slot_start_s=start_s)
    state = new_state(spec, earlier=read_earlier(spec))
    propose = Proposer(state.advice.searcher, spec.parsed_space.check, spec.seed)
    curves = SyntheticCurves(spec.parsed_space, spec.goal, spec.seed)
    return run_simulated(state, propose, machine, curves, observe=observe, journal=journal)


def check_unit_is_simulated(spec: SweepSpec) -> None:
    """Refuse a scheduler whose unit simulated trials, on slots of the kind "cpu", cannot count.

    Raises:
        SpecError: it is a metric beside what is optimised, or money and such slots have no price.
    """
    unit = unit_of(spec.scheduler)
    if unit not in MEASURED:
        raise SpecError(
            f"scheduler.unit is {unit!r}, and simulated trials report nothing but "
            f"{', '.join(spec.metrics)}; take one of {', '.join(MEASURED)}"
        )
    if unit in ("dollars", "cents") and "cpu" not in spec.cluster.prices:
        raise SpecError(
            f"scheduler.unit is {unit}, and simulated slots are of the kind 'cpu'; give it a price "
            f"in cluster.prices"
        )


def machine_for(
    spec: SweepSpec,
    workers: int,
    *,
    step_s: float = 1.0,
    step_sigma: float = 0.0,
    setup_s: float = 0.0,
) -> Machine:
    """A simulated cluster of `workers` smallest slots that share devices as `spec` says.

    Args:
        spec: without GPUs, all slots are on one node, whose cores they share.
        workers: slots.
        step_s, step_sigma, setup_s: as of the machine.

    Raises:
        SpecError: it has no workers, or a time or spread below 0.
    """
    gpu = spec.resources.gpu
    shared = parts(gpu) if 0 < gpu < 1 else 1 if gpu else workers
    machine = Machine(
        workers=workers,
        slots_per_device=max(shared or 1, 1),
        gpu=gpu,
        step_s=step_s,
        step_sigma=step_sigma,
        setup_s=setup_s,
        every_steps=checkpoint_steps(spec),
    )
    if machine.workers < 1:
        raise SpecError(f"workers is {machine.workers}; it must be 1 or more")
    for name in ("step_s", "step_sigma", "setup_s"):
        if (value := getattr(machine, name)) < 0:
            raise SpecError(f"{name} is {value:g}; it must be 0 or more")
    return machine


def run_simulated(
    state: SweepState,
    propose: Proposer,
    machine: Machine,
    curve: Curve,
    *,
    pace: Pace | None = None,
    observe: Observer = lambda event, verdicts: None,
    journal: Journal | None = None,
) -> Simulated:
    """Drive `state`, a sweep that has not begun, to its end on a simulated pool."""
    clock, watch, seed = ManualClock(), _Watch(state, observe), state.rules.seed
    loop = Loop(
        state,
        SimulatedPool(machine, curve, clock, seed, pace=pace),
        journal or NoJournal(),
        clock=clock,
        origin_s=0.0,
        propose=propose,
        observe=watch,
        patience_s=FOREVER_S,
    )
    closed = loop.run(Opened(0.0, 1, 0.0, "simulated"))
    trials = {status.value: count for status, count in state.ended.items()}
    trials |= Counter(trial.status.value for trial in state.live.values())
    return Simulated(
        closed,
        closed.at,
        trials,
        state.spend.steps,
        watch.busy_s,
        watch.busy_s / (closed.at * machine.workers) if closed.at else 0.0,
        [{"step": step, "trials": count} for step, count in sorted(watch.rungs.items())],
        watch.best,
        watch.best_at_s,
    )
