"""`checkpoint: {keep_best: N}`: the best checkpoints of a trial stay beside its newest."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.retention import Retention
from raysweep.orchestrator.rules import Keep
from raysweep.results.read import read
from raysweep.trials import actions
from raysweep.trials.events import Checkpointed, Finished, Paused
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Status
from tests.orchestrator.cli_sweeps import simulated_sweep
from tests.orchestrator.harness import Memory, make_state, run


def saved(retention: Retention, trial: LiveTrial, step: int, score: float) -> list[str]:
    trial.last = (step, score)
    return retention.add(trial, step, f"{trial.id}/{step}")


def ended(trial: LiveTrial, status: Status) -> LiveTrial:
    trial.status = status
    return trial


def test_the_best_of_a_trial_stays_while_newer_ones_come_and_go() -> None:
    retention, trial = Retention(Keep(best=1)), LiveTrial("t", {})
    assert saved(retention, trial, 1, 0.5) == []
    assert saved(retention, trial, 2, 0.1) == ["t/1"]
    assert saved(retention, trial, 3, 0.4) == [], "step 2 is the best, step 3 the newest"
    assert saved(retention, trial, 4, 0.3) == ["t/3"]
    assert saved(retention, trial, 5, math.inf) == ["t/4"]
    assert sorted(saved(retention, trial, 6, 0.05)) == ["t/2", "t/5"]
    assert [path for *_, path in trial.bests] == ["t/6"]


def test_a_completed_trial_keeps_its_best_behind_a_late_last_one() -> None:
    retention, trial = Retention(Keep(best=1)), LiveTrial("t", {})
    saved(retention, trial, 1, 0.1)
    saved(retention, trial, 2, 0.4)
    assert retention.end(ended(trial, Status.COMPLETED), saving=True) == []
    assert retention.late("t", 3, "t/3") == ["t/2"]


def test_of_stopped_trials_the_best_one_stays() -> None:
    retention = Retention(Keep(best=1))
    trials = [LiveTrial(name, {}) for name in "abc"]
    for trial, score in zip(trials, (0.3, 0.1, 0.2), strict=True):
        saved(retention, trial, 1, score)
    assert retention.end(ended(trials[0], Status.STOPPED), saving=False) == []
    assert retention.end(ended(trials[1], Status.STOPPED), saving=False) == ["a/1"]
    again = Retention(Keep(best=1))
    again.load(json.loads(json.dumps(retention.state())))
    assert again.end(ended(trials[2], Status.FAILED), saving=False) == ["c/1"]


def test_a_trial_survives_a_snapshot_with_its_bests() -> None:
    retention, trial = Retention(Keep(best=2)), LiveTrial("t", {})
    saved(retention, trial, 1, 0.5)
    saved(retention, trial, 2, WORST)
    again = LiveTrial.from_json("t", json.loads(json.dumps(trial.to_json())))
    assert (again.bests, again.last) == (trial.bests, trial.last)


@pytest.mark.parametrize("seed", range(6))
def test_on_a_simulated_disk_the_best_model_of_the_sweep_is_always_there(seed: int) -> None:
    memory = Memory()
    rules = {"budget": Budget(trials=12), "keep": Keep(best=1), "seed": seed}
    state = make_state({"name": "asha", "max_t": 9}, **rules, max_failed_share=1.0)
    disk: set[str] = set()
    best: dict[str, float] = {}
    scores: dict[tuple[str, int], float] = {}

    def observe(event: object, verdicts: object) -> None:
        if isinstance(event, Checkpointed | Paused | Finished) and event.path:
            disk.add(event.path)
            trial = state.live.get(event.trial)
            score = trial.last[1] if trial and trial.last[0] == event.step else math.inf
            scores[event.path, event.step] = score
            best[event.trial] = min(best.get(event.trial, math.inf), score)

    original = state.handle

    def handle(event: object) -> object:
        turn = original(event)  # type: ignore[arg-type]
        for action in turn.actions:
            if isinstance(action, actions.DropCheckpoint):
                disk.discard(action.path)
        return turn

    state.handle = handle  # type: ignore[method-assign, assignment]
    machine = Machine(error_rate=0.05, crash_rate=0.05, every_steps=1)
    run(state, machine, memory, seed=seed, observe=observe)  # type: ignore[arg-type]
    top = min(scores.values())
    assert top < math.inf
    assert any(score == top and path in disk for (path, _), score in scores.items())
    for trial in state.live.values():
        assert {path for _, path in trial.checkpoints} <= disk
        assert {path for *_, path in trial.bests} <= disk


def test_results_name_the_best_checkpoint(tmp_path: Path) -> None:
    sweep = simulated_sweep(tmp_path, checkpoint={"keep_best": 1})
    results = read(sweep)
    rows = results.arrow("trials").to_pylist()
    kept = [row for row in rows if row["best_checkpoint"]]
    assert kept
    assert all(row["best_saved"] >= row["best_value"] for row in kept), "mode is min"
    best = results.best()
    assert best is not None
    assert best.checkpoint is not None
    assert best.checkpoint.is_dir()


def test_without_keep_best_the_column_is_empty(tmp_path: Path) -> None:
    rows = read(simulated_sweep(tmp_path)).arrow("trials")["best_checkpoint"]
    assert rows.null_count == len(rows)
