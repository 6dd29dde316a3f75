"""Goes on with the trial whose continuation promises most for its cost, by a model of the curves.

    t_0 < … < t_m       rungs: from grace_period to max_t, each about 1.4 times the one before
    best                the least score that any trial has reported
    worth               expected improvement on best per step (per second, where seconds are
                        reported), with leave to give up at every rung: `curve_worth`
    chance              the probability that a trial would come below best by max_t

The forecast of a trial's curve is `curve_model`'s, with what its config lets expect from
`curve_configs`. A free slot takes the paused trial of the highest worth, or a new one if that is
worth more; a new one's forecast is as likely one as another of those that the newest trials had at
their first rung. So who is continued follows the freeze-thaw idea (Swersky, Snoek, Adams,
arXiv:1406.3896); that one decides by expected improvement over a horizon is as in DyHPO (Wistuba,
Kadra, Grabocka, arXiv:2202.09774), where ours weighs it against the cost.

Two rules stand beside worth. Whoever has shown the best score goes on whatever the model says, so
that the best of a sweep is trained to its end. And nobody goes on whose chance is below
`least_chance`: so a sweep that gets no new trials ends, the hopeless still paused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from math import ceil, inf
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raysweep.schedulers.base import Promotion
from raysweep.schedulers.curve_learnt import Learnt
from raysweep.schedulers.curve_model import CurveModel
from raysweep.schedulers.curve_trials import Curve, points_of, scores_of
from raysweep.schedulers.curve_worth import Worth
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.options import Option, count, number
from raysweep.trials.trial import Config, Outcome, Report, TrialId

Array = npt.NDArray[np.float64]

CURVE_OPTIONS: dict[str, Option] = {
    "max_t": count(required=True),
    "grace_period": count(1),
    "interval": count(1),
    "least_chance": number(0.05, 0.0, 0.5),
}
VERSION = "curve v1"
_GROWTH, _MOST_RUNGS = 1.4, 16
_FITTED = 1_000
"""Trials that a fit looks at, the newest ones."""
_AGAIN = 1.15
"""A fit is made anew once that many times the rung reports of the last one are there."""
_STARTUP = 8
"""First rungs to be seen before anything is judged, as long as new trials come."""
_NEWEST = 64
"""Trials whose first rungs say what a new one is like."""
_NORMAL = NormalDist()


def curve_rungs(grace_period: int, max_t: int, interval: int) -> list[int]:
    """The steps of the rungs, ascending, max_t the last.

    Example:
        >>> curve_rungs(1, 50, 1)
        [1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 50]
    """
    growth = max(_GROWTH, (max_t / grace_period) ** (1 / (_MOST_RUNGS - 1)))
    steps = [grace_period]
    while steps[-1] < max_t:
        grown = steps[-1] + interval * max(1, ceil(steps[-1] * (growth - 1) / interval - 1e-9))
        steps.append(min(max_t, grown))
    return steps


class Fit(NamedTuple):
    """What was learnt, and from how much.

    Attributes:
        number: of fits so far.
        reports: rung reports that had come.
        levels: h of each trial that was looked at.
    """

    number: int
    reports: int
    learnt: Learnt
    levels: dict[TrialId, float]


class Standing(NamedTuple):
    """Of several trials: what their going on is worth, per step or second, and their chances.

    `gain` is best - forecast, in units of the forecast's sd.
    """

    worth: Array
    gain: Array


class CurveForecasts:
    """See the module.

    Args:
        setting: what is known of the sweep; without a space, configs say nothing.
        max_t: the step at which a trial is complete.
        grace_period: the first rung.
        interval: steps between two rungs, at least; rungs stand at multiples of it behind the first.
        least_chance: see the module.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        max_t: int,
        grace_period: int = 1,
        interval: int = 1,
        least_chance: float = 0.05,
    ) -> None:
        self._space, self._max_t = setting.space, max_t
        self._steps = curve_rungs(grace_period, max_t, interval)
        self._index = {step: rung for rung, step in enumerate(self._steps)}
        self._worth = _tables(tuple(self._steps))
        self._least_gain = _NORMAL.inv_cdf(least_chance) if least_chance else -inf
        self._curves: dict[TrialId, Curve] = {}
        self._waiting: dict[TrialId, None] = {}
        self._best, self._leader = WORST, ""
        self._reports = 0  # at rungs
        self._more = True  # as `next_paused` heard last
        self._timed = True  # seconds are known of every step
        self._fit: Fit | None = None
        self._standing: Standing | None = None  # of those that wait, until something changes
        self._fresh: float | None = None

    def grant(self, trial: TrialId, config: Config) -> int:
        """A new trial may run to the first rung."""
        point = [] if self._space is None else self._space.encode(config).tolist()
        self._curves[trial] = Curve([None if u != u else u for u in point])
        return self._steps[0]

    def on_report(self, report: Report) -> Decision:
        """At a rung: on at once if nothing is worth more, else pause."""
        trial, score = report.trial, report.score
        curve = self._curves[trial]
        curve.hear(report)
        self._fresh = (
            None  # it hangs on the first rungs and the paces of the newest, running ones too
        )
        if score < self._best:
            self._best, self._leader = score, trial
            self._changed()
        rung = self._index.get(report.step, len(self._steps) - 1)
        if report.step < self._steps[rung]:
            return CONTINUE
        while len(curve.rungs) <= rung:
            curve.rungs.append(curve.least)
        if self._timed and not curve.pace_s > 0:
            self._timed = False
            self._changed()
        self._reports += 1
        decision = self._at_rung(trial, report, rung)
        self._learn()
        return decision

    def _at_rung(self, trial: TrialId, report: Report, rung: int) -> Decision:
        if report.step >= self._max_t:
            return Finish(Reason("max_t", self._max_t, report.score))
        if report.score == WORST:
            return Stop(Reason("curve", report.step, report.score))
        others = self._of_waiting()
        own = self._of([trial])
        why = self._reason("curve", trial, report.score, own, others.worth)
        going = own.worth[0] >= others.worth.max(initial=0.0) and self._pays(own, self._more)
        if not self._starting(self._more) and (trial == self._leader or going):
            return RunTo(self._steps[rung + 1], why)
        self._waiting[trial] = None
        self._changed()
        return Pause(why)

    def next_paused(self, more: bool = True) -> Promotion | None:
        """The paused trial whose continuation is worth most, if no new one is worth more."""
        self._more = more
        if not self._waiting or self._starting(more):
            return None
        standing = self._of_waiting()
        trials = list(self._waiting)
        if self._leader in self._waiting:
            place = trials.index(self._leader)
        else:
            place = int(np.argmax(standing.worth))
            if not self._pays(Standing(*(part[[place]] for part in standing)), more):
                return None
        trial = trials[place]
        del self._waiting[trial]
        self._changed()
        own = Standing(*(part[[place]] for part in standing))
        others = np.delete(standing.worth, place)
        rung = len(self._curves[trial].rungs)
        why = self._reason("curve promotion", trial, self._curves[trial].least, own, others)
        return Promotion(trial, self._steps[rung], why)

    def on_end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial that ended waits no longer; what it showed stays."""
        if trial in self._waiting:
            del self._waiting[trial]
            self._changed()

    def _starting(self, more: bool) -> bool:
        """Whether it is too early to judge anybody."""
        return self._fit is None or (more and self._reports < _STARTUP)

    def _pays(self, one: Standing, more: bool) -> bool:
        """Whether a single trial is to go on, as long as no other one is worth more."""
        likely = not more and one.gain[0] >= self._least_gain
        return bool(likely or one.worth[0] > self._of_fresh())

    def _reason(
        self, rule: str, trial: TrialId, score: float, own: Standing, others: Array
    ) -> Reason:
        if self._fit is None:
            return Reason(rule, self._steps[len(self._curves[trial].rungs) - 1], score)
        worth = float(own.worth[0])
        said = f"chance {_NORMAL.cdf(float(own.gain[0])):.2g}, ei per cost {worth:.2g}"
        return Reason(
            rule,
            self._steps[len(self._curves[trial].rungs) - 1],
            score,
            self._best,
            1 + int((others > worth).sum()),
            1 + len(others),
            f"{VERSION} fit {self._fit.number}: {said}",
        )

    def _changed(self) -> None:
        self._standing = self._fresh = None

    def _of_waiting(self) -> Standing:
        if self._standing is None:
            self._standing = self._of(list(self._waiting))
        return self._standing

    def _of(self, trials: Sequence[TrialId]) -> Standing:
        """How `trials`, each at a rung below the last, stand."""
        worth, gain = np.zeros(len(trials)), np.full(len(trials), -inf)
        if self._fit is None or self._best == WORST:
            return Standing(worth, gain)
        rungs = np.array([len(self._curves[trial].rungs) - 1 for trial in trials])
        for rung in np.unique(rungs).tolist():
            at = np.flatnonzero(rungs == rung)
            ahead, sd = self._ahead([trials[i] for i in at.tolist()], rung)
            worth[at] = self._worth.of(rung, ahead, sd)
            gain[at] = ahead / np.maximum(sd, 1e-12)
        return Standing(worth / self._paces(trials), gain)

    def _ahead(self, trials: Sequence[TrialId], rung: int) -> tuple[Array, Array]:
        """best - forecast and the forecast's sd at `rung`, where all of `trials` have been."""
        assert self._fit is not None
        learnt, known = self._fit.learnt, self._fit.levels
        scores = np.array([self._curves[trial].rungs[: rung + 1] for trial in trials])
        expected = np.array([known.get(trial, 0.0) for trial in trials])
        forecast = learnt.forecast(scores, rung, expected)
        return float(learnt.scale.z(np.array(self._best))) - forecast.mean, forecast.sd

    def _paces(self, trials: Sequence[TrialId]) -> Array:
        """Seconds of a step; 1 for all where anybody's are unknown."""
        if not self._timed:
            return np.ones(len(trials))
        return np.array([self._curves[trial].pace_s for trial in trials], dtype=np.float64)

    def _of_fresh(self) -> float:
        """What a new trial is worth."""
        if self._fresh is None and self._fit is not None:
            begun = (name for name in reversed(self._curves) if self._curves[name].rungs)
            newest = list(islice(begun, _NEWEST))
            ahead, sd = self._ahead(newest, 0)
            found = self._worth.fresh(ahead, sd)
            self._fresh = found / float(self._paces(newest).mean())
        return self._fresh or 0.0

    def _learn(self) -> None:
        """Fit again if there is enough that is new."""
        if self._fit and self._reports < self._fit.reports * _AGAIN:
            return
        begun = [name for name in self._curves if self._curves[name].rungs][-_FITTED:]
        curves = [self._curves[name] for name in begun]
        scores = scores_of(curves, len(self._steps))
        if not np.isfinite(scores).any():
            return
        learnt = Learnt.of(self._steps, scores, points_of(curves))
        number = 1 + (self._fit.number if self._fit else 0)
        known = dict(zip(begun, learnt.levels.tolist(), strict=True))
        self._fit = Fit(number, self._reports, learnt, known)
        self._changed()

    def state(self) -> dict[str, Any]:
        """The curves, who waits, and what was learnt last."""
        fit = self._fit
        return {
            "curves": {trial: curve.state() for trial, curve in self._curves.items()},
            "waiting": list(self._waiting),
            "best": [self._best, self._leader],
            "reports": self._reports,
            "told": [self._more, self._timed],
            "fit": fit and [*fit[:2], fit.learnt.state(), fit.levels],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._curves = {trial: Curve.of(curve) for trial, curve in state["curves"].items()}
        self._waiting = dict.fromkeys(state["waiting"])
        self._best, self._leader = state["best"]
        self._reports, (self._more, self._timed) = state["reports"], state["told"]
        fit = state["fit"]
        self._fit = fit and Fit(fit[0], fit[1], Learnt.from_state(fit[2]), fit[3])
        self._changed()


@lru_cache(maxsize=64)
def _tables(steps: tuple[int, ...]) -> Worth:
    """The worth at these rungs, where forecasts grow certain as they do before anything is learnt."""
    prior = CurveModel.fit(steps, np.empty((0, len(steps))), np.empty(0))
    return Worth(steps, prior.resolved())
