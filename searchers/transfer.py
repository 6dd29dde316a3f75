"""Starts from what earlier sweeps learnt, and lets go of them where they mislead.

Notation: tasks t are earlier sweeps, each with a process of its standardised scores, μ_t and σ_t;
the target is this sweep. First comes a portfolio: configs that were best elsewhere, each chosen so
that the tasks' mean of the best predicted score so far falls most (as in auto-sklearn 2, Feurer et
al., arXiv 2007.04074, section 4), tasks being weighted by how alike they are: by the facts given
for both, then by the rank correlation of what they predict with what was found (landmarks).

Then a Gaussian process of this sweep's results, together with the tasks' as an ensemble (RGPE,
Feurer, Letham & Bakshy, arXiv 1802.02219): weights are the chances that a process ranks the
results best, its own by leaving one out, and a task that ranks them worse than 95 % of what the
target's own process does is left out, so misleading sweeps end with weight 0.

What the user believes multiplies what is maximised, as it does for the Gaussian process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.belief import Belief
from raysweep.searchers.gp import GaussianProcess
from raysweep.searchers.gp_acquisition import log_ei
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_beliefs import standardised
from raysweep.searchers.gp_fit import fit
from raysweep.searchers.gp_model import Surrogate
from raysweep.searchers.gp_optimize import maximise
from raysweep.searchers.history import Bools, Floats
from raysweep.searchers.learner import Known, Learner
from raysweep.searchers.one_thread import on_one_thread
from raysweep.searchers.setting import Earlier, Setting
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST
from raysweep.trials.space import Space
from raysweep.trials.streams import Generator, Stream

_BEST = 8
"""Configs of each task that may enter the portfolio."""
_SEEN = 150
"""Results of one task that its process is fitted to, the best half and others evenly."""
_DRAWS = 128
"""Draws by which the weights of the ensemble are estimated."""
_RESULTS = 3
"""Results of this sweep from which its own process counts."""


class Task(NamedTuple):
    """An earlier sweep: its process, its best points, shape (b, d), and what is known of it."""

    name: str
    process: Surrogate
    best: Floats
    facts: dict[str, float]


class Transfer:
    """The method of `transfer`.

    Args:
        setting: its `earlier` are where it starts from.
        portfolio: trials that are given to configs from elsewhere.
        belief: where the user expects good configs.

    Raises:
        SpecError: there is no earlier sweep with results that fit this space.
    """

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

    @on_one_thread
    def propose(self, known: Known, stream: Stream) -> Proposal:
        """The next of the portfolio, then what the ensemble likes best."""
        if known.issued < self._size:
            return self._portfolio(known)
        if len(known.done) < _RESULTS:
            return self._own.propose(known, stream)
        return self._ensemble(known, stream.generator())

    def alike(self, known: Known) -> Floats:
        """How much each task counts for the portfolio, shape (t,), of a sum of 1."""
        weights = np.array([_nearness(self._setting.facts, task.facts) for task in self._tasks])
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

    def _ensemble(self, known: Known, generator: Generator) -> Proposal:
        rows = known.done[-400:]
        columns = self._axes.embed(known.points[rows])
        targets = standardised(known.scores[rows])
        own = fit(columns, self._axes.owner, targets)
        weights = self._weights(own, columns, targets, generator)
        busy = self._axes.embed(known.busy)
        spread = own.condition(busy, own.predict(busy)[0]) if len(busy) else own
        processes = [*(task.process for task in self._tasks), spread]
        used = [(w, one) for w, one in zip(weights, processes, strict=True) if w > 0]

        def predict(at: Floats) -> tuple[Floats, Floats]:
            means, variances = np.zeros(len(at)), np.zeros(len(at))
            for weight, process in used:
                mean, sd = process.predict(at)
                means += weight * mean
                variances += (weight * sd) ** 2
            return means, np.sqrt(variances + 1e-12)

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
        most = int(weights[:-1].argmax())
        why = {
            "model": "transfer",
            "acquisition": "logei",
            "value": round(top, 6),
            "n": len(known.done),
            "parents": [known.ids[int(leaders[0])]],
            "note": f"own results weigh {weights[-1]:.2f}, {self._tasks[most].name} {weights[most]:.2f}",
        }
        return Proposal(self._space.decode(point), why)

    def _believed(self, known: Known, points: Floats) -> Floats:
        """The log of what the acquisition is multiplied by, shape (n,)."""
        if self._belief is None:
            return np.zeros(len(points))
        return self._belief.weight / max(1, len(known.done)) * self._belief.log_density(points)

    def _weights(
        self, own: Surrogate, columns: Floats, targets: Floats, generator: Generator
    ) -> Floats:
        """The weight of each task and, last, of this sweep's own process; RGPE, section 4."""
        worse = targets[:, None] < targets[None, :]
        mean, sd = own.left_out()
        ours = mean + sd * generator.standard_normal((_DRAWS, len(targets)))
        # own draws are compared with the true value of the point left out, as the paper does
        lost = ((ours[:, :, None] < targets[None, None, :]) ^ worse).sum((1, 2))
        losses = []
        for task in self._tasks:
            drawn = task.process.sample(columns, generator, _DRAWS)
            losses.append(((drawn[:, :, None] < drawn[:, None, :]) ^ worse).sum((1, 2)))
        table = np.array([*losses, lost])
        useless = np.median(table, axis=1) > np.quantile(lost, 0.95)
        useless[-1] = False
        table = np.where(useless[:, None], np.iinfo(np.int64).max, table)
        wins = table == table.min(axis=0)
        wins[:-1] &= ~wins[-1]  # where the target's own is as good as any, it is trusted
        return np.asarray((wins / wins.sum(axis=0)).mean(axis=1))

    def _allowed(self, points: Floats) -> Bools:
        if not self._space.constraints:
            return np.ones(len(points), dtype=bool)
        return np.array([self._space.allows(self._space.decode(point)) for point in points])


def task_of(earlier: Earlier, space: Space, axes: Axes) -> Task | None:
    """An earlier sweep as a task; None: fewer than three of its results fit the space."""
    pairs = [
        (mapped(config, space), score)
        for config, score in zip(earlier.configs, earlier.scores, strict=True)
        if score < WORST
    ]
    fitting = [(config, score) for config, score in pairs if config is not None]
    if len(fitting) < _RESULTS:
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


def _nearness(here: dict[str, float], there: dict[str, float]) -> float:
    """exp(−mean relative difference) over the facts known of both; 1 without any."""
    shared = here.keys() & there.keys()
    if not shared:
        return 1.0
    apart = [
        abs(here[n] - there[n]) / (abs(here[n]) + abs(there[n]) + 1e-12) for n in sorted(shared)
    ]
    return float(np.exp(-2.0 * sum(apart) / len(apart)))


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
