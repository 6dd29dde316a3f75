"""Covariance matrix adaptation, with margins for discrete parameters and restarts.

Hansen & Ostermeier (2001) by the library `cmaes`; margins keep a discrete parameter from sticking
to one value (Hamano et al., "CMA-ES with Margin", GECCO 2022); when a population has converged the
search begins anew with twice as many (IPOP, Auger & Hansen, 2005).

Axes of the unit cube are searched as they are, an unordered choice by its index. A generation is
made of the results in the order in which they came in, whoever asked for them, so hundreds of
workers only mean that some results come from an older generation. The strategy is rebuilt from the
history, so that nothing but the history has to be stored.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from cmaes import CMA, CMAwM

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.history import Floats
from raysweep.searchers.learner import Design, Known, Learner
from raysweep.searchers.setting import Setting
from raysweep.trials.errors import SpaceError
from raysweep.trials.streams import Stream

_MOST_RESTARTS = 9


class CovarianceAdaptation:
    """The method of `cmaes`.

    Args:
        setting: the sweep.
        sigma: the first step size, as a share of each range.
        restart: whether to begin anew, with a greater population, once converged.
    """

    def __init__(self, setting: Setting, sigma: float = 0.25, restart: bool = True) -> None:
        self._setting, self._sigma, self._restart = setting, sigma, restart
        self._axes = Axes(setting.space)
        if self._axes.count < 2:
            raise SpaceError("cmaes needs two parameters or more that vary; use gp or tpe")
        self._steps = np.where(self._axes.sizes > 1, 1.0 / np.maximum(self._axes.sizes, 1), 0.0)
        self._design = Design(setting.space, setting.seed)
        self._begin()

    def propose(self, known: Known, stream: Stream) -> Proposal:
        """A draw from the distribution that the results so far have led to."""
        self._follow(known)
        if self._start is None:
            return self._design.propose(known.issued)
        self._strategy.reseed_rng(stream.integer(0, 1 << 31))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a resampling that gives up repairs the draw
            drawn = self._strategy.ask()
        point = drawn[0] if isinstance(drawn, tuple) else drawn
        why = {
            "model": "cmaes",
            "n": len(known.done),
            "note": f"generation {self._strategy.generation}, run {self._runs}",
        }
        settled = self._axes.settle(np.clip(point, 0.0, 1.0)[None])[0]
        return Proposal(self._setting.space.decode(settled), why)

    def _begin(self) -> None:
        self._told, self._runs = 0, 0
        self._start: Floats | None = None
        self._waiting: list[tuple[Floats, float]] = []
        self._strategy: Any = None

    def _follow(self, known: Known) -> None:
        """Take in what has ended since the last time; a history that went back starts over."""
        if self._told > len(known.ended):
            self._begin()
        for row in known.ended[self._told :]:
            self._told += 1
            point = np.where(np.isnan(known.points[row]), 0.5, known.points[row])
            score = float(known.scores[row])
            self._waiting.append((point, score if np.isfinite(score) else 1e300))
            if self._start is None:
                self._first(known)
            elif len(self._waiting) >= self._strategy.population_size:
                self._generation()

    def _first(self, known: Known) -> None:
        """Begin at the best of the first few points, which were spread evenly."""
        if len(self._waiting) >= min(10, self._axes.count + 2):
            self._start = min(self._waiting, key=lambda one: one[1])[0]
            self._new(self._start)
            self._waiting = []

    def _new(self, mean: Floats) -> None:
        d, population = self._axes.count, None
        if self._runs:
            population = (4 + int(3 * np.log(d))) * 2**self._runs
        bounds = np.tile([0.0, 1.0], (d, 1))
        inside = np.clip(mean, 1e-6, 1.0 - 1e-6)
        if (self._steps > 0).any():
            self._strategy = CMAwM(
                mean=inside, sigma=self._sigma, bounds=self._bounds(), steps=self._steps,
                population_size=population, seed=self._setting.seed,
            )  # fmt: skip
        else:
            self._strategy = CMA(
                mean=inside, sigma=self._sigma, bounds=bounds,
                population_size=population, seed=self._setting.seed,
            )  # fmt: skip

    def _bounds(self) -> Floats:
        """Discrete axes run over the middles of their values, so that every value lies on a step."""
        half = self._steps / 2.0
        return np.stack([half, 1.0 - half], axis=1)

    def _generation(self) -> None:
        size = self._strategy.population_size
        best = sorted(self._waiting[:size], key=lambda one: one[1])
        self._waiting = self._waiting[size:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._strategy.tell(best)
        if self._restart and self._strategy.should_stop() and self._runs < _MOST_RESTARTS:
            self._runs += 1
            again = Stream(self._setting.seed, "cmaes", self._runs).generator()
            self._new(again.random(self._axes.count))


def build(setting: Setting, **options: Any) -> Searcher:
    """The searcher `cmaes`."""
    return Learner(setting, CovarianceAdaptation(setting, **options))
