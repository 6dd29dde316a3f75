"""Children of trials: born by an event, started from a checkpoint that is there, replayed alike.

The driver is killed after every single event of seeded sweeps on a rough cluster, as in
`test_resume.py`: fed the same events, a resumed sweep decides alike, byte for byte; and where
everything that ran died with the driver, the resumed sweep comes to its end, and no trial ever
starts from a checkpoint that was deleted or never written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.advice import PATIENCE
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.retention import Retention
from raysweep.orchestrator.rules import Keep, Rules
from raysweep.orchestrator.state import SweepState
from raysweep.orchestrator.turn import Turn
from raysweep.schedulers.base import Fork
from raysweep.schedulers.fifo import Fifo
from raysweep.trials import actions, events
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event
from raysweep.trials.trial import Report, Status, TrialId
from tests.orchestrator.harness import (
    GOAL,
    Crash,
    Memory,
    OneNumber,
    check_record,
    make_state,
    run,
)

PBT = {"name": "pbt", "max_t": 8, "interval": 2, "quantile": 0.34}
PB2 = {"name": "pb2", "max_t": 8, "interval": 2, "quantile": 0.34}
POPULATION = 5
RULES: dict[str, Any] = {
    "budget": Budget(trials=POPULATION),
    "retries": {"infra": 50, "crash": 50, "checkpoint": 1},
}


def machine(seed: int) -> Machine:
    """A rough cluster, a little different for each seed."""
    return Machine(
        workers=(5, 2, 8, 1, 3)[seed % 5],
        step_sigma=0.6,
        setup_s=0.3 * (seed % 2),
        save_s=0.4 * (seed % 3),
        slot_start_s=1.5 * (seed % 2),
        crash_rate=0.03 * (seed % 3 == 0),
        loss_rate=0.04 * (seed % 4 == 0),
        every_steps=2,
    )


def fresh(seed: int) -> SweepState:
    return make_state(PB2 if seed % 6 == 5 else PBT, seed=seed, **RULES)


def apart(seed: int) -> int:
    """So many events lie between two crashes: fewer where the default run goes, and under pb2."""
    return 9 if seed % 6 == 5 else 4 if seed < 6 else 1


BLOCKS = [pytest.param(0), *(pytest.param(n, marks=pytest.mark.slow) for n in (6, 12, 18))]
"""Six seeds each, one of which is for pb2."""


class Disk:
    """Which checkpoints there are, by what the events and the actions of a sweep say."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.gone: set[str] = set()
        self.copied = 0

    def take(self, event: Event, turn: Turn) -> None:
        path = getattr(event, "path", None)
        if path is not None:
            self.there.add(path)
        for action in turn.actions:
            if isinstance(action, actions.DropCheckpoint):
                assert action.path in self.there, "deleted twice, or never written"
                self.there.discard(action.path)
                self.gone.add(action.path)
            elif isinstance(action, actions.Start) and action.checkpoint is not None:
                assert action.checkpoint in self.there, f"{action} starts from what is not there"
                assert action.checkpoint.endswith(f"-{action.step}")
                self.copied += f"/{action.trial}/" not in action.checkpoint


def watched(state: SweepState, disk: Disk) -> SweepState:
    """`state`, every turn of which the disk is shown."""
    handle = state.handle

    def watch(event: Event) -> Turn:
        turn = handle(event)
        disk.take(event, turn)
        return turn

    state.handle = watch  # type: ignore[method-assign]
    return state


@pytest.mark.parametrize("block", BLOCKS)
def test_fed_the_same_events_a_resumed_sweep_decides_the_same(block: int) -> None:
    children = 0
    for seed in range(block, block + 6):
        memory = Memory()
        run(fresh(seed), machine(seed), memory, seed=seed)
        original, turns, snapshots = fresh(seed), [], []
        for record in memory.records:
            turn = original.handle(record.event)
            assert tuple(turn.verdicts) == record.verdicts, "replay decides as the sweep did"
            turns.append(turn)
            snapshots.append(json.dumps(original.state()))
        children += original.waiting.children
        for crash in range(0, len(snapshots), apart(seed)):
            resumed = fresh(seed)
            resumed.load(json.loads(snapshots[crash]))
            for k in range(crash + 1, len(turns)):
                assert resumed.handle(memory.records[k].event) == turns[k], (seed, crash, k)
            assert json.dumps(resumed.state()) == snapshots[-1]
    assert children > 12


@pytest.mark.parametrize("block", BLOCKS)
def test_a_crash_that_takes_everything_along_breaks_no_lineage(block: int) -> None:
    copied = 0
    for seed in range(block, block + 6):
        whole = Memory()
        run(fresh(seed), machine(seed), whole, seed=seed)
        for crash in range(1, len(whole.records), apart(seed)):
            memory, disk = Memory(), Disk()
            memory.crash_at = crash
            with pytest.raises(Crash):
                run(fresh(seed), machine(seed), memory, seed=seed)
            resumed = watched(fresh(seed), disk)
            for record in memory.records:
                resumed.handle(type(record.event)(*json.loads(json.dumps(record.event))))
            memory.crash_at = 10**9
            closed = run(resumed, machine(seed), memory, seed=seed, epoch=2)
            assert closed.exit_code == 0, closed
            assert not resumed.advice.errors, resumed.advice.last_error
            born = [e for e, _ in memory.records if isinstance(e, events.Suggested)]
            assert len({e.trial for e in born}) == len(born), "each is born once"
            assert sum(e.parent is None for e in born) == POPULATION
            assert sum(resumed.ended.values()) + len(resumed.live) == len(born)
            assert sum(resumed.ended.values()) == len(born)
            check_record(memory)
            copied += disk.copied
    assert copied > 150


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rough=st.builds(
        Machine()._replace,
        workers=st.integers(1, 8),
        step_sigma=st.sampled_from([0.0, 0.9]),
        save_s=st.sampled_from([0.0, 0.7]),
        setup_s=st.sampled_from([0.0, 0.4]),
        error_rate=st.sampled_from([0.0, 0.03]),
        crash_rate=st.sampled_from([0.0, 0.05]),
        loss_rate=st.sampled_from([0.0, 0.1]),
        can_save=st.booleans(),
        every_steps=st.sampled_from([1, 2, 3, None]),
        batch_s=st.sampled_from([0.2, 3.0]),
    ),
    keep=st.integers(1, 2),
)
def test_whatever_goes_wrong_nobody_starts_from_a_checkpoint_that_is_not_there(
    seed: int, rough: Machine, keep: int
) -> None:
    disk, memory = Disk(), Memory()
    state = watched(make_state(PBT, seed=seed, keep=Keep(keep), max_failed_share=1.0), disk)
    closed = run(state, rough, memory, seed=seed)
    if "failed alike" in closed.reason:
        return
    assert closed.exit_code == 0
    born = [e for e, _ in memory.records if isinstance(e, events.Suggested)]
    assert sum(e.parent is None for e in born) == 12
    assert sum(state.ended.values()) + len(state.live) == len(born)
    assert all(trial.status is Status.PAUSED for trial in state.live.values())
    assert not state.advice.errors, state.advice.last_error
    if not rough.can_save:
        assert len(born) == 12, "who cannot save is copied by nobody"
    check_record(memory)
    held = state.state()["retention"]
    assert (held["held"], held["due"]) == ({}, []), "who has ended holds nothing"


def test_a_searcher_hears_nothing_of_children() -> None:
    searcher = OneNumber()
    state = make_state(PBT, searcher, **RULES)
    run(state, Machine(workers=5, every_steps=2), Memory())
    founders = {f"t{number:06d}" for number in range(POPULATION)}
    assert state.waiting.children > 0
    assert {trial for trial, _ in searcher.told} == founders
    assert not searcher.pending, "each founder's end was told"


class OneChild(Fifo):
    """Makes one child of the first trial that has a checkpoint; for moves one at a time."""

    def __init__(self) -> None:
        super().__init__(10)
        self.saves: list[tuple[TrialId, int]] = []
        self.made = False

    def saved(self, trial: TrialId, step: int) -> None:
        self.saves.append((trial, step))

    def next_fork(self, trial: TrialId) -> Fork | None:
        if self.made or not self.saves:
            return None
        self.made = True
        return Fork("t000000", {"x": 0.9})


def by_hand() -> tuple[SweepState, Any]:
    """A sweep of one founder on two slots, which has just written its first checkpoint."""
    state = SweepState(Rules(GOAL, Budget(trials=1)), OneNumber(), OneChild())

    def handle(event: Event) -> list[actions.Action]:
        return state.handle(event).actions

    handle(events.Opened(0.0, 1, 0.0, "here"))
    for slot in ("a", "b"):
        handle(events.SlotUp(0.0, slot, "n", ""))
    handle(events.Suggested(0.0, "t000000", {"x": 0.1}))
    handle(events.Reported(1.0, "t000000", 1, [1, 2], [0.5, 1.0], {"loss": [1.0, 0.9]}))
    (fork,) = handle(events.Checkpointed(1.0, "t000000", 1, 2, "c2"))
    assert fork == actions.Fork("t000001", {"x": 0.9}, {}, "t000000", 2)
    return state, handle


def test_a_parent_s_checkpoint_stays_until_the_child_has_its_own() -> None:
    state, handle = by_hand()
    assert handle(events.Checkpointed(2.0, "t000000", 1, 4, "c4")) == [], "c2 is held"
    (start,) = handle(events.Suggested(2.0, "t000001", {"x": 0.9}, {}, "t000000", 2))
    assert (start.trial, start.step, start.checkpoint) == ("t000001", 2, "c2")
    assert state.live["t000001"].told == 2
    dropped = handle(events.Checkpointed(3.0, "t000001", 1, 3, "d3"))
    assert dropped == [actions.DropCheckpoint("c2")]
    assert (state.live["t000001"].step, state.live["t000001"].checkpoint) == (3, "d3")


def test_a_parent_that_ends_leaves_what_its_child_needs() -> None:
    _, handle = by_hand()
    handle(events.Suggested(2.0, "t000001", {"x": 0.9}, {}, "t000000", 2))
    assert handle(events.Failed(3.0, "t000000", 1, "error", "no luck", "")) == []
    dropped = handle(events.Failed(4.0, "t000001", 1, "error", "no luck", ""))
    assert actions.DropCheckpoint("c2") in dropped


def test_a_child_that_is_lost_starts_again_from_its_parent_s_checkpoint() -> None:
    _, handle = by_hand()
    handle(events.Suggested(2.0, "t000001", {"x": 0.9}, {}, "t000000", 2))
    (again,) = handle(events.Failed(3.0, "t000001", 1, "infra", "gone", ""))[:1] or [None]
    turn = handle(events.SlotUp(3.0, "c", "n", "")) if again is None else [again]
    assert [(a.trial, a.attempt, a.checkpoint) for a in turn] == [("t000001", 2, "c2")]


def test_a_child_whose_start_cannot_be_read_fails_and_never_starts_from_scratch() -> None:
    state, handle = by_hand()
    handle(events.Suggested(2.0, "t000001", {"x": 0.9}, {}, "t000000", 2))
    for attempt in (1, 2):
        handle(events.Failed(3.0, "t000001", attempt, "checkpoint", "damaged", ""))
    assert state.ended[Status.FAILED] == 1
    assert "t000001" not in state.live


def test_a_child_that_was_decided_on_is_asked_for_again_by_the_next_driver() -> None:
    _, handle = by_hand()
    reopened = handle(events.Opened(5.0, 2, 0.0, "there"))
    assert reopened == [actions.Fork("t000001", {"x": 0.9}, {}, "t000000", 2)]
    handle(events.Suggested(5.0, "t000001", {"x": 0.9}, {}, "t000000", 2))
    started = [a for slot in ("c", "d") for a in handle(events.SlotUp(5.0, slot, "n", ""))]
    assert {(a.trial, a.checkpoint) for a in started} == {("t000000", "c2"), ("t000001", "c2")}


def test_several_children_hold_one_checkpoint_till_the_last_lets_go() -> None:
    retention = Retention(Keep(1))
    parent = LiveTrial("p", {})
    retention.add(parent, 1, "c1")
    retention.hold("a", "c1")
    retention.hold("b", "c1")
    assert retention.add(parent, 2, "c2") == []
    retention.load(json.loads(json.dumps(retention.state())))
    assert retention.let_go("a") == []
    assert retention.let_go("b") == ["c1"]
    assert retention.let_go("b") == []


def test_a_scheduler_that_names_who_has_no_checkpoint_gets_no_child() -> None:
    class Reckless(OneChild):
        def next_fork(self, trial: TrialId) -> Fork | None:
            return Fork("t000000", {"x": 0.9})

    state = SweepState(Rules(GOAL, Budget(trials=1)), OneNumber(), Reckless())
    memory = Memory()
    closed = run(state, Machine(workers=2, can_save=False), memory)
    assert "Reckless.next_fork() answered Fork" in closed.reason


def test_a_scheduler_that_raises_or_gives_no_plain_data_gets_no_child() -> None:
    class Raising(OneChild):
        def next_fork(self, trial: TrialId) -> Fork | None:
            return Fork("t000000", {"x": {1, 2}})

        def saved(self, trial: TrialId, step: int) -> None:
            raise ValueError("no")

    state = SweepState(Rules(GOAL, Budget(trials=1)), OneNumber(), Raising())
    closed = run(state, Machine(workers=2, every_steps=1), Memory())
    assert closed.exit_code == 1
    assert state.advice.errors >= PATIENCE
    assert "Raising.next_fork() answered Fork" in closed.reason


def test_a_stopped_member_s_place_is_taken_on_its_own_slot_at_once() -> None:
    """As many slots as members: the child starts in the very record in which it is born."""
    memory = Memory()
    run(make_state(PBT, **RULES), Machine(workers=5, every_steps=2, step_sigma=0.3), memory)
    births: list[tuple[events.Suggested, Sequence[Verdict]]] = [
        (e, vs) for e, vs in memory.records if isinstance(e, events.Suggested) and e.parent
    ]
    assert births
    for event, verdicts in births:
        assert [(v.trial, v.verb, v.step) for v in verdicts] == [
            (event.trial, "start", event.parent_step)
        ]


def test_reports_of_a_child_count_from_its_parent_s_step_on() -> None:
    told: list[Report] = []

    class Listening(OneChild):
        def on_report(self, report: Report) -> Any:
            told.append(report)
            return super().on_report(report)

    state = SweepState(Rules(GOAL, Budget(trials=1)), OneNumber(), Listening())
    run(state, Machine(workers=2, every_steps=4), Memory())
    assert [r.step for r in told if r.trial == "t000001"] == [5, 6, 7, 8, 9, 10]
