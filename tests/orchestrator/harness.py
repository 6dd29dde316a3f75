"""A sweep on the simulated pool with everything in memory: what the tests of the core stand on."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.loop import FOREVER_S, Loop
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.trials import actions, events
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import (
    Closed,
    Ended,
    Event,
    Failed,
    Opened,
    Reported,
    Retried,
    Suggested,
)
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId

GOAL = Goal((("loss", "min"),))
SPACE = Space.from_dict({"x": {"uniform": [0, 1]}})


class OneNumber:
    """A searcher over `x` in [0, 1) that remembers what it was told, to be compared in tests."""

    def __init__(self, limit: float = math.inf) -> None:
        self.told: list[tuple[str, int]] = []
        self.pending: dict[str, float] = {}
        self._limit, self._made = limit, 0

    def ask(self, trial: TrialId, stream: Stream) -> dict[str, Any] | None:
        return None if self._made >= self._limit else {"x": stream.uniform()}

    def suggested(self, trial: TrialId, config: Config) -> None:
        self._made += 1
        self.pending[trial] = config["x"]

    def tell(self, report: Report) -> None:
        self.told.append((report.trial, report.step))

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        del self.pending[trial]

    def state(self) -> dict[str, Any]:
        told = [list(entry) for entry in self.told]
        return {"told": told, "pending": self.pending, "made": self._made}

    def load(self, state: dict[str, Any]) -> None:
        self.told = [(trial, step) for trial, step in state["told"]]
        self.pending, self._made = dict(state["pending"]), state["made"]


def curve(config: Mapping[str, Any], seed: int, step: int) -> dict[str, Any]:
    """A loss that falls with the steps towards (x - 0.3)²; NaN for the unlucky few."""
    x = config["x"]
    return {"loss": math.nan if 0.9 < x < 0.93 else (x - 0.3) ** 2 + 1.0 / (step + 1)}


class Kept(NamedTuple):
    event: Event
    verdicts: tuple[Verdict, ...]


class Memory:
    """A journal in memory, through JSON as a real one."""

    due = False

    def __init__(self) -> None:
        self.records: list[Kept] = []
        self.crash_at = math.inf

    def append(self, event: Event, verdicts: Sequence[Verdict] = ()) -> int:
        if len(self.records) >= self.crash_at:
            raise Crash
        self.records.append(Kept(event, tuple(verdicts)))
        return len(self.records)

    def commit(self, *, durable: bool) -> None:
        pass

    def compact(self, state: dict[str, Any] | None) -> None:
        json.dumps(state)


class Crash(Exception):
    """The driver dies here."""


def make_state(
    scheduler: dict[str, Any],
    searcher: OneNumber | None = None,
    *,
    goal: Goal = GOAL,
    **rules: Any,
) -> SweepState:
    options = dict(scheduler)
    trials = rules.setdefault("budget", Budget(trials=12)).trials
    setting = Setting(goal, SPACE, rules.get("seed", 0), trials)
    built = build_scheduler(options.pop("name"), options, setting)
    return SweepState(Rules(goal, **rules), searcher or OneNumber(), built)


def run(
    state: SweepState,
    machine: Machine,
    journal: Memory,
    *,
    seed: int = 0,
    epoch: int = 1,
    observe: Callable[[Event, Sequence[Verdict]], None] = lambda e, v: None,
    train: Callable[[Config, int, int], dict[str, Any]] = curve,
    retried: Sequence[Retried] = (),
    pool_type: type[SimulatedPool] = SimulatedPool,
) -> Closed:
    """Drive `state` to its end on a new simulated cluster."""
    clock = ManualClock(state.spend.at)
    pool = pool_type(machine, train, clock, seed=seed * 1000 + epoch)
    loop = Loop(
        state,
        pool,
        journal,
        clock=clock,
        origin_s=0.0,
        propose=Proposer(state.advice.searcher, lambda config: None, state.rules.seed),
        observe=observe,
        patience_s=FOREVER_S,
    )
    return loop.run(Opened(state.spend.at, epoch, 0.0, "here"), retried)


def retries(state: SweepState, memory: Memory) -> list[Retried]:
    """What it takes to try every trial that has failed for good again, from scratch."""
    own: dict[str, dict[str, Any]] = {}
    failed: dict[str, int] = {}
    for event, verdicts in memory.records:
        if isinstance(event, Suggested) and not (event.parent or event.replicate_of):
            own[event.trial] = event.config
        elif isinstance(event, Failed) and not verdicts_on(event.trial, verdicts):
            failed[event.trial] = event.attempt
        elif isinstance(event, Retried | Ended):
            failed.pop(event.trial, None)
        for verdict in verdicts:
            if verdict.verb in ("stop", "finish"):
                own.pop(verdict.trial, None)
    over = (failed.keys() & own.keys()) - state.live.keys()
    return [Retried(0.0, trial, own[trial], failed[trial]) for trial in sorted(over)]


def verdicts_on(trial: str, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that say what becomes of a trial whose attempt has failed."""
    return [v for v in verdicts if v.trial == trial and v.verb in ("retry", "park")]


def check_record(memory: Memory) -> None:
    """Invariants of any finished record: one ending per trial, and silence after it."""
    endings: Counter[str] = Counter()
    over: set[tuple[str, int]] = set()
    seen: set[tuple[str, int, int]] = set()
    for event, verdicts in memory.records:
        if isinstance(event, Reported):
            key = (event.trial, event.attempt)
            for step in event.steps:
                assert (*key, step) not in seen, "exactly once"
                seen.add((*key, step))
            assert key not in over, f"{event} after its end"
        for verdict in verdicts:
            if verdict.verb in ("stop", "finish"):
                endings[verdict.trial] += 1
                over.add((verdict.trial, verdict.attempt))
    assert all(count == 1 for count in endings.values())


class Hand:
    """A state machine fed by hand."""

    def __init__(self, state: SweepState, slots: int = 1) -> None:
        self.state, self.at = state, 0.0
        self.answers = True  # to `Finish`
        self.done: list[Any] = []
        self.give(events.Opened(0.0, 1, 0.0, "here"))
        for number in range(slots):
            self.give(events.SlotUp(0.0, f"s{number}", "n0", ""))

    def give(self, event: events.Event) -> list[actions.Action]:
        turn = self.state.handle(event)
        for action in turn.actions:
            self.done.append(action)
            if isinstance(action, actions.Suggest):
                self.give(events.Suggested(self.at, action.trial, {"x": 0.5}))
            elif isinstance(action, actions.Finish) and self.answers:
                self.give(events.Finished(self.at, action.trial, action.attempt, 0, None))
        return turn.actions

    def report(self, trial: str, step: int, loss: float, attempt: int = 1) -> list[actions.Action]:
        columns = {"loss": [loss]}
        return self.give(events.Reported(self.at, trial, attempt, [step], [1.0], columns))

    def last(self, kind: type) -> Any:
        return [action for action in self.done if isinstance(action, kind)][-1]


def dropped(hand: Hand) -> list[str]:
    return [a.path for a in hand.done if isinstance(a, actions.DropCheckpoint)]
