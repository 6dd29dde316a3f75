"""PB2: population based training whose children's numbers are chosen by a bandit.

Parker-Holder, Nguyen, Roberts: "Provably Efficient Online Hyperparameter Optimization with
Population-Based Bandits", NeurIPS 2020, arXiv:2002.02518, algorithm 1. Who is replaced, and by
whose child, is `pbt.py`'s to say; the child's config maximises the upper confidence bound of a
time-varying Gaussian process (`pb2_bandit.py`) over what each config gained from rung to rung.

Parameters that are not numbers stay as the donor has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raysweep.schedulers.explorer import Interval, changeable, first_allowed
from raysweep.schedulers.pbt import Pbt
from raysweep.schedulers.setting import Setting
from raysweep.trials.domains import Float, Int
from raysweep.trials.errors import SpecError
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config

if TYPE_CHECKING:
    from raysweep.schedulers.pb2_bandit import Array

_NEWEST = 120
"""So many observations are kept: the past fades, and a fit costs their cube."""
_LEAST = 4
"""Fewer say nothing: until then a child's numbers are drawn from the space."""


class Bandit:
    """Chooses a child's numbers.

    Args:
        space: of the sweep.
        names: the parameters that may change, numbers all.
    """

    def __init__(self, space: Space, names: Sequence[str]) -> None:
        self._space, self._names = space, tuple(names)
        self._domains = [space.parameters[name].domain for name in names]
        self._points: list[list[float]] = []  # step at which it began, gain per step, d coordinates

    def learn(self, interval: Interval) -> None:
        """One more observation."""
        gain = (interval.before - interval.after) / (interval.to_step - interval.from_step)
        point = [float(interval.from_step), gain, *self._encoded(interval.config)]
        self._points = [*self._points[1 - _NEWEST :], point]

    def explore(
        self, config: Config, step: int, others: Sequence[Config], stream: Stream
    ) -> dict[str, Any]:
        """The donor's config with the numbers at which the bound is highest."""
        if len(self._points) < _LEAST:
            return first_allowed(self._space, config, lambda: self._sampled(stream))
        best = self._decoded(self._chosen(step, others, stream))
        first = iter([best])  # if constraints forbid it, what is drawn
        return first_allowed(
            self._space, config, lambda: next(first, None) or self._sampled(stream)
        )

    def _chosen(self, step: int, others: Sequence[Config], stream: Stream) -> Array:
        from raysweep.schedulers.pb2_bandit import Belief, best_point  # scipy takes its time

        known = np.array(self._points)
        begun = known[:, 0]
        earliest, span = begun.min(), max(1.0, float(begun.max() - begun.min()))
        belief = Belief(known[:, 2:], (begun - earliest) / span, known[:, 1])
        pending = np.array([self._encoded(other) for other in others]).reshape(-1, len(self._names))
        at = float((step - earliest) / span)
        best, _ = best_point(belief, at, pending, stream.generator(), len(known))
        return best

    def _encoded(self, config: Config) -> list[float]:
        pairs = zip(self._names, self._domains, strict=True)
        return [domain.encode(config[name]) for name, domain in pairs]

    def _decoded(self, point: Array) -> dict[str, Any]:
        pairs = zip(self._names, self._domains, point.tolist(), strict=True)
        return {name: domain.decode(u) for name, domain, u in pairs}

    def _sampled(self, stream: Stream) -> dict[str, Any]:
        pairs = zip(self._names, self._domains, strict=True)
        return {name: domain.sample(stream) for name, domain in pairs}

    def state(self) -> dict[str, Any]:
        """The observations."""
        return {"points": self._points}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._points = [list(point) for point in state["points"]]


def of_pb2(
    setting: Setting,
    *,
    max_t: int | None,
    interval: int,
    quantile: float,
    change: Sequence[str] | None,
) -> Pbt:
    """PB2 for a sweep, its space and budget.

    Raises:
        SpecError: no number may change, or one that is named is no number.
    """
    assert setting.space is not None  # the catalogue has asked
    assert setting.trials is not None
    names = changeable(setting.space, "pb2", change)
    numbers = [n for n in names if isinstance(setting.space.parameters[n].domain, Float | Int)]
    others = sorted(set(names) - set(numbers))
    if others and change is not None:
        raise SpecError(
            f"scheduler pb2: change names {', '.join(others)}, and its bandit chooses numbers "
            f"only; leave them out, or take pbt"
        )
    if not numbers:
        raise SpecError(
            f"scheduler pb2: its bandit chooses numbers, and {', '.join(others)} are none; take pbt"
        )
    bandit = Bandit(setting.space, numbers)
    return Pbt(
        setting.trials, setting.seed, bandit, max_t=max_t, interval=interval, quantile=quantile
    )
