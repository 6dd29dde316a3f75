"""The commands that play a sweep in simulated time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from raysweep.orchestrator.cli import app
from tests.benchmarks.tables import write_taskset
from tests.orchestrator.cli_sweeps import simulated_sweep, write_spec


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    loss = np.tile(np.linspace(2.0, 1.0, 51), (40, 1)) + np.arange(40)[:, None]
    monkeypatch.setenv("RAYSWEEP_BENCH_DATA", str(tmp_path / "data"))
    write_taskset(tmp_path / "data", loss)
    return tmp_path


def test_a_spec_runs_against_recorded_curves(data: Path) -> None:
    words = ("simulate", write_spec(data), "--workers", 4, "--bench", "taskset:small")
    facts = json.loads(call(*words, "--json").stdout)
    assert facts["bench"] == "taskset:small"
    assert sum(facts["trials"].values()) == 20
    assert facts["rungs"][0] == {"step": 1, "trials": 20}
    assert facts["time_s"] == int(facts["time_s"]), "a step is a second"
    assert facts["best"]["metric"] == "loss"
    assert 0.0 <= facts["best"]["regret"] < 2.0
    assert facts == json.loads(call(*words, "--json").stdout)
    shown = call(*words).stdout
    assert "small on 4 simulated workers and the curves of taskset:small: all 20 trials" in shown
    assert "0: best known" in shown


def test_what_recorded_curves_have_not_is_told(data: Path) -> None:
    spec = write_spec(data)
    words = ("simulate", spec, "--workers", 4, "--bench", "taskset:small")
    timed = call(*words, "--step-s", 2)
    assert timed.exit_code == 2
    assert "recorded curves bring their own times" in timed.stderr
    assert "trials end there" in call(*words, "--set", "scheduler.max_t=81").stderr
    for bench, message in (
        ("taskset:smell", "did you mean 'small'"),
        ("tastset:small", "did you mean 'taskset'"),
        ("lcreal:any", "RAYSWEEP_BENCH_DATA"),
    ):
        refused = call("simulate", spec, "--workers", 4, "--bench", bench)
        assert refused.exit_code == 2
        assert message in refused.stderr
        assert not refused.stdout


def test_replay_tells_what_a_rule_would_have_saved(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, scheduler={"name": "fifo", "max_t": 9}, searcher="random")
    words = ("replay", path, "--scheduler", "asha", "--workers", 2)
    facts = json.loads(call(*words, "--json").stdout)
    assert facts["scheduler"]["max_t"] == 9
    assert facts["curves"] == {"recorded": 20, "complete": 20, "cut": 0, "failed": 0, "silent": 0}
    assert facts["recorded"]["steps"] == 180
    assert facts["replayed"]["steps"] < 100
    assert facts["saved"]["steps"] == pytest.approx(1 - facts["replayed"]["steps"] / 180)
    assert facts["regret"] >= 0.0
    assert sum(facts["replayed"]["trials"].values()) == 20
    assert set(facts["killed"]) <= set(facts["top"])
    shown = call(*words).stdout
    assert "configs in recorded order" in shown
    assert "20 recorded: 20 complete" in shown
    assert "top 5" in shown


def test_replay_says_how_much_of_the_record_was_cut_off(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="random")
    facts = json.loads(call("replay", path, "--scheduler", "fifo", "--json").stdout)
    assert facts["curves"]["cut"] == len(facts["unknown_beyond"]) > 10
    assert facts["replayed"]["trials"]["UNKNOWN"] == len(facts["unknown_beyond"])
    assert facts["replayed"]["trials"]["COMPLETED"] == 20 - len(facts["unknown_beyond"])
    shown = call("replay", path, "--scheduler", "fifo").stdout
    assert "cut off early by the sweep itself" in shown
    assert "unknown beyond" in shown


def test_replay_of_what_is_to_be_maximised_keeps_its_direction(tmp_path: Path) -> None:
    path = simulated_sweep(
        tmp_path, metric="accuracy", mode="max", scheduler={"name": "fifo", "max_t": 9}
    )
    facts = json.loads(call("replay", path, "--scheduler", "median", "--json").stdout)
    assert 0.0 < facts["replayed"]["best"] <= facts["recorded"]["best"] < 1.0
    assert facts["regret"] == pytest.approx(facts["recorded"]["best"] - facts["replayed"]["best"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--scheduler", "asah"), "did you mean 'asha'"),
        (("--scheduler", "asha:eta"), "is no option; write NAME:option=value"),
        (("--scheduler", "asha:max_t=x"), "max_t"),
        (("--scheduler", "fifo", "--searcher", "grid"), "a list of its own"),
        (("--scheduler", "fifo", "--workers", 0), "--workers is 0"),
    ],
)
def test_bad_input_is_refused_in_one_message(
    tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    path = simulated_sweep(tmp_path, searcher="random")
    refused = call("replay", path, *words)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert not refused.stdout
    assert call("replay", tmp_path / "nothing", "--scheduler", "fifo").exit_code == 2
