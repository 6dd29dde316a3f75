"""Earlier sweeps as `transfer` sees them: their configs in this sweep's space, and a process each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_fit import fit
from raysweep.searchers.gp_model import Surrogate
from raysweep.searchers.gp_scores import standardised
from raysweep.searchers.history import Floats
from raysweep.searchers.setting import Earlier
from raysweep.trials.goal import WORST
from raysweep.trials.space import Space

_BEST = 8
"""Configs of each task that may enter the portfolio."""
_SEEN = 150
"""Results of one task that its process is fitted to, the best half and others evenly."""
_FEWEST = 3
"""Results with which a sweep says anything."""


class Task(NamedTuple):
    """An earlier sweep: its process, its best points, shape (b, d), and what is known of it."""

    name: str
    process: Surrogate
    best: Floats
    facts: dict[str, float]


def task_of(earlier: Earlier, space: Space, axes: Axes) -> Task | None:
    """An earlier sweep as a task; None: fewer than three of its results fit the space."""
    pairs = [
        (mapped(config, space), score)
        for config, score in zip(earlier.configs, earlier.scores, strict=True)
        if score < WORST
    ]
    fitting = [(config, score) for config, score in pairs if config is not None]
    if len(fitting) < _FEWEST:
        return None
    points = np.array([space.encode(config) for config, _ in fitting])
    scores = np.array([score for _, score in fitting])
    order = np.argsort(scores, kind="stable")
    others = order[_SEEN // 2 :]
    step = max(1, -(-len(others) // (_SEEN // 2)))
    chosen = np.concatenate([order[: _SEEN // 2], others[::step]])
    process = fit(axes.embed(points[chosen]), axes.owner, standardised(scores[chosen]))
    return Task(earlier.name, process, points[order[:_BEST]], earlier.facts)


def mapped(config: dict[str, Any], space: Space) -> dict[str, Any] | None:
    """A config of another space in this one; None if it has no counterpart.

    Parameters are matched by name; a number outside the range becomes its nearer end, one that the
    other space did not have the middle of its range.
    """
    whole = space.decode(np.full(len(space.dims), 0.5))
    for name, parameter in space.parameters.items():
        if name not in config:
            whole.setdefault(name, parameter.domain.decode(0.5))
            continue
        value, domain = config[name], parameter.domain
        if not domain.contains(value):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return None
            low, high = domain.decode(0.0), domain.decode(1.0)
            if not isinstance(low, (int, float)) or isinstance(low, bool):
                return None
            value = domain.decode(domain.encode(min(high, max(low, value))))
        whole[name] = value
    fitted = space.decode(space.encode(whole))
    return fitted if space.allows(fitted) else None


def nearness(here: dict[str, float], there: dict[str, float]) -> float:
    """exp(−mean relative difference) over the facts known of both; 1 without any."""
    shared = here.keys() & there.keys()
    if not shared:
        return 1.0
    apart = [
        abs(here[n] - there[n]) / (abs(here[n]) + abs(there[n]) + 1e-12) for n in sorted(shared)
    ]
    return float(np.exp(-2.0 * sum(apart) / len(apart)))
