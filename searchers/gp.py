"""Bayesian optimisation with a Gaussian process: the searcher for up to some thousand trials.

Notation: n results, d axes. A proposal maximises an acquisition on the process given all results,
times the probability that a config is feasible; trials without a result yet count as if they had
come out as predicted (Ginsbourger et al., "Kriging is well-suited to parallelize optimization",
2010), so that workers spread.

The process is fitted anew after each result up to 60, then after each twentieth part more; a fit
depends on the first results in their order alone, so a resumed sweep fits the same. Beyond
`MOST` results it sees the best and an even share of the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.gp_acquisition import confidence, log_ei
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_model import Surrogate, fit
from raysweep.searchers.gp_optimize import maximise
from raysweep.searchers.gp_target import standardised
from raysweep.searchers.history import Bools, Fate, Floats, Ints
from raysweep.searchers.learner import Design, Known, Learner
from raysweep.searchers.setting import Setting
from raysweep.trials.streams import Stream

MOST = 400
"""Results that the process sees at most; its cost grows with their cube."""
_EVERY = 60
"""Results up to which each one leads to a new fit."""


class Beliefs(NamedTuple):
    """What the model makes of the results: the process of the target, and that of feasibility."""

    rows: Ints
    surrogate: Surrogate
    feasible: Surrogate | None


class GaussianProcess:
    """The method of `gp`.

    Args:
        setting: the sweep.
        acquisition: logei, ucb or thompson.
        initial: Sobol points before the first model; None: min(d + 1, 10), at least 4.
    """

    def __init__(
        self, setting: Setting, acquisition: str = "logei", initial: int | None = None
    ) -> None:
        self._setting, self._acquisition = setting, acquisition
        self._axes = Axes(setting.space)
        self._design = Design(setting.space, setting.seed)
        self._initial = initial or max(4, min(self._axes.count + 1, 10))
        self._fitted: tuple[int, Beliefs] | None = None

    def propose(self, known: Known, stream: Stream) -> Proposal:
        """A design point while little is known, then what the acquisition likes best."""
        if known.issued < self._initial or len(known.done) < min(3, self._initial):
            return self._design.propose(known.issued)
        beliefs = self._beliefs(known)
        surrogate = self._with_pending(beliefs.surrogate, known)
        return self._best(known, beliefs, surrogate, stream.generator())

    def _best(
        self, known: Known, beliefs: Beliefs, surrogate: Surrogate, generator: np.random.Generator
    ) -> Proposal:
        means, _ = surrogate.predict(beliefs.surrogate.columns)
        leaders = beliefs.rows[np.argsort(means, kind="stable")[:5]]
        best = float(means.min())
        points = known.points

        def value(points: Floats) -> Floats:
            columns = self._axes.embed(points)
            mean, sd = surrogate.predict(columns)
            if self._acquisition == "ucb":
                values = confidence(mean, sd, 2.0)
            elif self._acquisition == "thompson":
                values = -surrogate.sample(columns[:0], generator)[0] if not len(columns) else -mean
            else:
                values = log_ei(mean, sd, best)
            if beliefs.feasible is not None:
                chance = np.clip(beliefs.feasible.predict(columns)[0], 0.02, 1.0)
                values = values + np.log(chance)
            return values

        point, top = maximise(value, self._axes, points[leaders], self._allowed(known), generator)
        config = self._setting.space.decode(point)
        why = {
            "model": "gp",
            "acquisition": self._acquisition,
            "value": round(top, 6),
            "n": len(known.done),
            "parents": [known.ids[int(leaders[0])]],
        }
        return Proposal(config, why)

    def _allowed(self, known: Known) -> Any:
        space = self._setting.space

        def allowed(points: Floats) -> Bools:
            if not space.constraints:
                return np.ones(len(points), dtype=bool)
            return np.array([space.allows(space.decode(point)) for point in points])

        return allowed

    def _beliefs(self, known: Known) -> Beliefs:
        """The model of the results; hyperparameters are those of the last due fit."""
        count = len(known.ended)
        due = _due(count)
        if self._fitted is None or self._fitted[0] != due:
            self._fitted = due, self._learn(known, due)
        beliefs = self._fitted[1]
        if due == count:
            return beliefs
        return self._learn(known, count, beliefs)

    def _learn(self, known: Known, count: int, fitted: Beliefs | None = None) -> Beliefs:
        """The model of the first `count` ends, with the hyperparameters of `fitted` or its own."""
        ended = np.array(known.ended[:count], dtype=np.int64)
        rows = _thinned(ended[known.fates[ended] == Fate.DONE], known.scores)
        columns = self._axes.embed(known.points[rows])
        targets = standardised(known.scores[rows])
        owner = self._axes.owner
        if fitted is None:
            surrogate = fit(columns, owner, targets)
        else:
            surrogate = Surrogate(fitted.surrogate.kernel, columns, owner, targets)
        failed = ended[known.fates[ended] == Fate.INFEASIBLE]
        feasible = None
        if len(failed):
            both = np.concatenate([rows, failed[-MOST:]])
            labels = np.r_[np.ones(len(rows)), np.zeros(len(both) - len(rows))]
            kernel = surrogate.kernel._replace(signal=0.25, noise=0.02)
            feasible = Surrogate(kernel, self._axes.embed(known.points[both]), owner, labels)
        return Beliefs(rows, surrogate, feasible)

    def _with_pending(self, surrogate: Surrogate, known: Known) -> Surrogate:
        busy = known.busy
        if not len(busy):
            return surrogate
        columns = self._axes.embed(busy)
        return surrogate.condition(columns, surrogate.predict(columns)[0])


def _due(count: int) -> int:
    """After how many of `count` ends the hyperparameters were last due to be fitted."""
    due = min(count, _EVERY)
    while (further := due + max(1, due // 20)) <= count and due >= _EVERY:
        due = further
    return due


def _thinned(rows: Ints, scores: Floats) -> Ints:
    """At most `MOST` rows: the better half of these by score, the others evenly over time."""
    if len(rows) <= MOST:
        return rows
    order = np.argsort(scores[rows], kind="stable")
    best, others = order[: MOST // 2], np.sort(order[MOST // 2 :])
    picked = others[np.linspace(0, len(others) - 1, MOST - len(best)).astype(np.int64)]
    return rows[np.sort(np.concatenate([best, picked]))]


def build(setting: Setting, **options: Any) -> Searcher:
    """The searcher `gp`."""
    return Learner(setting, GaussianProcess(setting, **options))
