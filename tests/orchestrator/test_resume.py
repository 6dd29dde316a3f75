"""A driver may die after any event: what a resumed sweep does must not depend on it.

Two crashes are played after every single event (under `curve` after every eleventh) of 100 seeded
sweeps under each rule, of one in the default run. In the first, the events after the crash are those
of the uninterrupted sweep; the resumed state must take every decision alike, byte for byte. In the
second, everything that ran dies with the driver; the resumed sweep runs to its end on a new simulated
cluster, and its final tables must be those of the uninterrupted one wherever they do not hang on who
came first (FIFO), and must lose, double and contradict nothing under every scheduler.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.confirm import Confirm
from raysweep.orchestrator.shares import Shares
from raysweep.orchestrator.state import SweepState
from raysweep.trials import events
from raysweep.trials.goal import Goal
from raysweep.trials.trial import Config, Status
from tests.orchestrator.harness import GOAL, Crash, Memory, check_record, curve, make_state, run

SCHEDULERS: list[dict[str, Any]] = [
    {"name": "fifo", "max_t": 4},
    {"name": "asha", "max_t": 9, "form": "promotion"},
    {"name": "asha", "max_t": 9, "form": "stopping"},
    {"name": "median", "max_t": 5},
    {"name": "asha", "reduction_factor": 2},
    {"name": "hyperband", "max_t": 4, "reduction_factor": 2, "form": "asynchronous"},
    {"name": "hyper_tune", "max_t": 4, "reduction_factor": 2},
    {"name": "dehb", "max_t": 2, "reduction_factor": 2},
    {"name": "pasha", "max_t": 8, "reduction_factor": 2},
    {"name": "percentile", "max_t": 5, "percentile": 40, "min_trials": 2},
    {"name": "threshold", "max_t": 5, "upper": [[1, 0.9], [3, 0.5]]},
    {"name": "plateau", "max_t": 7, "window": 2, "tolerance": 0.05},
    {"name": "patience", "max_t": 7, "patience": 2, "min_delta": 0.1},
    {"name": "curve", "max_t": 8},
    {"name": "curve", "max_t": 7, "grace_period": 2, "interval": 2},
    {"name": "curve", "max_t": 5, "least_chance": 0},
    {"name": "curve", "max_t": 6, "audit": 0.5},
    {"name": "asha", "max_t": 7, "form": "stopping", "judge_by": "best", "audit": 0.5},
    {"name": "asha", "max_t": 7, "reduction_factor": 2, "judge_by": "smoothed", "audit": 0.5},
    {"name": "asha", "max_t": 9, "unit": "seconds"},
    {"name": "hyperband", "max_t": 4, "reduction_factor": 2, "unit": "seconds"},
    {"name": "pasha", "max_t": 8, "reduction_factor": 2, "unit": "seconds"},
    {"name": "asha", "max_t": 9, "judge_by": "best", "audit": 0.5, "unit": "seconds"},
    {"name": "mo_asha", "max_t": 9},
    {"name": "mo_asha", "max_t": 8, "form": "stopping", "reduction_factor": 2, "audit": 0.5},
]
BOTH = Goal((("loss", "min"), ("size", "max")))
SHARES = [
    Shares(),
    Shares(((1, 2), (3, 4)), patience_s=3.0),
    Shares(elastic=True),
    Shares(((2, 2),), elastic=True, patience_s=0.0),
]
RULES: dict[str, Any] = {"budget": Budget(trials=6), "retries": {"infra": 50, "crash": 50}}


def machine(seed: int) -> Machine:
    """A rough cluster, a little different for each seed."""
    return Machine(
        workers=1 + seed % 4,
        slots_per_device=1 + seed // 2 % 4,
        step_sigma=0.6,
        setup_s=0.3 * (seed % 2),
        save_s=0.4 * (seed % 3),
        slot_start_s=1.5 * (seed % 2),
        crash_rate=0.04 * (seed % 3 == 0),
        loss_rate=0.05 * (seed % 5 == 0),
        can_save=bool(seed % 7),
        speeds={"fast": 1.0, "slow": 0.4} if seed % 2 else {},
    )


def fresh(scheduler: dict[str, Any], seed: int) -> SweepState:
    shares = SHARES[seed // 4 % len(SHARES)]
    confirm = Confirm(2, 2, scheduler.get("max_t")) if seed % 3 == 2 else None
    goal = BOTH if scheduler["name"] == "mo_asha" else GOAL
    return make_state(scheduler, goal=goal, seed=seed, shares=shares, confirm=confirm, **RULES)


def sized(config: Config, seed: int, step: int) -> dict[str, Any]:
    """The second metric is at odds with the first; only mo_asha has it as a goal."""
    return {**curve(config, seed, step), "size": abs(config["x"] - 0.7)}


def played(state: SweepState, seed: int, memory: Memory, epoch: int = 1) -> events.Closed:
    """The sweep on a simulated cluster, to its end."""
    return run(state, machine(seed), memory, seed=seed, epoch=epoch, train=sized)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def block(index: int, first: int, end: int) -> tuple[dict[str, Any], list[int]]:
    """A rule, and seeds of its own; those of all rules together meet all kinds of clusters."""
    return SCHEDULERS[index], [index + len(SCHEDULERS) * n for n in range(first, end)]


def stride(scheduler: dict[str, Any]) -> int:
    """Every so many events one is the last: a model that is fitted at each decision takes its time."""
    return 11 if scheduler["name"] == "curve" else 1


BLOCKS = [
    *(pytest.param(*block(i, 0, 1), id=f"{i}") for i in range(len(SCHEDULERS))),
    *(
        pytest.param(*block(i, first, first + 11), id=f"{i}-{first}", marks=[pytest.mark.slow])
        for first in range(1, 100, 11)
        for i in range(len(SCHEDULERS))
    ),
]


@pytest.mark.parametrize(("scheduler", "seeds"), BLOCKS)
def test_fed_the_same_events_a_resumed_sweep_decides_the_same(
    scheduler: dict[str, Any], seeds: list[int]
) -> None:
    for seed in seeds:
        memory = Memory()
        played(fresh(scheduler, seed), seed, memory)
        original = fresh(scheduler, seed)
        turns = []
        snapshots = []
        for record in memory.records:
            turn = original.handle(record.event)
            assert tuple(turn.verdicts) == record.verdicts, "replay decides as the sweep did"
            turns.append(turn)
            snapshots.append(json.dumps(original.state()))
        every = stride(scheduler)
        for crash in range(seed % every, len(snapshots), every):
            snapshot = snapshots[crash]
            resumed = fresh(scheduler, seed)
            resumed.load(json.loads(snapshot))
            for k in range(crash + 1, len(turns)):
                turn = resumed.handle(memory.records[k].event)
                assert turn == turns[k], (seed, crash, k)
            assert json.dumps(resumed.state()) == snapshots[-1]


def tables(memory: Memory) -> tuple[dict[str, Any], dict[tuple[str, int], Any]]:
    """The final view: each trial's ending, and each step's metrics by its last attempt."""
    trials: dict[str, Any] = {}
    reports: dict[tuple[str, int], Any] = {}
    for event, verdicts in memory.records:
        if isinstance(event, events.Suggested):
            trials[event.trial] = [event.config, "PENDING"]
        elif isinstance(event, events.Reported):
            for step, loss in zip(event.steps, event.metrics["loss"], strict=True):
                reports[event.trial, step] = repr(loss)
        elif isinstance(event, events.Ended):
            trials[event.trial][1] = Status.COMPLETED
        for verdict in verdicts:
            if verdict.verb in ("stop", "finish"):
                trials[verdict.trial][1] = verdict.verb
    return trials, reports


def suggested(memory: Memory) -> dict[str, Any]:
    """What the searcher proposed; whom a sweep replicates hangs on who came how far."""
    made = [event for event, _ in memory.records if isinstance(event, events.Suggested)]
    return {event.trial: event.config for event in made if event.replicate_of is None}


@pytest.mark.parametrize(("scheduler", "seeds"), BLOCKS)
def test_a_crash_that_takes_everything_along_loses_nothing(
    scheduler: dict[str, Any], seeds: list[int]
) -> None:
    for seed in seeds:
        whole = Memory()
        played(fresh(scheduler, seed), seed, whole)
        expected = tables(whole)
        every = stride(scheduler)
        for crash in range(1 + seed % every, len(whole.records), every):
            memory = Memory()
            memory.crash_at = crash
            with pytest.raises(Crash):
                played(fresh(scheduler, seed), seed, memory)
            resumed = fresh(scheduler, seed)
            for record in memory.records:
                resumed.handle(type(record.event)(*through_json(record.event)))
            memory.crash_at = 10**9
            closed = played(resumed, seed, memory, epoch=2)
            trials, reports = tables(memory)
            assert closed.exit_code == 0
            assert suggested(memory) == suggested(whole), "the same configs, whatever came before"
            replicates = len(trials) - 6
            assert sum(resumed.ended.values()) + len(resumed.live) == 6 + replicates
            assert replicates == resumed.waiting.children == len(expected[0]) - 6
            assert all(trial.replicate_of is None for trial in resumed.live.values())
            check_record(memory)
            if scheduler is SCHEDULERS[0]:
                assert (trials, reports) == expected, (seed, crash)


def test_a_driver_that_dies_while_it_opens_changes_nothing() -> None:
    """Opening once, or three times in a row, puts the same trials into the same order."""
    for seed in range(20):
        memory = Memory()
        memory.crash_at = 25
        with pytest.raises(Crash):
            played(fresh(SCHEDULERS[seed % len(SCHEDULERS)], seed), seed, memory)
        starts = []
        for openings in (1, 3):
            state = fresh(SCHEDULERS[seed % len(SCHEDULERS)], seed)
            for record in memory.records:
                state.handle(record.event)
            for epoch in range(openings):
                state.handle(events.Opened(state.spend.at, 2 + epoch, 0.0, "here"))
            slots = [events.SlotUp(state.spend.at, f"n{n}", "n", "") for n in range(4)]
            turns = [state.handle(slot) for slot in slots]
            starts.append([a[:4] for turn in turns for a in turn.actions])
        assert starts[0] == starts[1]
        assert starts[0]
