"""A sweep's state from its spec and its journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.confirm import Confirm
from raysweep.orchestrator.rules import Keep, Rules
from raysweep.orchestrator.spec import SweepSpec, is_object
from raysweep.orchestrator.state import SweepState
from raysweep.orchestrator.turn import Turn
from raysweep.schedulers.base import Breeder, Scheduler
from raysweep.schedulers.catalog import build_scheduler, levels_of
from raysweep.schedulers.population import saves_every
from raysweep.schedulers.setting import Setting as SchedulerSetting
from raysweep.schedulers.units import STEPS, unit_of
from raysweep.searchers.base import Searcher
from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.setting import Earlier, Setting
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Event, Opened

CHANGEABLE = (
    "budget", "retries", "timeouts", "checkpoint", "cluster", "resources", "max_failed_share",
    "code_change",
)  # fmt: skip
"""Top-level keys of a spec that a resume may change; the rest is what the sweep *is*."""


class Recorded(Protocol):
    """An event with the verdicts that were journalled with it."""

    @property
    def event(self) -> Event:
        """What happened."""
        ...

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What was decided on it."""
        ...


def rules_of(spec: SweepSpec) -> Rules:
    """The spec in the terms of the state machine."""
    return Rules(
        goal=spec.goal,
        budget=Budget(**spec.budget.model_dump()),
        retries=spec.retries.model_dump(),
        gpu=spec.resources.gpu,
        shares=spec.resources.shares(),
        seed=spec.seed,
        keep=Keep(spec.checkpoint.keep, spec.checkpoint.keep_stopped, spec.checkpoint.keep_best),
        confirm=_confirm(spec),
        max_failed_share=spec.max_failed_share,
        stalled_s=spec.timeouts.stalled_s,
        drain_s=spec.timeouts.drain_s,
    )


def _confirm(spec: SweepSpec) -> Confirm | None:
    """Replicates run to the scheduler's max_t where it counts steps."""
    if spec.confirm is None:
        return None
    max_t = spec.scheduler.get("max_t") if unit_of(spec.scheduler) == STEPS else None
    return Confirm(spec.confirm.top, spec.confirm.seeds, max_t)


def checkpoint_steps(spec: SweepSpec) -> int | None:
    """At which multiples of steps running trials write checkpoints; None: at none.

    As often as the spec says and its scheduler needs: where both want some, at the multiples of
    the greatest step that meets both.
    """
    wanted = (spec.checkpoint.every_steps, saves_every(spec.scheduler))
    return math.gcd(*(steps for steps in wanted if steps)) or None


def changed(spec: SweepSpec, changes: Mapping[str, Any]) -> SweepSpec:
    """`spec` with dotted keys set anew, e.g. `{"budget.trials": 100}`.

    Raises:
        SpecError: for a key that a resume may not change, or a value that is not allowed there.
    """
    if not changes:
        return spec
    written = spec.to_dict()
    for key, value in changes.items():
        top, *path = key.split(".")
        if top not in CHANGEABLE:
            raise SpecError(
                f"{key} cannot be changed on resume: it is part of what this sweep is; allowed are "
                f"{', '.join(CHANGEABLE)} (e.g. budget.trials). For another {top}, start a new sweep"
            )
        part = written
        for name in (top, *path)[:-1]:
            if not isinstance(part.get(name), dict):
                raise SpecError(f"{key} cannot be changed: {name} has no parts; set {name} itself")
            part = part[name]
        last = (top, *path)[-1]
        part.pop(f"{last}_s", None)  # `wall_time` is how a spec writes `wall_time_s`
        part[last] = value
    new = SweepSpec.from_dict(written, spec.folder)
    if (new.cluster.speeds, new.cluster.prices) != (spec.cluster.speeds, spec.cluster.prices):
        raise SpecError(
            "cluster.speeds and cluster.prices cannot be changed on resume: trials have been "
            "compared by them. For others, start a new sweep"
        )
    return new


class Objects(NamedTuple):
    """What was given from Python and is not stored: None where the spec has it by name."""

    searcher: Searcher | None = None
    scheduler: Scheduler | None = None


NO_OBJECTS = Objects()


def new_state(
    spec: SweepSpec, objects: Objects = NO_OBJECTS, earlier: tuple[Earlier, ...] = ()
) -> SweepState:
    """The state of a sweep that has not begun.

    Args:
        spec: what it goes by.
        objects: its searcher and scheduler, fresh, where the spec has objects.
        earlier: what the sweeps learnt that its searcher starts from.

    Raises:
        SpecError: an object is missing, no earlier sweep fits where one is needed, or what the
            scheduler's trials come to is not to be confirmed.
    """
    searcher, scheduler = _searcher(spec, objects, earlier), _scheduler(spec, objects)
    if spec.confirm and isinstance(scheduler, Breeder):
        raise SpecError(
            "confirm: the scheduler makes children whose configs change as training goes on, so no "
            "config stands for what came of it; leave confirm out"
        )
    return SweepState(rules_of(spec), searcher, scheduler)


def setting_of(spec: SweepSpec, earlier: tuple[Earlier, ...] = ()) -> Setting:
    """What a searcher may know of the sweep that `spec` describes."""
    return Setting(
        space=spec.parsed_space,
        seed=spec.seed,
        goal=spec.goal,
        trials=spec.budget.trials,
        workers=spec.cluster.max_slots,
        earlier=earlier,
        facts=dict(spec.searcher.get("facts") or {}),
        levels=levels_of(spec.scheduler, spec.budget.trials),
        reduction_factor=spec.scheduler.get("reduction_factor") or 3,
    )


def _searcher(spec: SweepSpec, objects: Objects, earlier: tuple[Earlier, ...]) -> Searcher:
    options = dict(spec.searcher)
    name = options.pop("name")
    if not is_object(name):
        return build_searcher(name, options, setting_of(spec, earlier))
    if objects.searcher is None:
        raise _missing("searcher", name)
    return objects.searcher


def _scheduler(spec: SweepSpec, objects: Objects) -> Scheduler:
    options = dict(spec.scheduler)
    name = options.pop("name")
    if not is_object(name):
        return build_scheduler(name, options, _seen_by_scheduler(spec))
    if objects.scheduler is None:
        raise _missing("scheduler", name)
    return objects.scheduler


def _seen_by_scheduler(spec: SweepSpec) -> SchedulerSetting:
    return SchedulerSetting(
        spec.goal,
        spec.parsed_space,
        spec.seed,
        spec.budget.trials,
        spec.cluster.max_slots,
        spec.cluster.speeds,
        spec.cluster.prices,
    )


def _missing(what: str, name: str) -> SpecError:
    return SpecError(
        f"{what}: this sweep goes by the Python object {name[8:-1]}, which is not stored: pass a "
        f"fresh one, raysweep.resume(path, {what}=...)"
    )


def replayed(
    spec: SweepSpec, state: SweepState, records: Iterable[Recorded]
) -> Iterator[tuple[Recorded, Turn]]:
    """Feed journalled events to `state`; yields each with what the state makes of it now.

    Args:
        spec: as it was when the sweep began; what resumes changed is in the journal.
        state: new, or loaded from a snapshot.
        records: everything after that, in order.
    """
    if state.changes:
        state.adopt(rules_of(changed(spec, state.changes)))
    for record in records:
        if isinstance(record.event, Opened) and record.event.changes != state.changes:
            state.adopt(rules_of(changed(spec, record.event.changes)))
        yield record, state.handle(record.event)
