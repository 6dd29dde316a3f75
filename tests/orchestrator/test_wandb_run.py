"""A W&B sweep by the command line: what is told before it runs, and a real run with resume."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import raysweep
from raysweep.cluster.session import Session
from raysweep.orchestrator.cli import app
from raysweep.results.read import read

ROOT = Path(raysweep.__file__).resolve().parents[1]
RAYSWEEP = Path(sys.executable).parent / "raysweep"
SWEEP = """
program: train.py
command: ["${env}", "WANDB_MODE=disabled", "${interpreter}", "${program}", "${args_no_boolean_flags}"]
method: random
metric: {name: val/loss, goal: minimize}
parameters:
  model.lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-1}
  nesterov: {values: [true, false]}
  epochs: {value: 9}
early_terminate: {type: hyperband, max_iter: 9, s: 2, eta: 3}
run_cap: 6
"""
TRAIN = """
import argparse
import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--model.lr", type=float, dest="lr")
parser.add_argument("--nesterov", action="store_true")
parser.add_argument("--epochs", type=int)
args = parser.parse_args()
with wandb.init(project="demo", config=args) as run:
    assert run.config["model.lr"] == args.lr
    for epoch in range(run.config.epochs):
        wandb.log({"val/loss": args.lr + 1 / (epoch + 1), "epoch": epoch})
print("trained with", args.lr)
"""


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def write(folder: Path, text: str = SWEEP, train: str = TRAIN) -> Path:
    (folder / "train.py").write_text(train)
    path = folder / "sweep.yaml"
    path.write_text(text)
    return path


def test_validate_shows_what_became_of_each_key(tmp_path: Path) -> None:
    path = write(tmp_path)
    shown = call("validate", path)
    assert shown.exit_code == 0, shown.stderr
    for words in (
        "trainable", "<program:train.py>", "grace_period=1 reduction_factor=3 form=stopping",
        "from W&B", "approximated: early_terminate: hyperband", "mapped: run_cap: 6",
    ):  # fmt: skip
        assert words in shown.stdout
    facts = json.loads(call("validate", path, "--json").stdout)
    assert facts["scheduler"]["max_t"] == 9
    kinds = {note["kind"] for note in facts["notes"]}
    assert kinds == {"mapped", "approximated"}


def test_validate_misses_a_program_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, SWEEP.replace("train.py", "trian.py"))
    refused = call("validate", path)
    assert refused.exit_code == 2
    assert "there is no program 'trian.py'" in refused.stderr
    assert "did you mean train.py" in refused.stderr


def test_simulate_plays_it_and_changes_reach_it(tmp_path: Path) -> None:
    path = write(tmp_path, SWEEP.replace("run_cap: 6", ""))
    refused = call("simulate", path, "--workers", 4)
    assert refused.exit_code == 2
    assert "add run_cap: 50, or --set run_cap=50" in refused.stderr
    played = call("simulate", path, "--workers", 4, "--set", "run_cap=20", "--json")
    assert played.exit_code == 0, played.stderr
    assert sum(json.loads(played.stdout)["trials"].values()) == 20
    assert "mapped: run_cap: 20" in played.stderr


def test_the_page_shows_what_validate_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "wandb.md").read_text()
    blocks = dict(reversed(re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, blocks["yaml"], blocks["python"])

    shown = call("validate", "sweep.yaml").stdout
    assert [line.rstrip() for line in shown.splitlines()] == blocks["text"].splitlines()


@pytest.mark.ray
def test_a_sweep_file_of_w_and_b_runs_as_it_is_and_is_resumed(
    ray_cluster: Session, tmp_path: Path
) -> None:
    path = write(tmp_path)
    ran = call("run", path, "--json")
    assert ran.exit_code == 0, ran.stderr
    assert "approximated: early_terminate" in ran.stderr

    sweep = tmp_path / "sweeps" / "sweep"
    results = read(sweep)
    trials = results.trials
    assert len(trials) == 6
    assert set(trials["status"]) <= {"COMPLETED", "STOPPED"}
    assert results.reports["step"].max() == 9
    best = results.best()
    assert best is not None
    assert best.config["model/lr"] == pytest.approx(best.value - 1 / (best.step), rel=1e-6)
    assert "trained with" in "".join(log.read_text() for log in (sweep / "logs").iterdir())
    assert call("verify", sweep).exit_code == 0

    resumed = call("resume", sweep, "--set", "budget.trials=8")
    assert resumed.exit_code == 0, resumed.stderr
    assert len(read(sweep).trials) == 8


SLOW = """
import threading, wandb
wandb.init()
open(f"pid-{__import__('os').getpid()}", "w")
for epoch in range(1000):
    wandb.log({"loss": 1 / (epoch + 1)})
    threading.Event().wait(0.05)
"""
NATIVE = """
name: native
program: {file: train.py, environment: {WANDB_MODE: disabled}}
space: {lr: {uniform: [0, 1]}}
metric: loss
mode: min
budget: {trials: 2}
timeouts: {drain: 2}
"""


@pytest.mark.ray
def test_an_interrupted_sweep_leaves_no_program_and_finds_it_again(
    ray_cluster: Session, tmp_path: Path
) -> None:
    path = write(tmp_path, NATIVE, SLOW)
    command = [RAYSWEEP, "run", path]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        next(line for line in driver.stdout if "new best" in line)
        driver.send_signal(signal.SIGINT)
        driver.stdout.read()
        assert driver.wait(60) == 75
    sweep = tmp_path / "sweeps" / "native"
    for pid in [found.name[4:] for found in tmp_path.glob("pid-*")]:
        for _ in range(100):
            if not Path("/proc", pid).exists():
                break
            threading.Event().wait(0.1)
        assert not Path("/proc", pid).exists()
    assert read(sweep).status()["state"] == "interrupted"

    (tmp_path / "train.py").write_text(SLOW.replace("1000", "3"))
    resumed = call("resume", sweep)
    assert resumed.exit_code == 0, resumed.stderr
    assert list(read(sweep).trials["status"]) == ["COMPLETED", "COMPLETED"]
