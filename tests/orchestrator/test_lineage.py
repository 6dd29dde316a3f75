"""What a population based sweep leaves: lineage in tables, sentences and schedules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysweep.cluster.session import Session
from raysweep.orchestrator.cli import app
from raysweep.orchestrator.lineage import schedule
from raysweep.orchestrator.progress_recorded import recorded_progress
from raysweep.orchestrator.rebuild import checkpoint_steps, rules_of
from raysweep.orchestrator.recorded_sweep import recorded_sweep
from raysweep.orchestrator.replay import check_replay
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.story import tell
from raysweep.orchestrator.sweep import Sweep
from raysweep.orchestrator.what_if import what_if
from raysweep.orchestrator.yaml_file import parse_yaml
from raysweep.results.read import Results, read
from raysweep.results.verify import verify
from raysweep.trials.errors import SpecError
from tests.orchestrator.cli_sweeps import SPEC, simulated_sweep

PBT = {"name": "pbt", "max_t": 12, "interval": 2}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("pbt")
    path = simulated_sweep(folder, searcher="random", scheduler=PBT, budget={"trials": 8})
    return read(path)


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_the_trials_table_has_each_child_s_parent(results: Results) -> None:
    rows = results.arrow("trials").to_pylist()
    founders = [row for row in rows if row["parent"] is None]
    children = [row for row in rows if row["parent"] is not None]
    assert len(founders) == 8
    assert len(children) > 4
    assert all(row["parent_step"] is None for row in founders)
    by_id = {row["trial_id"]: row for row in rows}
    for row in children:
        assert row["parent_step"] % 2 == 0
        assert by_id[row["parent"]]["steps"] >= row["parent_step"]
        assert by_id[json.loads(row["why"])["instead"]]["stop_rule"] == "pbt exploit"
    starts = results.arrow("attempts").to_pylist()
    firsts = {row["trial_id"]: row["start_step"] for row in starts if row["attempt"] == 1}
    assert firsts == {row["trial_id"]: row["parent_step"] or 0 for row in rows}


def test_the_sweep_keeps_its_promises_and_counts_founders_in_its_budget(results: Results) -> None:
    assert verify(results.path) == []
    assert check_replay(results.path) == []
    assert results.status()["budget"]["trials"] == {"limit": 8, "used": 8}
    spec = SweepSpec.from_dict(results.manifest["spec"])
    assert recorded_progress(results, rules_of(spec)).issued == 8


def last_child(results: Results) -> dict[str, Any]:
    rows = [row for row in results.arrow("trials").to_pylist() if row["parent"]]
    return max(rows, key=lambda row: (len(schedule(results, row["trial_id"])), row["trial_id"]))


def test_a_schedule_goes_back_to_the_founder(results: Results) -> None:
    child = last_child(results)
    stages = schedule(results, child["trial_id"])
    rows = {row["trial_id"]: row for row in results.arrow("trials").to_pylist()}
    assert len(stages) >= 2
    assert rows[stages[0].trial]["parent"] is None
    assert [rows[stage.trial]["parent"] for stage in stages[1:]] == [s.trial for s in stages[:-1]]
    assert [stage.from_step for stage in stages] == [0, *(stage.to_step for stage in stages[:-1])]
    assert stages[-1].to_step == child["steps"]
    assert all(stage.config == json.loads(rows[stage.trial]["config_json"]) for stage in stages)


def test_explain_tells_the_lineage_in_sentences(results: Results) -> None:
    child = last_child(results)
    name, parent, step = child["trial_id"], child["parent"], child["parent_step"]
    instead = json.loads(child["why"])["instead"]
    line = " → ".join(stage.trial for stage in schedule(results, name))
    texts = [moment.text for moment in tell(results, name).moments]
    assert texts[0].startswith(
        f"a child of {parent}: goes on from its checkpoint of step {step} with "
    )
    assert texts[0].endswith(f", in the place of {instead}; its line is {line}")
    assert texts[1].startswith(f"attempt 1 starts at step {step}; it may run to step ")
    copied = [moment.text for moment in tell(results, parent).moments]
    assert any(t.startswith(f"{name} goes on from its checkpoint of step {step} w") for t in copied)
    replaced = [moment.text for moment in tell(results, instead).moments]
    assert f"{name}, a child of {parent}, takes its place from step {step} on" in replaced
    assert any(
        text.endswith(", each compared at the last one that both have shown: pbt exploit stops it")
        for text in replaced
    )
    names = results.arrow("trials")["trial_id"].to_pylist()
    pauses = [moment.text for each in names for moment in tell(results, each).moments]
    assert any(text.endswith("pauses until the others have come as far") for text in pauses)


def test_the_command_prints_the_schedule_of_the_best_or_of_a_given_trial(results: Results) -> None:
    path, best = str(results.path), results.best()
    assert best is not None
    printed = json.loads(invoke("schedule", path, "--json"))
    assert printed["trial_id"] == best.trial_id
    child = last_child(results)["trial_id"]
    printed = json.loads(invoke("schedule", path, str(int(child[1:])), "--json"))
    assert printed["segments"] == [stage._asdict() for stage in schedule(results, child)]
    shown = invoke("schedule", path, child)
    assert all(stage.trial in shown for stage in schedule(results, child))


def test_what_the_command_prints_as_spec_trains_along_the_schedule(
    results: Results, tmp_path: Path
) -> None:
    child = last_child(results)["trial_id"]
    stages = schedule(results, child)
    part = parse_yaml(invoke("schedule", str(results.path), child, "--spec"), "printed")
    again = read(simulated_sweep(tmp_path, **{**SPEC, **part, "name": "again"}))
    rows = again.arrow("trials").to_pylist()
    assert [json.loads(row["config_json"]) for row in rows] == [stage.config for stage in stages]
    assert [row["parent_step"] or 0 for row in rows] == [stage.from_step for stage in stages]
    assert [row["steps"] for row in rows] == [stage.to_step for stage in stages]
    assert verify(again.path) == []
    assert check_replay(again.path) == []
    texts = [moment.text for moment in tell(again, "0").moments]
    assert any("pauses, as the schedule goes on with another config" in text for text in texts)


def test_recorded_curves_know_nothing_of_a_child_s_config(results: Results) -> None:
    sweep = recorded_sweep(results.path)
    with pytest.raises(SpecError, match="scheduler pbt: it makes configs of its own as trials go"):
        what_if(sweep, {"name": "pbt", "interval": 2})


def test_a_population_needs_a_budget_of_trials_before_anything_starts() -> None:
    written = {**SPEC, "scheduler": PBT, "budget": {"wall_time": "1h"}}
    with pytest.raises(SpecError, match="its population is the budget of trials"):
        SweepSpec.from_dict(written)


@pytest.mark.parametrize(("every", "expected"), [(None, 6), (2, 2), (6, 6), (4, 2), (9, 3)])
def test_checkpoints_come_as_often_as_spec_and_scheduler_want(
    every: int | None, expected: int
) -> None:
    scheduler = {"name": "pbt", "max_t": 12, "interval": 6}
    written = {**SPEC, "scheduler": scheduler, "checkpoint": {"every_steps": every}}
    assert checkpoint_steps(SweepSpec.from_dict(written)) == expected
    assert checkpoint_steps(SweepSpec.from_dict({**SPEC, "checkpoint": {"every_steps": 3}})) == 3
    assert checkpoint_steps(SweepSpec.from_dict(SPEC)) is None


def train(config: Mapping[str, Any], trial: Any) -> Iterator[dict[str, float]]:
    """Adds up the rates of all steps, those of its ancestors among them."""
    total = float((trial.checkpoint / "total").read_text()) if trial.checkpoint else 0.0
    trial.on_save(lambda folder: (folder / "total").write_text(repr(total)))
    for _ in range(trial.step, 100):
        total += config["rate"]
        yield {"total": total}


@pytest.mark.ray
def test_on_ray_children_start_from_what_their_donors_have_learnt(
    tmp_path: Path, ray_cluster: Session
) -> None:
    """Each total is the sum, along the line of ancestors, of rate times steps."""
    spec = SweepSpec.from_dict(
        {
            "name": "population",
            "trainable": train,
            "space": {"rate": {"uniform": [0.0, 1.0]}},
            "metric": "total",
            "mode": "max",
            "searcher": "random",
            "scheduler": {"name": "pbt", "max_t": 12, "interval": 2},
            "budget": {"trials": 4},
            "resources": {"cpu": 0.5},
            "cluster": {"max_slots": 3},
            "storage": str(tmp_path),
        }
    )
    sweep = Sweep.create(spec, train=train)
    closed = sweep.run(handle_signals=False)
    assert closed.exit_code == 0
    found = read(sweep.path)
    rows = found.arrow("trials").to_pylist()
    assert sum(row["parent"] is not None for row in rows) >= 3
    reports = found.arrow("reports").to_pylist()
    for row in rows:
        stages = schedule(found, row["trial_id"])
        own = stages[-1]
        before = sum(s.config["rate"] * (s.to_step - s.from_step) for s in stages[:-1])
        mine = [r for r in reports if r["trial_id"] == row["trial_id"]]
        assert mine[0]["step"] == own.from_step + 1
        for report in mine:
            expected = before + own.config["rate"] * (report["step"] - own.from_step)
            assert report["total"] == pytest.approx(expected)
    assert verify(sweep.path) == []
    assert check_replay(sweep.path) == []
