"""Bayesian optimisation with Gaussian processes; `mobster` and `hyper_tune` learn at rungs.

A proposal maximises an acquisition, times the probability that a config is feasible and keeps the
limits; trials without a result yet count as if they had come out as predicted (Ginsbourger, Le
Riche & Carraro, "Kriging is well-suited to parallelize optimization", 2010), so workers spread.
`mobster` learns from partial results as Klein et al. do (arXiv 2003.10865), with the depth of
training as an axis, and proposes what it expects most of at the deepest rung that it knows enough of;
`hyper_tune` weighs a process of each rung (`gp_ensemble`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import log_ndtr

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.belief import Belief
from raysweep.searchers.gp_acquisition import confidence, log_ei
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_beliefs import VARYING, Beliefs, Learning
from raysweep.searchers.gp_ensemble import EnsembleLearning
from raysweep.searchers.gp_model import Process, correlation
from raysweep.searchers.gp_optimize import Allowed, Value, maximise
from raysweep.searchers.gp_pareto import base_draws, improved_volume, scalarised
from raysweep.searchers.gp_region import region
from raysweep.searchers.gp_subset import MOST, MOST_AT_LEVELS, most_within
from raysweep.searchers.history import Bools, Floats
from raysweep.searchers.learner import Design, Known, Learner
from raysweep.searchers.one_thread import on_one_thread
from raysweep.searchers.setting import Setting
from raysweep.trials.streams import Generator, Stream

_WIDTH = 2.0
"""Standard deviations below the mean that `ucb` hopes for."""
_NOISY = 0.05
"""Noise variance, in units of the scores' own, from which repeating a leader can tell something."""


class GaussianProcess:
    """The method of `gp`, `mobster` and `prior`.

    Args:
        setting: the sweep.
        acquisition: logei, ucb or thompson; several metrics have their own.
        initial: Sobol points before the first model; None: d + 1, at least 4 and at most 10.
        trust_region: search near the best only; None: with more than 20 axes.
        per_second: prefer configs that train quickly: the improvement by the predicted second.
        limits: by metric the greatest value that a config may lead to.
        replicates: let a noisy leader be tried again where that promises most.
        belief: where the user expects good configs.
        by_level: learn from results at the scheduler's rungs (`mobster`).
        warp: stretch numbers where the score changes quickly.
        noise: the metric with each score's standard error; "varying": noise differs by place and
            is estimated; None: it is the same everywhere.
        budget_ms: about how long a fit may take; what it sees is limited accordingly.
        ensemble: with `by_level`, a process for each rung in the place of one over config and rung.
        random_share: with `by_level`, the share of proposals that are drawn at random: a model that
            knows full trainings of one region only can take early steps for the whole truth.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        acquisition: str = "logei",
        initial: int | None = None,
        trust_region: bool | None = None,
        per_second: bool = False,
        limits: Mapping[str, float] | None = None,
        replicates: bool = False,
        belief: Belief | None = None,
        by_level: bool = False,
        warp: bool = False,
        noise: str | None = None,
        budget_ms: float | None = None,
        ensemble: bool = False,
        random_share: float = 0.0,
    ) -> None:
        self._space, self._acquisition, self._belief = setting.space, acquisition, belief
        self._axes, self._replicates = Axes(setting.space), replicates
        self._design = Design(setting.space, setting.seed)
        self._initial = initial or max(4, min(self._axes.count + 1, 10))
        self._region = self._axes.count > 20 if trust_region is None else trust_region
        at_levels = by_level and bool(setting.levels)
        self._random_share = random_share if at_levels else 0.0
        most = MOST_AT_LEVELS if at_levels else MOST
        self._learning = (
            EnsembleLearning(self._axes, 2 * most)
            if ensemble and at_levels
            else Learning(
                self._axes,
                limits or {},
                per_second,
                at_levels,
                warp,
                noise,
                most=most_within(budget_ms) if budget_ms else most,
            )
        )
        self._model = "hyper_tune" if ensemble else "mobster" if by_level else "gp"

    @on_one_thread
    def propose(self, known: Known, stream: Stream) -> Proposal:
        """A design point while little is known, then what the acquisition likes best."""
        if known.issued < self._initial:
            return self._first(known, stream)
        if self._random_share and stream.uniform() < self._random_share:
            return Proposal(self._space.sample(stream), {"model": "random"})
        if self._learning.results(known) < min(3, self._initial):
            return self._first(known, stream)
        beliefs = self._learning.beliefs(known)
        generator = stream.generator()
        leaders = self._leaders(known, beliefs)
        points = known.points
        again = points[leaders[:1]]
        box = region(known, self._axes.count) if self._region else None
        value = self._value(known, beliefs, generator)
        point, top = maximise(
            value, self._axes, points[leaders], self._allowed(known), generator, box
        )
        noisy = self._replicates and beliefs.objectives[0].kernel.noise > _NOISY
        if noisy and float(value(again)[0]) >= top:
            return self._proposal(known, leaders, again[0], top, note="a noisy leader again")
        return self._proposal(known, leaders, point, top)

    @on_one_thread
    def posterior(self, known: Known, configs: list[dict[str, Any]]) -> tuple[Floats, Floats]:
        """Predicted mean and standard deviation of the score of each config, shapes (n,).

        In units of the score; with several metrics, of the first.
        """
        beliefs = self._learning.beliefs(known)
        points = np.array([self._space.encode(config) for config in configs])
        mean, sd = beliefs.objectives[0].predict(self._learning.columns(points))
        return beliefs.centre + mean * beliefs.spread, sd * beliefs.spread

    @on_one_thread
    def relevance(self, known: Known) -> dict[str, float]:
        """By parameter how far the score moves when it alone is drawn anew, of a sum of 1.

        Two draws of a number are 1/√6 apart (root mean square), two options of a choice 1; the
        process expects the squared difference there to be 2 (s² (1 − κ) + v φ²).
        """
        kernel = self._learning.beliefs(known).objectives[0].kernel
        several = np.bincount(self._axes.owner) > 1
        apart = np.where(several, 1.0, 1.0 / 6.0) / kernel.lengths[: self._axes.count] ** 2
        moved = kernel.signal * (1.0 - correlation(apart, kernel.smooth))
        moved += np.where(several, kernel.main / max(1, several.sum()), 0.0)
        shares = np.sqrt(moved) / np.sqrt(moved).sum()
        return dict(zip(self._space.dims, map(float, shares), strict=True))

    def _first(self, known: Known, stream: Stream) -> Proposal:
        if self._belief is None:
            return self._design.propose(known.issued)
        point = self._axes.settle(self._belief.sample(stream.generator(), 1))[0]
        return Proposal(
            self._space.decode(point), {"model": "prior", "note": "drawn from the prior"}
        )

    def _proposal(
        self, known: Known, leaders: Any, point: Floats, top: float, note: str = ""
    ) -> Proposal:
        several = known.goal is not None and len(known.goal.metrics) > 1
        why: dict[str, Any] = {
            "model": self._model,
            "acquisition": "expected hypervolume" if several else self._acquisition,
            "value": round(top, 6) if math.isfinite(top) else None,
            "n": len(known.done),
            "parents": [known.ids[int(leaders[0])]],
        }
        if note:
            why["note"] = note
        return Proposal(self._space.decode(point), why, repeat=bool(note))

    def _leaders(self, known: Known, beliefs: Beliefs) -> Any:
        """The rows of the five best by prediction at the depth that is chosen for."""
        rows = np.unique(beliefs.rows)
        means, _ = beliefs.objectives[0].predict(self._learning.columns(known.points[rows]))
        return rows[np.argsort(means, kind="stable")[:5]]

    def _value(self, known: Known, beliefs: Beliefs, generator: Generator) -> Value:
        """The acquisition with everything that it is multiplied by, in logarithms."""
        busy = self._learning.under_way(known)
        processes = [_spread(one, busy) for one in beliefs.objectives]
        base = self._base(known, beliefs, processes, generator)
        weight = 0.0 if self._belief is None else self._belief.weight / max(1, len(known.done))

        def value(points: Floats) -> Floats:
            columns = self._learning.columns(points)
            values = base(columns)
            if beliefs.feasible is not None:
                values = values + np.log(np.clip(beliefs.feasible.predict(columns)[0], 0.02, 1.0))
            for process, most in beliefs.limits:
                mean, sd = process.predict(columns)
                values = values + log_ndtr((most - mean) / sd)
            if beliefs.seconds is not None:
                values = values - beliefs.seconds.predict(columns)[0] * beliefs.seconds.scale
            if self._belief is not None:
                values = values + weight * self._belief.log_density(points)
            return values

        return value

    def _base(
        self,
        known: Known,
        beliefs: Beliefs,
        processes: list[Process],
        generator: Generator,
    ) -> Value:
        if len(processes) > 1:
            return _several(beliefs, processes, generator)
        process = processes[0]
        if self._acquisition == "ucb":
            return lambda columns: confidence(*process.predict(columns), _WIDTH)
        if self._acquisition == "thompson":
            path = process.path(generator)
            return lambda columns: -path(columns)
        best = float(self._kept(known, beliefs, process).min())
        return lambda columns: log_ei(*process.predict(columns), best)

    def _kept(self, known: Known, beliefs: Beliefs, process: Process) -> Floats:
        """Predicted means of the results that keep the limits, at the depth that is chosen for.

        Of all if none does.
        """
        columns = self._learning.columns(known.points[np.unique(beliefs.rows)])
        means, kept = process.predict(columns)[0], np.ones(len(columns), dtype=bool)
        for limited, most in beliefs.limits:
            kept &= limited.predict(columns)[0] <= most
        return means[kept] if kept.any() else means

    def _allowed(self, known: Known) -> Allowed:
        """Which points keep the constraints and, in a finite space, are new."""
        decode, space = self._space.decode, self._space
        finite = space.size is not None

        def allowed(points: Floats) -> Bools:
            fits = known.untried(points) if finite else np.ones(len(points), dtype=bool)
            if space.constraints:
                fits &= [space.allows(decode(point)) for point in points]
            return fits

        return allowed


def _spread(process: Process, busy: Floats) -> Process:
    """The process as if what runs had come out as predicted."""
    return process.condition(busy, process.predict(busy)[0]) if len(busy) else process


def _several(beliefs: Beliefs, processes: list[Process], generator: Generator) -> Value:
    draws = base_draws(generator, len(processes))
    weights = generator.dirichlet(np.ones(len(processes)))

    def value(columns: Floats) -> Floats:
        predicted = [process.predict(columns) for process in processes]
        means, sds = (np.column_stack(each) for each in zip(*predicted, strict=True))
        if len(processes) == 2:
            gained = improved_volume(means, sds, beliefs.values, draws)
        else:
            gained = scalarised(means, sds, beliefs.values, draws, weights)
        return np.log(gained + 1e-12)

    return value


def build(setting: Setting, prior: Mapping[str, Any] | None = None, **options: Any) -> Searcher:
    """The searcher `gp`, `prior` (`prior` is given) or `mobster` (`by_level`)."""
    belief = Belief(setting.space, prior) if prior else None
    method = GaussianProcess(setting, belief=belief, **options)
    noise = options.get("noise")
    errors = () if noise in (None, VARYING) else (noise,)
    return Learner(setting, method, watch=(*(options.get("limits") or ()), *errors))
