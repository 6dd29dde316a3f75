"""Starts from what earlier sweeps learnt, and lets go of them where they mislead.

Notation: tasks t are earlier sweeps, each with a process of its standardised scores, of mean μ_t;
the target is this sweep, y its standardised scores. First comes a portfolio: configs that were best
elsewhere, each chosen so that the tasks' mean of the best predicted score so far falls most (as in
auto-sklearn 2, Feurer et al., arXiv 2007.04074, section 4), tasks being weighted by how alike they
are: by the facts given for both, then by the rank correlation of what they predict with what was
found (landmarks). Every third of these trials is one that a sweep without a past would make; where
the portfolio's best is no better, it ends, and the sweep begins anew.

Then y = b m + g: m is the mean of the μ_t, weighted by the chances that each ranks the results best
(the weights of RGPE, Feurer, Letham & Bakshy, arXiv 1802.02219; a task counts nothing that ranks
them no better than chance, or worse than 95 % of what the target's own process does with each
result left out), b ≥ 0 is the
slope that the results show, and g a process fitted to what is left (a stack of processes, as in
Golovin et al., "Google Vizier", KDD 2017, section 3.3). With b = 0 that is the process of a sweep
without a past. RGPE itself, a weighted sum of all processes, was measured and lost: results correct
only its weights, so it keeps proposing what other tasks expect where this one has been and found
otherwise.

What the user believes multiplies what is maximised, as it does for the Gaussian process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.belief import Belief
from raysweep.searchers.gp import GaussianProcess
from raysweep.searchers.gp_acquisition import log_ei
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_fit import fit
from raysweep.searchers.gp_model import JITTER, Surrogate, cholesky, solve
from raysweep.searchers.gp_optimize import maximise
from raysweep.searchers.gp_scores import standardised
from raysweep.searchers.history import Bools, Floats, key_of
from raysweep.searchers.learner import Known, Learner
from raysweep.searchers.one_thread import on_one_thread
from raysweep.searchers.setting import Setting
from raysweep.searchers.transfer_tasks import nearness, task_of
from raysweep.trials.errors import SpecError
from raysweep.trials.streams import Generator, Stream

_DRAWS = 128
"""Draws by which the weights of the tasks are estimated."""
_RESULTS = 3
"""Results of this sweep from which they say anything about the tasks."""
_AGAIN = 3
"""Trials by which the beginning grows where the portfolio was no good."""


class Transfer:
    """The method of `transfer`.

    Args:
        setting: its `earlier` are where it starts from.
        portfolio: trials that are given to configs from elsewhere.
        belief: where the user expects good configs.

    Raises:
        SpecError: there is no earlier sweep with results that fit this space.
    """

    @on_one_thread
    def __init__(self, setting: Setting, portfolio: int = 5, belief: Belief | None = None) -> None:
        self._setting, self._size, self._belief = setting, portfolio, belief
        self._space = setting.space
        self._axes = Axes(setting.space)
        self._own = GaussianProcess(setting, belief=belief)
        made = [task_of(one, self._space, self._axes) for one in setting.earlier]
        self._tasks = [task for task in made if task is not None]
        if not self._tasks:
            raise SpecError(
                "transfer: no earlier sweep has three results or more in this space; name sweeps "
                "with the same parameters and metric (sweeps: [path, ...]), or use auto"
            )
        self._pool = np.unique(np.vstack([task.best for task in self._tasks]), axis=0)
        self._elsewhere = {key_of(point) for point in self._pool}

    @on_one_thread
    def propose(self, known: Known, stream: Stream) -> Proposal:
        """The next of the portfolio, then what promises most by the tasks and the results."""
        index, outdone = known.issued, self._outdone(known)
        if index < self._size and index % 3 != 2 and not outdone:
            return self._portfolio(known)
        beginning = index < self._size + (_AGAIN if outdone else 0)
        if beginning or len(known.done) < _RESULTS:
            return self._own.propose(known, stream)
        return self._together(known, stream)

    def alike(self, known: Known) -> Floats:
        """How much each task counts for the portfolio, shape (t,), of a sum of 1."""
        weights = np.array([nearness(self._setting.facts, task.facts) for task in self._tasks])
        rows = known.done
        if len(rows) >= _RESULTS:
            columns, scores = self._axes.embed(known.points[rows]), known.scores[rows]
            for index, task in enumerate(self._tasks):
                predicted = task.process.predict(columns)[0]
                if np.ptp(predicted) > 0 and np.ptp(scores) > 0:
                    weights[index] *= np.exp(4.0 * float(spearmanr(predicted, scores)[0]))
        return np.asarray(weights / weights.sum())

    def _portfolio(self, known: Known) -> Proposal:
        columns = self._axes.embed(self._pool)
        predicted = np.array([task.process.predict(columns)[0] for task in self._tasks])
        tried = np.vstack([known.points, known.busy])
        reached = np.full(len(self._tasks), np.inf)
        if len(tried):
            at = self._axes.embed(tried)
            reached = np.array([task.process.predict(at)[0].min() for task in self._tasks])
        after = np.minimum(predicted, reached[:, None])
        weights = self.alike(known)
        fresh = [not known.tried(self._space.decode(point)) for point in self._pool]
        value = np.where(fresh, weights @ after, np.inf)
        chosen = int(value.argmin())
        why = {
            "model": "portfolio",
            "note": f"best for earlier sweeps; most alike is {self._tasks[int(weights.argmax())].name}",
            "n": len(known.done),
        }
        return Proposal(self._space.decode(self._pool[chosen]), why)

    def _outdone(self, known: Known) -> bool:
        """Whether what was best elsewhere is no better here than what is fresh."""
        rows = known.done
        scores = known.scores[rows]
        told = np.array([key_of(point) in self._elsewhere for point in known.points[rows]], bool)
        if len(rows) < _RESULTS or told.all() or not told.any():
            return False
        return bool(scores[~told].min() <= scores[told].min())

    def _together(self, known: Known, stream: Stream) -> Proposal:
        generator = stream.generator()
        rows = known.done[-400:]
        columns = self._axes.embed(known.points[rows])
        targets = standardised(known.scores[rows])
        alone = fit(columns, self._axes.owner, targets)
        weights = self._weights(alone, columns, targets, generator)
        expected = self._expected(weights, columns)
        b = slope(alone, expected, targets) if weights.any() else 0.0
        if b == 0.0:
            return self._own.propose(known, stream)
        left = targets - b * expected
        offset, unit = float(left.mean()), _unit(left)
        rest = fit(columns, self._axes.owner, (left - offset) / unit)
        busy = self._axes.embed(known.busy)
        spread = rest.condition(busy, rest.predict(busy)[0]) if len(busy) else rest

        def predict(at: Floats) -> tuple[Floats, Floats]:
            mean, sd = spread.predict(at)
            return offset + unit * mean + b * self._expected(weights, at), unit * sd

        best = float(predict(columns)[0].min())
        leaders = rows[np.argsort(targets, kind="stable")[:5]]
        point, top = maximise(
            lambda points: (
                log_ei(*predict(self._axes.embed(points)), best) + self._believed(known, points)
            ),
            self._axes,
            known.points[leaders],
            self._allowed,
            generator,
        )
        most = int(weights.argmax())
        why = {
            "model": "transfer",
            "acquisition": "logei",
            "value": round(top, 6),
            "n": len(known.done),
            "parents": [known.ids[int(leaders[0])]],
            "note": f"{b:.2f} of what earlier sweeps expect, most of it {self._tasks[most].name}'s",
        }
        return Proposal(self._space.decode(point), why)

    def _expected(self, weights: Floats, columns: Floats) -> Floats:
        """The tasks' weighted mean m, shape (n,)."""
        total = np.zeros(len(columns))
        for weight, task in zip(weights, self._tasks, strict=True):
            if weight > 0.01:
                total += weight * task.process.predict(columns)[0]
        return total

    def _believed(self, known: Known, points: Floats) -> Floats:
        """The log of what the acquisition is multiplied by, shape (n,)."""
        if self._belief is None:
            return np.zeros(len(points))
        return self._belief.weight / max(1, len(known.done)) * self._belief.log_density(points)

    def _weights(
        self, own: Surrogate, columns: Floats, targets: Floats, generator: Generator
    ) -> Floats:
        """The weight of each task, of a sum of 1, or all 0; RGPE, section 4."""
        worse = targets[:, None] < targets[None, :]
        differ = worse | worse.T
        mean, sd = own.left_out()
        ours = mean + sd * generator.standard_normal((_DRAWS, len(targets)))
        # own draws are compared with the true value of the point left out, as the paper does
        lost = (((ours[:, :, None] < targets[None, None, :]) ^ worse) & differ).sum((1, 2))
        losses = []
        for task in self._tasks:
            drawn = task.process.sample(columns, generator, _DRAWS)
            wrong = ((drawn[:, :, None] < drawn[:, None, :]) ^ worse) & differ
            losses.append(wrong.sum((1, 2)))
        table = np.array(losses)
        typical, by_chance = np.median(table, axis=1), worse.sum()
        useless = (typical > np.quantile(lost, 0.95)) | (typical >= by_chance)
        if useless.all():
            return np.zeros(len(self._tasks))
        table = np.where(useless[:, None], np.iinfo(np.int64).max, table)
        wins = table == table.min(axis=0)
        return np.asarray((wins / wins.sum(axis=0)).mean(axis=1))

    def _allowed(self, points: Floats) -> Bools:
        if not self._space.constraints:
            return np.ones(len(points), dtype=bool)
        return np.array([self._space.allows(self._space.decode(point)) for point in points])


def slope(process: Surrogate, expected: Floats, targets: Floats) -> float:
    """b ≥ 0 of targets = b · expected + the process: generalised least squares, b ~ N(1, 1)."""
    kernel = process.kernel
    at = kernel.place(process.columns, process.owner)
    covariance = kernel(at, at)
    covariance[np.diag_indices_from(covariance)] += kernel.noise * process.weights + JITTER
    centred = expected - expected.mean()
    half = solve(cholesky(covariance), centred)
    return max(0.0, float((half @ (targets - process.mean) + 1.0) / (half @ centred + 1.0)))


def _unit(left: Floats) -> float:
    """The scale of what is left, by its variance and, as if seen three times, the whole's 1."""
    return math.sqrt((float(left.var()) * len(left) + 3.0) / (len(left) + 3.0))


def build(
    setting: Setting,
    sweeps: list[str],
    portfolio: int,
    facts: Any = None,
    prior: Mapping[str, Any] | None = None,
) -> Searcher:
    """The searcher `transfer`; whoever makes the setting reads `sweeps` into its `earlier`."""
    if not setting.earlier:
        raise SpecError(f"transfer: none of the sweeps {list(sweeps)} could be read here")
    setting = setting._replace(facts=dict(facts or {}))
    belief = Belief(setting.space, prior) if prior else None
    return Learner(setting, Transfer(setting, portfolio, belief))
