"""What `RunConfig.stop` may be, as one condition that can be asked, saved and repeated."""

from __future__ import annotations

import copy
import inspect
import logging
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, Protocol

from ray.tune import Stopper
from ray.tune.stopper import (
    CombinedStopper,
    FunctionStopper,
    MaximumIterationStopper,
    NoopStopper,
    TimeoutStopper,
    TrialPlateauStopper,
)

from raysweep.trials.errors import SpecError
from raysweep.trials.trial import UNBOUNDED, TrialId
from raysweep.trials.tune_result import STEP, pack, unpack

_LOG = logging.getLogger(__name__)
_BY_TRIAL = (MaximumIterationStopper, TrialPlateauStopper)
"""Stoppers that look at one trial at a time: what has ended can be forgotten."""


class Condition(Protocol):
    """When a trial, or the whole sweep, is to end."""

    @property
    def limit(self) -> int | None:
        """The step before which `met` cannot hold; None: perhaps at any step."""
        ...

    def met(self, trial: TrialId, result: Mapping[str, Any]) -> bool:
        """Whether the trial ends with this result."""
        ...

    def stop_all(self) -> bool:
        """Whether the sweep is to end, after all results so far."""
        ...

    def forget(self, trial: TrialId) -> None:
        """The trial has ended."""
        ...

    def state(self) -> Any:
        """What is remembered, as plain JSON."""
        ...

    def load(self, state: Any) -> None:
        """Take back what `state` gave."""
        ...


def read_stop(stop: Any) -> Condition:
    """The condition that a `RunConfig.stop` stands for.

    Raises:
        SpecError: it is of no kind that Tune knows.
    """
    if isinstance(stop, Mapping):
        return Limits(stop)
    if isinstance(stop, Stopper):
        return Asked(_untimed(stop), remembers=not isinstance(stop, NoopStopper))
    if not stop:
        return Limits({})
    if isinstance(stop, (list, tuple)) and all(isinstance(part, Stopper) for part in stop):
        return Asked(_untimed(CombinedStopper(*stop)))
    if callable(stop) and not hasattr(stop, "stop_all"):
        pure = inspect.isfunction(stop) and stop.__closure__ is None
        return Asked(FunctionStopper(stop), remembers=not pure)
    raise SpecError(
        f"stop is {stop!r}; it may be a dict such as {{'training_iteration': 20}}, a function of "
        "trial id and result, a ray.tune.Stopper, or a list of stoppers"
    )


def timeout_s(stop: Any) -> float | None:
    """The shortest time, in seconds, of all `TimeoutStopper`s in a `RunConfig.stop`; None: none."""
    if isinstance(stop, TimeoutStopper):
        return float(stop._timeout_seconds)
    parts = stop if isinstance(stop, (list, tuple)) else ()
    if isinstance(stop, CombinedStopper):
        parts = stop._stoppers
    times = [time for part in parts if (time := timeout_s(part)) is not None]
    return min(times) if times else None


def _untimed(stopper: Stopper) -> Stopper:
    """`stopper` without those that go by the clock."""
    if isinstance(stopper, TimeoutStopper):
        return NoopStopper()
    if type(stopper) is CombinedStopper and timeout_s(stopper) is not None:
        return CombinedStopper(*map(_untimed, stopper._stoppers))
    return stopper


class Limits:
    """A trial ends as soon as one of its metrics is at or above its limit.

    Args:
        limits: by flat name, "/" between groups. A metric that is not reported ends nothing.

    Raises:
        SpecError: a limit is no number.
    """

    def __init__(self, limits: Mapping[str, Any]) -> None:
        for name, value in limits.items():
            if isinstance(value, bool) or not isinstance(value, Real):
                raise SpecError(
                    f"stop: {name} is {value!r}; it must be a number, and nested metrics are named "
                    "with slashes, as 'eval/loss'"
                )
        self._limits = dict(limits)
        self._missed: set[str] = set()

    @property
    def limit(self) -> int | None:
        """That on `training_iteration`, if there is no other; `UNBOUNDED` if there is none."""
        if self._limits.keys() - {STEP}:
            return None
        limit = self._limits.get(STEP, math.inf)
        return UNBOUNDED if limit >= UNBOUNDED else max(1, math.ceil(limit))

    def met(self, trial: TrialId, result: Mapping[str, Any]) -> bool:
        """Whether one is reached."""
        for name in self._limits.keys() - result.keys() - self._missed:
            self._missed.add(name)
            _LOG.warning(
                "stop: %s is not among the metrics %s; while it is not reported, it ends nothing",
                name,
                ", ".join(result),
            )
        return any(result[name] >= limit for name, limit in self._limits.items() if name in result)

    def stop_all(self) -> bool:
        """Never."""
        return False

    def forget(self, trial: TrialId) -> None:
        """Nothing was remembered."""

    def state(self) -> None:
        """Nothing is remembered."""

    def load(self, state: Any) -> None:
        """Nothing to take back."""


class Asked:
    """One of Tune's stoppers.

    Args:
        stopper: fresh.
        remembers: whether its answer may hang on results before; then they are kept.
    """

    limit: int | None = None

    def __init__(self, stopper: Stopper, remembers: bool = True) -> None:
        self._stopper, self._remembers = stopper, remembers
        self._fresh = copy.deepcopy(stopper) if remembers else stopper
        self._results: list[tuple[TrialId, dict[str, Any]]] = []

    def met(self, trial: TrialId, result: Mapping[str, Any]) -> bool:
        """What the stopper says."""
        if self._remembers:
            self._results.append((trial, dict(result)))
        return bool(self._stopper(trial, _with_groups(result)))

    def stop_all(self) -> bool:
        """What the stopper says."""
        return bool(self._stopper.stop_all())

    def forget(self, trial: TrialId) -> None:
        """Drop its results where no other trial's fate hangs on them."""
        if isinstance(self._stopper, _BY_TRIAL):
            self._results = [entry for entry in self._results if entry[0] != trial]

    def state(self) -> list[Any]:
        """The results that the stopper was shown."""
        return [[trial, pack(result)] for trial, result in self._results]

    def load(self, state: Any) -> None:
        """Show them to a fresh one."""
        self._stopper, self._results = copy.deepcopy(self._fresh), []
        for trial, result in state:
            try:
                self.met(trial, unpack(result))
                self.stop_all()
            except Exception as error:  # as it was live: it cost one trial
                _LOG.debug("%s raised again for %s: %s", type(self._stopper).__name__, trial, error)


def _with_groups(result: Mapping[str, Any]) -> dict[str, Any]:
    """`result` with its groups as dicts too: stoppers see nested results."""
    whole = dict(result)
    for name, value in result.items():
        *groups, last = name.split("/")
        inner: Any = whole
        for group in groups:
            inner = inner.setdefault(group, {}) if isinstance(inner, dict) else None
        if groups and isinstance(inner, dict):
            inner[last] = value
    return whole
