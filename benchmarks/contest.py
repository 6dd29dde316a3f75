"""One run on recorded curves in simulated time: what was found when, and at what cost.

Searcher, scheduler, state machine and loop are the real ones, on the simulated pool, whose steps take
the recorded seconds. The searcher's processor time passes in the simulation only where it is
charged: then aside, one config after the other, as sweeps do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time as processor_s
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.idle import Asker
from raysweep.cluster.recorded import Recording
from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.orchestrator.loop import FOREVER_S, Loop, NoJournal
from raysweep.orchestrator.play import prepared
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import NO_OBJECTS, Objects
from raysweep.orchestrator.spec import SweepSpec
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event, Opened, Reported, Suggested
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Config, TrialId

Table = pd.DataFrame
Rule = dict[str, Any]


class Contest(NamedTuple):
    """What all contenders have in common: a recording, so many workers, a seed, and an end."""

    on: Recording
    workers: int
    seed: int
    until_s: float
    charge: bool = False


class Finds:
    """Each report that was better than all before it, up to a time; and counts.

    Args:
        contest: what it is about.
    """

    def __init__(self, contest: Contest) -> None:
        self._on, self._until_s = contest.on, contest.until_s
        self._best = WORST
        self._rows: list[tuple[float, float, float, int]] = []
        self._configs: dict[TrialId, Config] = {}
        self._steps = 0
        self.cpu_s = 0.0

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """As an observer of the loop."""
        if isinstance(event, Suggested):
            self.suggested(event.trial, event.config, event.at)
        elif isinstance(event, Reported):
            for report in event.reports(self._on.goal):
                self.report(report.trial, report.step, report.score, event.at)

    def suggested(self, trial: TrialId, config: Config, at_s: float) -> None:
        """There is a trial."""
        if at_s <= self._until_s:
            self._configs[trial] = config

    def report(self, trial: TrialId, step: int, score: float, at_s: float) -> None:
        """A trial has reported."""
        if at_s > self._until_s:
            return
        self._steps += 1
        if score < self._best:
            self._best = score
            final = self._final(self._configs[trial])
            self._rows.append((at_s, score, final, step))

    def _final(self, config: Config) -> float:
        """What a config comes to when it is trained to the end."""
        metrics = self._on.curves(config, 0, self._on.curves.length(config))
        return self._on.goal.score(metrics)

    def table(self) -> Table:
        """A row for each improvement; the counts are the same in all."""
        rows = self._rows or [(self._until_s, WORST, WORST, 0)]
        return pd.DataFrame(rows, columns=["at_s", "score", "final", "step"]).assign(
            trials=len(self._configs), steps=self._steps, cpu_s=self.cpu_s, until_s=self._until_s
        )


class _Measured:
    """A proposer whose processor time is added up and does not pass."""

    def __init__(self, propose: Proposer, finds: Finds) -> None:
        self._propose, self._finds = propose, finds

    def __call__(self, trial: TrialId, at: float) -> Event:
        begun = processor_s()
        event = self._propose(trial, at)
        self._finds.cpu_s += processor_s() - begun
        return event


def run_ours(contest: Contest, rule: Rule, searcher: Rule, objects: Objects = NO_OBJECTS) -> Table:
    """A rule and a searcher, ours or guests of ours, in one simulated sweep.

    Args:
        contest: where, with how many workers, and for how long.
        rule, searcher: as a spec has them.
        objects: the rule itself, where it is no rule by name.
    """
    on = contest.on
    spec = SweepSpec.from_dict(
        {
            "trainable": "none:none",
            "space": on.space,
            "metric": on.goal.metric,
            "mode": on.goal.mode,
            "searcher": searcher,
            "scheduler": objects.scheduler or rule,
            "seed": contest.seed,
            "budget": {"wall_time_s": contest.until_s},
            "cluster": {"max_slots": contest.workers},
        }
    )
    state, propose = prepared(spec, on, objects=objects)
    clock, finds = ManualClock(), Finds(contest)
    machine = Machine(workers=contest.workers, batch_s=0.0)
    pool = SimulatedPool(machine, on.curves, clock, contest.seed, pace=on.curves)
    common: dict[str, Any] = {
        "clock": clock, "origin_s": 0.0, "observe": finds, "patience_s": FOREVER_S,
    }  # fmt: skip
    opened = Opened(0.0, 1, 0.0, "simulated")
    if contest.charge:
        asker = Asker(propose, pool, clock, aside=True)
        asking: dict[str, Any] = {"propose": asker.request, "answers": asker.answers}
        Loop(state, asker, NoJournal(), **asking, **common).run(opened)
        finds.cpu_s = sum(asker.spent_s)
    else:
        Loop(state, pool, NoJournal(), propose=_Measured(propose, finds), **common).run(opened)
    assert not state.advice.errors, state.advice.last_error
    return finds.table()
