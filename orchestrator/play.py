"""A sweep on recorded trainings: the real searcher, scheduler and loop, nothing trained."""

from __future__ import annotations

from collections.abc import Callable

from raysweep.cluster.recorded import ROW, Recording
from raysweep.orchestrator.earlier import read_earlier
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import NO_OBJECTS, Objects, new_state
from raysweep.orchestrator.simulate import (
    Simulated,
    check_unit_is_simulated,
    machine_for,
    run_simulated,
)
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.state import SweepState
from raysweep.orchestrator.sweep import Observer
from raysweep.schedulers.population import CHANGERS
from raysweep.searchers.among import Among, Pool
from raysweep.trials.errors import SpecError
from raysweep.trials.trial import Config


def on_recording(spec: SweepSpec, recording: Recording) -> SweepSpec:
    """`spec` with the space and the goal of `recording` in the place of its own.

    Raises:
        SpecError: its searcher names parameters that the recording does not have.
    """
    written = spec.to_dict() | {
        "space": recording.space,
        "constraints": [],
        "metric": recording.goal.metric,
        "mode": recording.goal.mode,
        "metrics": dict(recording.goal.metrics),
    }
    return SweepSpec.from_dict(written, spec.folder, f"{spec.name} on {recording.name}")


def play(
    spec: SweepSpec,
    recording: Recording,
    *,
    workers: int,
    step_sigma: float = 0.0,
    setup_s: float = 0.0,
    in_order: bool = False,
    observe: Observer = lambda event, verdicts: None,
) -> Simulated:
    """Run `spec` on `workers` simulated slots against recorded curves and their recorded times.

    Args:
        spec: of the recording's space and goal; searcher, scheduler and budget are the real ones.
        recording: what trials report, how long each step takes, and where they end.
        workers: slots.
        step_sigma: log-sd of a factor on each step's recorded time.
        setup_s: seconds from a trial's start to its first step.
        in_order: the configs of the recording's pool come as they stand, whatever the searcher.
        observe: is shown every event.

    Raises:
        SpecError: as `simulate`.
    """
    machine = machine_for(spec, workers, step_sigma=step_sigma, setup_s=setup_s)
    machine = machine._replace(batch_s=0.0)
    check_unit_is_simulated(spec)
    state, propose = prepared(spec, recording, in_order=in_order)
    curves = recording.curves
    return run_simulated(state, propose, machine, curves, pace=curves, observe=observe)


def prepared(
    spec: SweepSpec,
    recording: Recording,
    *,
    in_order: bool = False,
    objects: Objects = NO_OBJECTS,
) -> tuple[SweepState, Proposer]:
    """A sweep that has not begun, and who proposes its configs.

    Where only a list of configs was recorded, each of them is run once at most: the nearest one
    to what the searcher proposes.

    Args:
        spec, recording, in_order: as for `play`.
        objects: a searcher or a scheduler that the spec has from Python.

    Raises:
        SpecError: the scheduler makes configs of its own, and only some were recorded.
    """
    if recording.pool is not None and spec.scheduler["name"] in CHANGERS:
        raise SpecError(
            f"scheduler {spec.scheduler['name']}: it makes configs of its own as trials go on, and "
            f"{recording.name} knows those alone that were recorded; take another"
        )
    state = new_state(spec, objects, read_earlier(spec))
    check: Callable[[Config], None] = recording.space.check
    if recording.pool is not None:
        inner = None if in_order else state.advice.searcher
        among = Among(Pool(recording.space, recording.pool), inner, ROW)
        state, check = SweepState(state.rules, among, state.advice.scheduler), _recorded
    return state, Proposer(state.advice.searcher, check, spec.seed)


def _recorded(config: Config) -> None:
    """Nothing to check: what was recorded was run."""
