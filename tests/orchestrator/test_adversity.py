"""Whatever searcher, scheduler and devices do: the sweep ends, is replayed alike, and may crash anywhere.

A scheduler that answers rubbish now and then, a searcher that raises now and then, a device on which
every trial fails at once, and a driver after them that retries what failed: all in one sweep.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import Continue, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.events import ErrorClass, Event
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Status
from tests.orchestrator.harness import (
    GOAL,
    Crash,
    Memory,
    OneNumber,
    check_record,
    make_state,
    retries,
    run,
)

FIFO = {"name": "fifo", "max_t": 3}
PROMOTION = {"name": "asha", "max_t": 9, "reduction_factor": 2}
STOPPING = {"name": "asha", "max_t": 9, "form": "stopping"}
HYPERBAND = {"name": "hyperband", "max_t": 9, "form": "asynchronous"}
RULES: dict[str, Any] = {
    "budget": Budget(trials=12, steps=400), "max_failed_share": 1.0, "retries": {"infra": 50},
}  # fmt: skip
WHY = Reason("rubbish")
RUBBISH: list[Any] = [
    None, "stop", Stop, Continue(), RunTo(0, WHY), RunTo(2**60, WHY), RunTo(7, "because"),  # type: ignore[arg-type]
    Pause(Reason(object())), Stop(WHY), Finish(WHY), Pause(WHY), Promotion("t000003", 2, WHY),  # type: ignore[arg-type]
    Promotion("x", 3, WHY), Promotion("t000001", 10**30, WHY), -1, 2, float("nan"), [],
]  # fmt: skip


class Erratic:
    """A scheduler whose answers are replaced, or which raises, as a stream keyed by the call says.

    The number of the call is part of its state, so that a resumed one goes on alike.
    """

    def __init__(self, inner: Scheduler, seed: int, share: float) -> None:
        self._inner, self._seed, self._share, self._calls = inner, seed, share, 0

    def _bent(self, call: str, right: Any) -> Any:
        self._calls += 1
        stream = Stream(self._seed, self._calls, call)
        if stream.uniform() >= self._share:
            return right
        pick = stream.integer(0, len(RUBBISH) + 2)
        if pick >= len(RUBBISH):
            raise (SystemExit(1), KeyError("rubbish"))[pick - len(RUBBISH)]
        return RUBBISH[pick]

    def grant(self, trial: str, config: Any) -> Any:
        return self._bent("grant", self._inner.grant(trial, config))

    def on_report(self, report: Any) -> Any:
        return self._bent("on_report", self._inner.on_report(report))

    def next_paused(self, more: bool = True) -> Any:
        return self._bent("next_paused", self._inner.next_paused(more))

    def on_end(self, trial: str, outcome: Any) -> Any:
        return self._bent("on_end", self._inner.on_end(trial, outcome))

    def state(self) -> dict[str, Any]:
        return {"inner": self._inner.state(), "calls": self._calls}

    def load(self, state: dict[str, Any]) -> None:
        self._inner.load(state["inner"])
        self._calls = state["calls"]


class Forgetful(OneNumber):
    """Raises when it is told of every fourth trial."""

    def tell(self, report: Any) -> None:
        if int(report.trial[1:]) % 4 == 1:
            raise ValueError("cannot learn")
        super().tell(report)


class BadDevice(SimulatedPool):
    """Every trial on the first device fails at once, until its driver is gone."""

    def _failure(self, run: Any) -> ErrorClass | None:
        on = self._slots[run.start.slot].device
        return ErrorClass.ERROR if on == 0 else super()._failure(run)


def fresh(scheduler: dict[str, Any], seed: int, share: float) -> SweepState:
    options = dict(scheduler)
    inner = build_scheduler(options.pop("name"), options, Setting(GOAL, None, seed, 12))  # type: ignore[arg-type]
    like = make_state(FIFO, seed=seed, **RULES)
    return SweepState(like.rules, Forgetful(), Erratic(inner, seed, share))


def machine(seed: int) -> Machine:
    return Machine(workers=2 + seed % 3, step_sigma=0.5, error_rate=0.03, loss_rate=0.03)


def lived(state: SweepState, seed: int, memory: Memory) -> None:
    """Two drivers: one on a cluster with a bad device, and one that retries what failed."""
    memory.crash_at = 4_000  # an endless loop ends in a Crash
    run(state, machine(seed), memory, seed=seed, pool_type=BadDevice)
    again = retries(state, memory)
    run(state, machine(seed), memory, seed=seed, epoch=2, retried=again)


ADVERSE = given(
    seed=st.integers(0, 10**6),
    scheduler=st.sampled_from([FIFO, PROMOTION, STOPPING, HYPERBAND]),
    share=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
)


@settings(deadline=None, max_examples=60)
@ADVERSE
def test_it_ends_and_every_trial_is_accounted_for(
    seed: int, scheduler: dict[str, Any], share: float
) -> None:
    state, memory = fresh(scheduler, seed, share), Memory()
    lived(state, seed, memory)
    made = sum(state.ended.values()) + len(state.live)
    assert made + _failed_suggestions(memory) <= 12
    assert all(count >= 0 for count in state.ended.values())
    assert state.closed
    assert all(t.status in (Status.PAUSED, Status.PENDING) for t in state.live.values())
    check_record(memory)


def _failed_suggestions(memory: Memory) -> int:
    return sum(type(record.event).__name__ == "SuggestFailed" for record in memory.records)


@settings(deadline=None, max_examples=25)
@ADVERSE
def test_its_replay_and_any_resume_decide_alike(
    seed: int, scheduler: dict[str, Any], share: float
) -> None:
    memory = Memory()
    lived(fresh(scheduler, seed, share), seed, memory)
    straight, turns, snapshots = fresh(scheduler, seed, share), [], []
    for record in memory.records:
        turn = straight.handle(record.event)
        assert tuple(turn.verdicts) == record.verdicts
        turns.append(turn)
        snapshots.append(json.dumps(straight.state()))
    for crash in range(seed % 13, len(snapshots), 13):
        resumed = fresh(scheduler, seed, share)
        resumed.load(json.loads(snapshots[crash]))
        for k in range(crash + 1, len(turns)):
            assert resumed.handle(memory.records[k].event) == turns[k]
        assert json.dumps(resumed.state()) == snapshots[-1]


def test_a_crash_that_takes_everything_along_loses_none() -> None:
    """Also between a device being set aside and the retries of its trials being on record."""
    for seed in range(6):
        whole = Memory()
        lived(fresh(PROMOTION, seed, 0.0), seed, whole)
        for crash in range(1, len(whole.records), 5):
            state, memory = fresh(PROMOTION, seed, 0.0), Memory()
            memory.crash_at = crash
            try:
                run(state, machine(seed), memory, seed=seed, pool_type=BadDevice)
            except Crash:
                state = fresh(PROMOTION, seed, 0.0)
                for record in memory.records:
                    state.handle(_through_json(record.event))
            memory.crash_at = 4_000
            run(state, machine(seed), memory, seed=seed, epoch=2, retried=retries(state, memory))
            assert sum(state.ended.values()) + len(state.live) == 12
            check_record(memory)


def _through_json(event: Event) -> Event:
    found: Event = type(event)(*json.loads(json.dumps(event)))
    return found
