"""The commands that drive, on a real Ray."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raysweep.cluster.session import Session
from raysweep.orchestrator.cli import app
from raysweep.results.read import read
from tests.orchestrator.cli_sweeps import ANGRY, SLOW, write_spec

pytestmark = pytest.mark.ray
RAYSWEEP = Path(sys.executable).parent / "raysweep"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_sweep_runs_is_verified_and_goes_on_with_a_larger_budget(
    ray_cluster: Session, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path)
    ran = call("run", spec, "--json", "--name", "one")
    assert ran.exit_code == 0, ran.stderr
    facts = json.loads(ran.stdout)
    assert (facts["name"], facts["state"], facts["exit_code"]) == ("one", "finished", 0)
    assert sum(facts["trials"].values()) == 20
    assert "20 of 20 trials" in ran.stderr
    path = tmp_path / "sweeps" / "one"
    assert call("verify", path).exit_code == 0
    assert call("run", spec, "--name", "one").exit_code == 2

    resumed = call("resume", path, "--set", "budget.trials=25")
    assert resumed.exit_code == 0, resumed.stderr
    assert len(read(path).trials) == 25
    assert "raysweep explain" in resumed.stdout
    assert str(path / "trials.parquet") in resumed.stdout
    assert call("verify", path).exit_code == 0
    refused = call("resume", path, "--set", "space.lr=3")
    assert refused.exit_code == 2
    assert "cannot be changed on resume" in refused.stderr


def test_too_many_failures_leave_with_1_and_name_the_file(
    ray_cluster: Session, tmp_path: Path
) -> None:
    ran = call("run", write_spec(tmp_path, code=ANGRY, budget={"trials": 4}, scheduler="fifo"))
    assert ran.exit_code == 1
    assert "4 of 4 failed" in ran.stdout
    path = tmp_path / "sweeps" / "small"
    file = path / "errors" / "t000003-1.txt"
    assert str(file) in ran.stdout
    assert "angry" in file.read_text()
    assert "\x1b" not in ran.stdout
    story = call("explain", path, 3)
    assert f"(traceback: {file})" in story.stdout
    assert "attempt 1 failed after step 1: error: " in story.stdout


def test_resources_that_the_cluster_can_never_give_are_refused(
    ray_cluster: Session, tmp_path: Path
) -> None:
    ran = call("run", write_spec(tmp_path, resources={"cpu": 1, "gpu": 3}))
    assert ran.exit_code == 2
    assert "no node can ever hold one trial" in ran.stderr
    assert not (tmp_path / "sweeps").exists()


def test_ctrl_c_leaves_a_sweep_that_goes_on(ray_cluster: Session, tmp_path: Path) -> None:
    scheduler = {"name": "fifo", "max_t": 60}
    spec = write_spec(tmp_path, code=SLOW, scheduler=scheduler, budget={"trials": 2})
    path = tmp_path / "sweeps" / "small"
    driver = subprocess.Popen(
        [str(RAYSWEEP), "run", str(spec), "--address", "local"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _wait_for_reports(path, driver)
        driver.send_signal(signal.SIGINT)
        out, err = driver.communicate(timeout=40)
    finally:
        driver.kill()
    assert driver.returncode == 75, err
    assert "raysweep resume sweeps/small" in out
    status = json.loads(call("status", path, "--json").stdout)
    assert (status["state"], status["exit_code"]) == ("interrupted", 75)

    assert call("resume", path, "--quiet").exit_code == 0
    reports = read(path).reports
    assert sorted(reports["step"]) == sorted([*range(1, 61)] * 2)
    assert call("verify", path).exit_code == 0


def _wait_for_reports(path: Path, driver: subprocess.Popen[str]) -> None:
    pause = threading.Event()
    for _ in range(300):
        assert driver.poll() is None, driver.communicate()
        if (path / "SWEEP.json").exists() and len(read(path).arrow("reports")):
            return
        pause.wait(0.2)
    raise AssertionError("no report within a minute")
