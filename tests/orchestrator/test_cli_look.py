"""The commands that look: what they print for people, for machines, and for the mistaken."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from raysweep.orchestrator.cli import app
from raysweep.orchestrator.cli_output import print_json
from raysweep.results.read import read
from tests.orchestrator.cli_sweeps import simulated_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_sweep(tmp_path_factory.mktemp("look"))


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def said(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def told(*words: object) -> Any:
    return json.loads(said(*words, "--json"))


def refused(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 2
    assert not result.stdout
    return result.stderr


def test_status_says_where_the_sweep_stands(sweep: Path) -> None:
    facts = told("status", sweep)
    assert (facts["path"], facts["state"], facts["name"]) == (str(sweep), "finished", "small")
    assert facts["best"].keys() >= {"trial_id", "config", "metrics", "step", "value"}
    assert facts["budget"]["trials"] == {"limit": 20, "used": 20}
    shown = said("status", sweep)
    assert "finished: all 20 trials have run their course" in shown
    assert facts["best"]["trial_id"] in shown


def test_best_carries_config_and_metrics_at_its_top_level(sweep: Path) -> None:
    facts, found = told("best", sweep), read(sweep).best()
    assert found is not None
    assert facts["path"] == str(sweep)
    assert (facts["trial_id"], facts["config"]) == (found.trial_id, found.config)
    assert facts["metrics"]["loss"] == facts["value"] == found.value
    assert found.trial_id in said("best", sweep)


def test_the_top_k_are_the_k_best_in_order(sweep: Path) -> None:
    rows = told("best", sweep, "--top", 5)["top"]
    values = sorted(read(sweep).trials["best_value"].dropna())[:5]
    assert [row["value"] for row in rows] == values
    assert rows[-1]["trial_id"] in said("best", sweep, "--top", 5)


def test_ls_lists_sweeps_and_the_damaged_ones_too(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "SWEEP.json").write_text("{")
    (tmp_path / "other").mkdir()
    bad, good = told("ls", tmp_path)
    assert (bad["name"], bad["state"]) == ("bad", "damaged")
    assert good["path"] == str(tmp_path / "good")
    assert good["best"]["metrics"]["loss"] == good["best"]["value"]
    shown = ("trial_id", "config", "metrics")
    assert [good[name] for name in shown] == [good["best"][name] for name in shown]
    status = told("status", sweep)
    assert [status[name] for name in shown] == [status["best"][name] for name in shown]
    assert good["best"].keys() >= {"trial_id", "config"}
    assert "small" in said("ls", tmp_path)


def test_an_empty_folder_has_no_sweeps(tmp_path: Path) -> None:
    assert told("ls", tmp_path) == []
    assert "raysweep run" in said("ls", tmp_path / "nowhere")


def test_the_front_of_several_metrics_is_shown(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, metric=None, mode=None, metrics={"loss": "min", "size": "max"})
    front = told("best", path, "--front")["front"]
    assert [one["trial_id"] for one in front] == [one.trial_id for one in read(path).front()]
    shown = said("best", path, "--front")
    assert all(one["trial_id"] in shown for one in front)
    assert "size" in shown.splitlines()[0]


def test_trials_come_best_first_and_those_without_a_value_last(sweep: Path) -> None:
    rows = told("trials", sweep)
    values = [row["best_value"] for row in rows]
    assert len(rows) == 20
    assert values == sorted(values, key=lambda value: math.inf if value is None else value)
    assert rows[0]["config"].keys() >= {"lr", "optimizer"}


def test_trials_can_be_filtered_sorted_and_cut(sweep: Path) -> None:
    rows = told("trials", sweep, "--status", "paused", "--sort", "lr", "--limit", 3)
    assert {row["status"] for row in rows} == {"PAUSED"}
    assert len(rows) == 3
    rates = [row["config"]["lr"] for row in rows]
    assert rates == sorted(rates)
    assert said("trials", sweep, "--status", "failed") == "no such trials\n"


def test_explain_tells_each_decision_with_its_reason(sweep: Path) -> None:
    best = told("best", sweep)["trial_id"]
    facts = told("explain", sweep, best)
    assert facts["status"] == "COMPLETED"
    verbs = [moment["verb"] for moment in facts["story"]]
    assert verbs[:2] == ["suggested", "start"]
    assert verbs[-1] == "finish"
    rung = next(moment for moment in facts["story"] if moment.get("rung") == 1)
    assert f"ranks {rung['rank']} of {rung['peers']} at rung 1" in rung["text"]
    shown = said("explain", sweep, best)
    assert all(moment["text"] in shown for moment in facts["story"])
    ages = [moment["at"] for moment in facts["story"]]
    assert ages == sorted(ages)


def test_a_trial_may_be_named_by_its_number(sweep: Path) -> None:
    assert told("explain", sweep, 3)["trial_id"] == "t000003"


def test_verify_finds_nothing_wrong_with_a_whole_sweep(sweep: Path) -> None:
    assert told("verify", sweep) == {"path": str(sweep), "findings": []}
    assert "nothing is wrong" in said("verify", sweep)


def test_verify_leaves_with_1_and_says_what_is_wrong(sweep: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sweep, copy)
    part = next((copy / "reports").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-100])
    result = call("verify", copy)
    assert result.exit_code == 1
    assert part.name in result.stdout
    machine = call("verify", copy, "--json")
    assert machine.exit_code == 1
    assert json.loads(machine.stdout)["findings"][0]["invariant"]


def test_stopping_what_does_not_run_says_so(sweep: Path) -> None:
    assert "not running (it is finished)" in said("stop", sweep)
    assert not (sweep / "stop.request").exists()


def test_path_may_be_a_name_under_sweeps(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sweep.parent.parent)
    assert told("status", "small")["path"] == "sweeps/small"
    assert told("ls")[0]["path"] == "sweeps/small"
    assert "did you mean 'small'" in refused("status", "smal")


def test_a_folder_that_is_no_sweep_is_refused(tmp_path: Path) -> None:
    message = refused("status", tmp_path)
    assert "is not a sweep directory" in message
    assert "raysweep ls" in message


def test_a_newer_format_is_refused(sweep: Path, tmp_path: Path) -> None:
    manifest = json.loads((sweep / "SWEEP.json").read_text())
    (tmp_path / "SWEEP.json").write_text(json.dumps({**manifest, "format": 99}))
    assert "upgrade raysweep" in refused("status", tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "SWEEP", "t000099"], "its 20 trials are t000000 to t000019"),
        (["explain", "SWEEP", "../x"], "there is no trial '../x'"),
        (["trials", "SWEEP", "--sort", "lrr"], "did you mean 'lr'"),
        (["trials", "SWEEP", "--status", "done"], "allowed: PENDING, RUNNING"),
        (["trials", "SWEEP", "--limit", "0"], "Invalid value for '--limit'"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(
    sweep: Path, words: list[str], message: str
) -> None:
    assert message in refused(*(str(sweep) if word == "SWEEP" else word for word in words))


def test_a_sweep_without_a_finite_value_has_no_best(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, empty=True)
    result = call("best", path, "--json")
    assert result.exit_code == 1
    assert "nobody has reported a finite loss" in result.stderr
    assert not result.stdout
    assert told("status", path)["best"] is None
    assert told("ls", path.parent)[0]["best"] is None
    assert "none yet" in said("status", path)
    assert "it has no trials yet" in refused("explain", path, 1)


def test_json_has_null_for_what_it_cannot_hold(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [math.nan, math.inf, 1.5], "b": Path("x"), "c": ("t", None, True)})
    assert json.loads(capsys.readouterr().out) == {
        "a": [None, None, 1.5],
        "b": "x",
        "c": ["t", None, True],
    }
