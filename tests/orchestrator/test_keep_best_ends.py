"""`keep_best` when trials end, come back or lose a checkpoint: what is named as best is on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.retention import Retention
from raysweep.orchestrator.rules import Keep
from raysweep.orchestrator.spec import SweepSpec
from raysweep.results.codec import encode
from raysweep.results.fold import Fold
from raysweep.results.read import read
from raysweep.trials import actions, events
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import SpecError
from raysweep.trials.events import ErrorClass
from raysweep.trials.trial import Status
from tests.orchestrator.cli_sweeps import SPEC, simulated_sweep
from tests.orchestrator.harness import Hand, Memory, dropped, make_state, run

BEST = Keep(best=1)
STOPPING = {"name": "asha", "max_t": 9, "form": "stopping"}
MANIFEST = {
    "metrics": {"loss": "min"},
    "columns": {"x": "float64"},
    "spec": {"checkpoint": {"keep_best": 1}},
}


def saved(hand: Hand, trial: str, step: int, loss: float, attempt: int = 1) -> None:
    hand.report(trial, step, loss, attempt)
    hand.give(events.Checkpointed(0.0, trial, attempt, step, f"{trial}/{attempt}-{step}"))


def folded(*records: events.Event, manifest: Any = MANIFEST) -> Fold:
    fold = Fold(manifest)
    for lsn, event in enumerate(records, 1):
        fold.apply(lsn, event, (), encode(lsn, event, ()))
    return fold


def began(changes: dict[str, Any]) -> list[events.Event]:
    trial = "t000000"
    return [
        events.Opened(0.0, 1, 0.0, "here", changes),
        events.Suggested(0.0, trial, {"x": 0.5}),
        events.Started(0.0, trial, 1, 0, "s0", "n0", 0.1),
        events.Reported(0.0, trial, 1, [1], [0.1], {"loss": [0.5]}),
        events.Checkpointed(0.0, trial, 1, 1, "c1"),
    ]


def test_a_best_that_cannot_be_read_is_named_no_more() -> None:
    rules = {"retries": {"infra": 9, "checkpoint": 1}, "keep": BEST}
    hand = Hand(make_state({"name": "fifo"}, **rules))
    saved(hand, "t000000", 1, 0.5)
    saved(hand, "t000000", 2, 0.1)
    hand.give(events.Failed(0.0, "t000000", 1, ErrorClass.INFRA, "node", ""))
    hand.give(events.SlotDown(0.0, "s0", "node"))
    hand.give(events.SlotUp(0.0, "s1", "n0", ""))
    hand.give(events.Failed(0.0, "t000000", 2, ErrorClass.CHECKPOINT, "hash differs", ""))
    assert hand.state.live["t000000"].bests == []
    assert dropped(hand) == ["t000000/1-1", "t000000/1-2"]
    saved(hand, "t000000", 3, 0.4, attempt=3)
    assert dropped(hand) == ["t000000/1-1", "t000000/1-2"], "nothing is let go twice"


def test_the_table_forgets_a_best_that_cannot_be_read() -> None:
    lost = [
        events.Failed(0.0, "t000000", 1, ErrorClass.INFRA, "node", ""),
        events.Failed(0.0, "t000000", 2, ErrorClass.CHECKPOINT, "hash differs", ""),
    ]
    fold = Fold(MANIFEST)
    for lsn, event in enumerate([*began({}), *lost], 1):
        fold.apply(lsn, event, again(event), encode(lsn, event, again(event)))
    row = fold.trials.table().to_pylist()[0]
    assert (row["best_checkpoint"], row["best_saved"]) == (None, None)


def again(event: events.Event) -> tuple[Any, ...]:
    """The verdicts of a retry, after a failed attempt."""
    if not isinstance(event, events.Failed):
        return ()
    number = event.attempt
    return (
        Verdict(event.trial, number, 1, "retry", event.error),
        Verdict(event.trial, number + 1, 1, "resume", event.error),
    )


@pytest.mark.parametrize(("late", "gone"), [(0.1, "t/1"), (0.9, "t/2")])
def test_the_checkpoint_of_a_stopped_trials_last_step_stays_if_it_is_the_best(
    late: float, gone: str
) -> None:
    """It comes after the report for which the trial is stopped."""
    retention, trial = Retention(BEST), LiveTrial("t", {})
    trial.last = (1, 0.5)
    assert retention.add(trial, 1, "t/1") == []
    trial.last, trial.status = (2, late), Status.STOPPED
    assert retention.end(trial, saving=False) == []
    again = Retention(BEST)
    again.load(json.loads(json.dumps(retention.state())))
    assert again.late("t", 2, "t/2") == [gone]


def test_the_trials_that_0_1_had_stopped_are_known() -> None:
    retention = Retention(BEST)
    retention.load({"last_words": {}, "doomed": ["t"]})
    assert retention.late("t", 2, "t/2") == ["t/2"]


def retried(hand: Hand, step: int = 0, path: str | None = None) -> None:
    hand.give(events.Failed(0.0, "t000000", 1, ErrorClass.ERROR, "bug", ""))
    assert "t000000" not in hand.state.live
    hand.give(events.Retried(0.0, "t000000", {"x": 0.5}, 1, step, path))


@pytest.mark.parametrize("keep", [Keep(), BEST])
def test_a_retried_trial_keeps_its_last_checkpoint(keep: Keep) -> None:
    hand = Hand(make_state({"name": "fifo", "max_t": 2}, keep=keep, budget=Budget(trials=1)))
    hand.answers = False
    hand.report("t000000", 1, 0.5)
    retried(hand)
    hand.report("t000000", 1, 0.5, attempt=2)
    hand.report("t000000", 2, 0.4, attempt=2)
    hand.give(events.Finished(0.0, "t000000", 2, 2, "t000000/2-2"))
    assert hand.state.ended[Status.COMPLETED] == 1
    assert dropped(hand) == []


def test_a_retried_trial_takes_its_best_along() -> None:
    """What it is retried from was kept as the best of those that failed."""
    hand = Hand(make_state({"name": "fifo"}, keep=BEST, budget=Budget(trials=1)))
    saved(hand, "t000000", 1, 0.1)
    retried(hand, 1, "t000000/1-1")
    assert [path for *_, path in hand.state.live["t000000"].bests] == ["t000000/1-1"]
    saved(hand, "t000000", 2, 0.5, attempt=2)
    saved(hand, "t000000", 3, 0.05, attempt=2)
    assert dropped(hand) == ["t000000/2-2", "t000000/1-1"]
    again = make_state({"name": "fifo"}, keep=BEST)
    again.load(json.loads(json.dumps(hand.state.state())))
    assert again.live["t000000"].bests == hand.state.live["t000000"].bests


def on_disk(seed: int, scheduler: dict[str, Any]) -> tuple[set[str], list[dict[str, Any]]]:
    """What a sweep on rough machines leaves on a simulated disk, and its table of trials."""
    memory, disk = Memory(), set[str]()
    rules = {"budget": Budget(trials=12), "keep": BEST, "seed": seed, "max_failed_share": 1.0}
    state = make_state(scheduler, **rules)
    handle = state.handle

    def handled(event: events.Event) -> Any:
        if isinstance(event, events.Checkpointed | events.Paused | events.Finished) and event.path:
            disk.add(event.path)
        turn = handle(event)
        for action in turn.actions:
            if isinstance(action, actions.DropCheckpoint):
                assert action.path in disk, "nothing is let go twice"
                disk.discard(action.path)
        return turn

    state.handle = handled  # type: ignore[method-assign]
    machine = Machine(workers=3, error_rate=0.05, crash_rate=0.05, save_s=0.4, every_steps=1)
    run(state, machine, memory, seed=seed)
    fold = Fold(MANIFEST)
    for lsn, (event, verdicts) in enumerate(memory.records, 1):
        fold.apply(lsn, event, verdicts, encode(lsn, event, verdicts))
    return disk, fold.trials.table().to_pylist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "scheduler",
    [
        STOPPING,
        {"name": "median", "max_t": 9},
        {"name": "patience", "max_t": 9, "patience": 2, "min_delta": 0.1},
        {"name": "asha", "max_t": 9},
        {"name": "pbt", "interval": 2, "max_t": 8},
    ],
    ids=lambda scheduler: scheduler.get("form", scheduler["name"]),
)
def test_what_the_table_names_as_best_is_on_the_disk(seed: int, scheduler: dict[str, Any]) -> None:
    disk, rows = on_disk(seed, scheduler)
    saved = [row for row in rows if row["best_checkpoint"]]
    assert saved
    for row in saved:
        if row["status"] not in ("STOPPED", "FAILED"):
            assert row["best_checkpoint"] in disk, row
    best = min(row["best_saved"] for row in saved)
    assert any(row["best_checkpoint"] in disk for row in saved if row["best_saved"] == best)


@pytest.mark.parametrize("changes", [{"checkpoint.keep_best": 1}, {"checkpoint": {"keep_best": 1}}])
def test_a_resume_that_asks_for_it_is_heard(changes: dict[str, Any]) -> None:
    manifest = {**MANIFEST, "spec": {}}
    fold = folded(*began(changes), manifest=manifest)
    assert fold.trials.table()["best_checkpoint"].to_pylist() == ["c1"]
    assert folded(*began({}), manifest=manifest).trials.table()["best_checkpoint"].null_count == 1
    other = folded(*began({"checkpoint.keep": 2}))
    assert other.trials.table()["best_checkpoint"].to_pylist() == ["c1"]


def test_a_table_of_an_older_version_gets_the_column(tmp_path: Path) -> None:
    results = read(simulated_sweep(tmp_path))
    shot = results._image.snapshot
    assert shot is not None
    table = shot.tables[0].drop_columns(["best_checkpoint", "best_saved"])
    tables = (table, *shot.tables[1:])
    results._image = results._image._replace(snapshot=shot._replace(tables=tables))
    assert "best_checkpoint" in results.arrow("trials").column_names


def test_a_status_is_plain_data(tmp_path: Path) -> None:
    best = json.loads(json.dumps(read(simulated_sweep(tmp_path)).status()))["best"]
    assert Path(best["checkpoint"]).is_dir()


def test_the_count_is_written_as_any_other() -> None:
    def spec(value: Any) -> SweepSpec:
        return SweepSpec.from_dict({**SPEC, "checkpoint": {"keep_best": value}})

    assert spec(1e0).checkpoint.keep_best == 1
    with pytest.raises(SpecError, match="keep_best"):
        spec(-1)
