"""What a sweep's results say of configs that nobody tried: its Gaussian process, read afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.orchestrator.earlier import results_of
from raysweep.orchestrator.spec import SweepSpec
from raysweep.searchers.gp import GaussianProcess
from raysweep.searchers.learner import Known
from raysweep.searchers.setting import Setting
from raysweep.trials.errors import StoreError
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.trial import Outcome, Report, Status, trial_id

_FEWEST = 4


class Expected(NamedTuple):
    """What a config would lead to: mean and standard deviation, in the metric's own unit."""

    mean: float
    sd: float


class Learnt:
    """A Gaussian process over the configs of one sweep, fitted to the best value of each trial.

    Args:
        setting: the sweep's space and goal.
        found: config and score of each trial.
    """

    def __init__(self, setting: Setting, found: Sequence[tuple[dict[str, Any], float]]) -> None:
        self._known, self._process = Known(setting), GaussianProcess(setting)
        self._sign = -1.0 if setting.goal and setting.goal.mode == "max" else 1.0
        for number, (config, score) in enumerate(found):
            trial = trial_id(number)
            self._known.suggested(trial, config)
            self._known.tell(Report(trial, 1, 1, {}, score))
            status = Status.FAILED if score == WORST else Status.COMPLETED
            self._known.end(trial, Outcome(status, 1, score))

    def expected(self, configs: Sequence[dict[str, Any]]) -> list[Expected]:
        """What each of `configs` would lead to."""
        means, sds = self._process.posterior(self._known, list(configs))
        return [
            Expected(self._sign * float(m), float(sd)) for m, sd in zip(means, sds, strict=True)
        ]

    def relevance(self) -> dict[str, float]:
        """How much the metric hangs on each parameter, the greatest first, of a sum of 1."""
        shares = self._process.relevance(self._known)
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def learnt(path: str | Path) -> Learnt:
    """What the sweep at `path` learnt; it may still be running.

    Raises:
        StoreError: there is no sweep, or fewer than four of its trials have a finite value.
    """
    from raysweep.results.read import read

    results = read(path)
    spec = SweepSpec.from_dict(results.manifest["spec"])
    found = results_of(results, Goal(spec.goal.metrics[:1]))
    finite = sum(score < WORST for _, score in found)
    if finite < _FEWEST:
        raise StoreError(
            f"{results.path}: {finite} trials have a finite {spec.goal.metric}, and {_FEWEST} are "
            f"needed to learn from; `raysweep trials {results.path}` shows what became of the others"
        )
    return Learnt(Setting(spec.parsed_space, spec.seed, Goal(spec.goal.metrics[:1])), found)
