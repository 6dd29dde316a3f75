"""The config that an acquisition likes best: many points, then mixed local search around the best.

Numbers, choices and absent parameters are moved alike, so no gradient is needed; the search is
bounded by counts, never by a clock, so that a replay ends where the first run did.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.history import Bools, Floats
from raysweep.trials.streams import Generator

POOL = 1_000
"""Random points to begin with."""
_STARTS = 8
"""Points from which the local search goes on."""
_MOVES = 24
"""Neighbours of each in one round."""
_SCALES = (0.3, 0.2, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Standard deviation of a number's move in each round."""

Value = Callable[[Floats], Floats]
"""Points, shape (n, d), to acquisition values, shape (n,)."""
Allowed = Callable[[Floats], Bools]
"""Which points, shape (n, d), may be proposed at all."""


def maximise(
    value: Value,
    axes: Axes,
    seeds: Floats,
    allowed: Allowed,
    generator: Generator,
    box: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, float]:
    """The best settled point found, shape (d,), and its value; −inf if nothing is allowed.

    Args:
        value: the acquisition.
        axes: how points move.
        seeds: points to search around from the start, e.g. the best so far, shape (k, d).
        allowed: a filter, e.g. of constraints.
        generator: the trial's.
        box: the lowest and highest point to look at, shape (d,) each; None: the whole cube.
    """

    def settle(points: Floats) -> Floats:
        return axes.settle(points if box is None else np.clip(points, *box))

    pool = generator.random((POOL, axes.count))
    if len(seeds):
        around = np.repeat(seeds, max(1, POOL // (4 * len(seeds))), axis=0)
        near = moved(around, axes, 0.1, generator)
        pool = np.vstack([pool, near if box is None else (near - box[0]) / (box[1] - box[0])])
    points = settle(pool if box is None else box[0] + pool * (box[1] - box[0]))
    points = points[allowed(points)]
    if not len(points):
        return np.full(axes.count, 0.5), -np.inf
    values = value(points)
    order = np.argsort(-values, kind="stable")[:_STARTS]
    best, best_values = points[order], values[order]
    for scale in _SCALES:
        tries = settle(moved(np.repeat(best, _MOVES, axis=0), axes, scale, generator))
        fits = allowed(tries)
        tried = np.where(fits, value(tries), -np.inf).reshape(len(best), _MOVES)
        chosen = tried.argmax(axis=1)
        rows = np.arange(len(best))
        better = tried[rows, chosen] > best_values
        best = np.where(better[:, None], tries.reshape(len(best), _MOVES, -1)[rows, chosen], best)
        best_values = np.where(better, tried[rows, chosen], best_values)
    top = int(best_values.argmax())
    return best[top], float(best_values[top])


def moved(points: Floats, axes: Axes, scale: float, generator: Generator) -> Floats:
    """Each point with one or more axes changed, shape (n, d), not settled.

    Every axis moves with probability max(1/d, 0.3), one of them for certain: numbers by a normal
    step of `scale` (of at least one value where they are few), choices to any option.
    """
    count, d = points.shape
    moves = generator.random((count, d)) < max(1.0 / d, 0.3)
    moves[np.arange(count), generator.integers(0, d, count)] = True
    base = np.where(np.isnan(points), generator.random((count, d)), points)
    steps = base + generator.standard_normal((count, d)) * np.maximum(scale, 0.7 * axes.spacing)
    steps = np.abs(steps)  # reflected at both ends, so that the edges are not overrun
    steps = 1.0 - np.abs(1.0 - steps)
    steps = np.where(axes.words, generator.random((count, d)), steps)
    return np.where(moves, steps, base)
