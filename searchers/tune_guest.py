"""Any of Ray Tune's searchers behind our seam, rebuilt on resume without a pickle.

A Tune searcher changes by being asked, keeps what it learnt to itself, and can only be saved as a
pickle. So this guest writes down, as JSON, what was asked of it and told to it, and on resume a
fresh searcher is taken through the same calls. A seeded one (Optuna with `seed`, HyperOpt with
`random_state_seed`) answers as before and is then exactly what it was. Where an answer differs,
that suggestion fails as its trial ends, and what came of the recorded config is taught through
`add_evaluated_point`, where the searcher can learn that way. A resume costs one suggestion for each
trial of the sweep.

Tune's order of calls is kept: `on_trial_result` for each report but the last, which goes to
`on_trial_complete`; a trial that failed, or whose last report lacks a finite metric, completes
with `error=True` and no result.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Literal

from ray.tune.search.searcher import Searcher as TuneSearcher
from ray.tune.utils import flatten_dict

from raysweep.searchers.base import LATER, Later
from raysweep.searchers.tune_setup import (
    can_be_taught,
    innermost,
    learns_from_every_report,
    set_properties,
    unwrapped,
)
from raysweep.searchers.tune_space import TuneSpace
from raysweep.trials.errors import SpecError
from raysweep.trials.global_chance import lent
from raysweep.trials.goal import Goal
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, Status, TrialId
from raysweep.trials.tune_result import pack, tune_result, unpack

_LOG = logging.getLogger(__name__)

_Last = tuple[int, dict[str, Any]]
"""The newest report of a trial: its step and metrics."""


class TuneGuest:
    """A `ray.tune.search.Searcher` as one of ours.

    Beside our seam it has three hooks that a guest among the schedulers calls as Tune's controller
    would: `paused`, `resumed` and `dropped`.

    Args:
        searcher: a fresh one; wrapped in ConcurrencyLimiter or Repeater is fine.
        tune_space: Tune's `param_space`, translated; open (`TuneSpace.open`) for a searcher that
            has a space of its own.
        goal: its metric and mode go to a searcher that has none.
        num_samples: how many trials the sweep may make, for searchers that plan ahead; -1: any.
        seed: of what the searcher draws from the global generators.

    Attributes:
        unrestored: how many suggestions a resume could not bring back.

    Raises:
        SpecError: for what is no Searcher, and for a space that this one cannot search.
    """

    in_turn = True
    """A resume asks it again where it was asked before, and it draws from the global generators."""

    def __init__(
        self,
        searcher: Any,
        tune_space: TuneSpace,
        goal: Goal,
        *,
        num_samples: int = -1,
        seed: int = 0,
    ) -> None:
        self._searcher: Any = unwrapped(searcher)
        self._space, self._goal, self._seed = tune_space, goal, seed
        set_properties(self._searcher, tune_space, goal, num_samples)
        self._keeps_all = learns_from_every_report(self._searcher)
        self.unrestored = 0
        self._asked: dict[TrialId, dict[str, Any]] = {}
        self._configs: dict[TrialId, dict[str, Any]] = {}  # of trials that have not ended
        self._last: dict[TrialId, _Last] = {}  # not passed on yet: it may prove to be final
        self._foreign: set[TrialId] = set()  # run a config that the searcher did not suggest
        self._calls: list[list[Any]] = []

    def ask(self, trial: TrialId, stream: Stream) -> dict[str, Any] | Literal[Later.LATER] | None:
        """What the searcher suggests; `LATER` where Tune would ask again, None when it is done.

        Raises:
            SpaceError: the suggestion is not of the space; the searcher hears that it failed.
        """
        if trial in self._asked:
            return dict(self._asked[trial])
        answer = self._suggest(trial)
        if isinstance(answer, dict):
            self._asked[trial] = answer
            return dict(answer)
        return answer

    def suggested(self, trial: TrialId, config: Config) -> None:
        """`trial` runs `config`; a searcher that has not been asked for it is asked now."""
        self._calls.append(["suggested", trial, dict(config)])
        self._configs[trial] = dict(config)
        if self._asked.pop(trial, None) == config:
            return
        try:
            same = self._suggest(trial) == config
        except Exception as error:  # its answer is not needed, only its memory of having answered
            _LOG.debug("%s raised for %s: %s", self._name, trial, error)
            same = False
        if not same:
            self._miss(trial)

    def tell(self, report: Report) -> None:
        """Pass on the report before this one: only the end shows which one is the last."""
        trial = report.trial
        if trial not in self._configs:
            return
        if self._keeps_all:
            self._calls.append(["told", trial, report.step, pack(report.metrics)])
        before = self._last.get(trial)
        self._last[trial] = (report.step, dict(report.metrics))
        if before is not None:
            self._pass_on(trial, before)

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """Complete the trial with its last report; one that failed, without."""
        if trial not in self._configs:
            return
        config, last = self._configs.pop(trial), self._last.pop(trial, None)
        self._calls.append(["ended", trial, outcome.status.value, *_packed(last)])
        failed = outcome.status is Status.FAILED or last is None or not self._is_finite(last[1])
        if trial in self._foreign:
            self._foreign.discard(trial)
            self._complete(trial, None, error=True)
            if not failed and last is not None:
                self._teach(config, last)
        elif failed:
            if last is not None:
                self._pass_on(trial, last, config)
            self._complete(trial, None, error=True)
        elif last is not None:
            self._complete(trial, tune_result(trial, *last, config, done=True), error=False)

    def paused(self, trial: TrialId) -> None:
        """The scheduler paused `trial`; searchers for HyperBandForBOHB want to know."""
        self._hook("paused", "on_pause", trial)

    def resumed(self, trial: TrialId) -> None:
        """The scheduler goes on with `trial`."""
        self._hook("resumed", "on_unpause", trial)

    def dropped(self, trial: TrialId) -> None:
        """The scheduler ended the paused `trial`: as in Tune, it completes without a result."""
        if trial not in self._configs:
            return
        config, last = self._configs.pop(trial), self._last.pop(trial, None)
        self._calls.append(["dropped", trial, *_packed(last)])
        if last is not None:
            self._pass_on(trial, last, config)
        foreign = trial in self._foreign
        self._foreign.discard(trial)
        self._complete(trial, None, error=foreign)

    def state(self) -> dict[str, Any]:
        """What was asked and told, as plain JSON: a few hundred bytes for each trial."""
        last = {trial: list(_packed(last)) for trial, last in self._last.items()}
        return {"calls": self._calls, "last": last}

    def load(self, state: dict[str, Any]) -> None:
        """Take a fresh searcher through all that was asked and told.

        Raises:
            SpecError: this one has been asked already.
        """
        if self._calls or self._asked:
            raise SpecError(
                f"this {self._name} has suggested before, so it cannot be taken through the history "
                f"of a sweep; make a new one"
            )
        for name, trial, *rest in state["calls"]:
            try:
                self._repeat(name, trial, rest)
            except Exception as error:  # as it was live: what a searcher raises costs one lesson
                _LOG.debug("%s raised when %s was %s again: %s", self._name, trial, name, error)
        self._last = {trial: (step, unpack(m)) for trial, (step, m) in state["last"].items()}

    def _repeat(self, name: str, trial: TrialId, rest: list[Any]) -> None:
        if name == "suggested":
            return self.suggested(trial, rest[0])
        if name == "told":
            return self.tell(Report(trial, 0, rest[0], unpack(rest[1]), 0.0))
        if name in ("paused", "resumed"):
            return self.paused(trial) if name == "paused" else self.resumed(trial)
        *status, step, metrics = rest
        if step is not None:
            self._last[trial] = (step, unpack(metrics))
        if name == "dropped":
            return self.dropped(trial)
        return self.end(trial, Outcome(Status(status[0]), step or 0, 0.0))

    @property
    def _name(self) -> str:
        return type(self._searcher).__name__

    def _suggest(self, trial: TrialId) -> dict[str, Any] | Literal[Later.LATER] | None:
        with lent(Stream(self._seed, "suggest", trial)):
            values = self._searcher.suggest(trial)
        if values is None:
            return LATER
        if values == TuneSearcher.FINISHED:
            return None
        try:
            config = self._space.flat(values)
            self._space.space.check(config)
        except Exception:
            self._complete(trial, None, error=True)
            raise
        return config

    def _miss(self, trial: TrialId) -> None:
        self._foreign.add(trial)
        if not self.unrestored:
            _LOG.warning(
                "%s did not suggest again for %s what it suggested before: it is not restored "
                "exactly; give it a seed. What came of the recorded configs is taught to it %s",
                self._name,
                trial,
                "as far as it can learn"
                if can_be_taught(self._searcher)
                else "not at all: it cannot learn",
            )
        self.unrestored += 1

    def _pass_on(self, trial: TrialId, last: _Last, config: Config | None = None) -> None:
        if trial not in self._foreign and self._is_finite(last[1]):
            result = tune_result(trial, *last, config or self._configs[trial])
            with lent(Stream(self._seed, "result", trial, last[0])):
                self._searcher.on_trial_result(trial, result)

    def _complete(self, trial: TrialId, result: dict[str, Any] | None, *, error: bool) -> None:
        with lent(Stream(self._seed, "complete", trial)):
            self._searcher.on_trial_complete(trial, result=result, error=error)

    def _hook(self, name: str, method: str, trial: TrialId) -> None:
        """Call a hook that few searchers have; a ConcurrencyLimiter has it and passes it on."""
        if trial in self._configs and hasattr(innermost(self._searcher), method):
            self._calls.append([name, trial])
            getattr(self._searcher, method)(trial)

    @property
    def _metrics(self) -> list[str]:
        """What the searcher optimises: its own metric, or metrics, if it has one."""
        own = self._searcher.metric or self._goal.metric
        return list(own) if isinstance(own, (list, tuple)) else [own]

    def _is_finite(self, metrics: Mapping[str, Any]) -> bool:
        values = [metrics.get(name) for name in self._metrics]
        return all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)

    def _teach(self, config: Config, last: _Last) -> None:
        if can_be_taught(self._searcher) and len(self._metrics) == 1:
            values = flatten_dict(self._space.varying(config))
            innermost(self._searcher).add_evaluated_point(values, last[1][self._metrics[0]])


def _packed(last: _Last | None) -> tuple[int | None, dict[str, Any] | None]:
    return (last[0], pack(last[1])) if last else (None, None)
