"""At which steps Tune's ASHA decides, found without looking into it.

ASHA ignores results between its milestones, so a trial need not ask there. Where the milestones lie
is printed by its public `debug_string`; whether it goes by `training_iteration`, and at which step
trials are done, is tried out on a copy.
"""

from __future__ import annotations

import copy
import math
import re
from typing import Any, NamedTuple

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from raysweep.trials.trial import UNBOUNDED
from raysweep.trials.tune_result import STEP

_MARK = re.compile(r"Iter ([0-9.]+):")
_ROUNDED = 0.0006
"""Marks are printed to three decimals."""


class Milestones(NamedTuple):
    """The steps at which a scheduler can decide, ascending; `max_t`: at which it ends trials."""

    steps: tuple[int, ...]
    max_t: int | None

    def after(self, step: int) -> int:
        """The first one beyond `step`; `UNBOUNDED` behind the last."""
        return next((mark for mark in self.steps if mark > step), UNBOUNDED)


def milestones(scheduler: Any) -> Milestones | None:
    """Where `scheduler`, fresh and with metric and mode set, decides; None: perhaps at any step."""
    if type(scheduler) is FIFOScheduler:
        return Milestones((), None)
    if type(scheduler) is not ASHAScheduler:
        return None
    probe = _Probe(scheduler)
    if not probe.goes_by_step():
        return None
    marks = {float(mark) for mark in _MARK.findall(scheduler.debug_string())}
    max_t = probe.max_t()
    steps = {math.ceil(mark + shift) for mark in marks for shift in (-_ROUNDED, _ROUNDED)}
    steps |= {max_t} if max_t else set()
    return Milestones(tuple(sorted(max(step, 1) for step in steps)), max_t)


class _Probe:
    """A copy of an ASHA with a trial of its own, which alone is never the worse one."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = copy.deepcopy(scheduler)
        self._trial = Trial("probe", trial_id="probe", stub=True)
        self._scheduler.on_trial_add(None, self._trial)

    def _stops(self, step: int) -> bool:
        result = {STEP: step, self._scheduler.metric: 0.0}
        action = self._scheduler.on_trial_result(None, self._trial, result)
        return bool(action == TrialScheduler.STOP)

    def goes_by_step(self) -> bool:
        before = self._scheduler.debug_string()
        return self._stops(UNBOUNDED) or self._scheduler.debug_string() != before

    def max_t(self) -> int | None:
        """The first step at which the trial is stopped; None: it never is."""
        if not self._stops(UNBOUNDED):
            return None
        high = 1
        while not self._stops(high):
            high *= 2
        low = high // 2  # not stopped there
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._stops(middle) else (middle, high)
        return high
