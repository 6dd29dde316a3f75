"""SIGKILL of the driver of a real Ray sweep, again and again, at random instants."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raysweep.cluster.session import Session
from raysweep.orchestrator.replay import check_replay
from raysweep.results.read import read
from raysweep.results.verify import verify
from raysweep.trials.clock import SystemClock
from raysweep.trials.streams import Stream

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[2]

TRAIN = """
import json, time
def train(config, trial):
    total = 0.0
    if trial.checkpoint:
        total = json.loads((trial.checkpoint / "total.json").read_text())
    trial.on_save(lambda folder: (folder / "total.json").write_text(json.dumps(total)))
    for step in range(trial.step, 12):
        time.sleep(0.01)
        total = 0.9 * total + config["x"]
        yield {"loss": total, "twice": 2 * total}
"""

SPEC = """
name: {name}
trainable: train:train
space: {{x: {{uniform: [0.0, 1.0]}}, kind: {{choice: [a, b]}}}}
metric: loss
mode: min
searcher: random
scheduler: {scheduler}
budget: {{trials: {trials}}}
checkpoint: {{every_steps: 3, every_s: null}}
resources: {{cpu: 1}}
cluster: {{address: "{address}"}}
seed: 11
storage: ./sweeps
"""


def write_spec(folder: Path, name: str, scheduler: str, trials: int, address: str) -> Path:
    (folder / "train.py").write_text(textwrap.dedent(TRAIN))
    spec = folder / f"{name}.yaml"
    spec.write_text(SPEC.format(name=name, scheduler=scheduler, trials=trials, address=address))
    return spec


def drive(spec: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.orchestrator.killed_driver", str(spec)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill_at_random(spec: Path, stream: Stream) -> bool:
    """Kill one driver, now and then before it is under way; False if it ended before that."""
    driver = drive(spec)
    assert driver.stdout is not None
    if stream.uniform() > 0.15:
        driver.stdout.readline()
        wait_s = stream.uniform(0.0, 0.8)
    else:
        wait_s = stream.uniform(0.5, 2.0)
    try:
        driver.wait(wait_s)
    except subprocess.TimeoutExpired:
        driver.kill()
    driver.wait()
    driver.stdout.close()
    return driver.returncode == -9


def finish(spec: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.orchestrator.killed_driver", str(spec)],
        check=False, cwd=ROOT, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def tables(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What must not hang on how often the driver died."""
    results = read(path)
    columns = ["trial_id", "status", "steps", "best_value", "best_step", "config_json"]
    trials = results.trials[columns].sort_values("trial_id").reset_index(drop=True)
    steps = ["trial_id", "step", "loss", "twice"]
    reports = results.reports[steps].sort_values(["trial_id", "step"]).reset_index(drop=True)
    return trials, reports


def check_kills(folder: Path, session: Session, kills: int, scheduler: str) -> None:
    trials = 12 + (4 if "fifo" in scheduler else 24) * kills  # ASHA's are that much shorter
    stream = Stream(5, scheduler, kills)
    killed = write_spec(folder, "killed", scheduler, trials, session.address)
    done = sum(kill_at_random(killed, stream) for _ in range(kills))
    assert done >= kills // 2, "the sweep was over before it could be killed"
    finish(killed)
    path = folder / "sweeps" / "killed"
    assert verify(path) == []
    assert check_replay(path) == []
    status: dict[str, Any] = read(path).status()
    assert status["state"] == "finished"
    assert sum(status["trials"].values()) == trials
    if "fifo" in scheduler:
        whole = write_spec(folder, "whole", scheduler, trials, session.address)
        finish(whole)
        for one, other in zip(tables(path), tables(folder / "sweeps" / "whole"), strict=True):
            pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.timeout(300)
def test_a_killed_sweep_resumes_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, ray_cluster: Session
) -> None:
    check_kills(tmp_path, ray_cluster, 2, "{name: fifo, max_t: 12}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "scheduler",
    [
        "{name: fifo, max_t: 12}",
        "{name: asha, max_t: 12, form: promotion}",
        "{name: asha, max_t: 12, form: stopping}",
    ],
)
def test_twenty_kills(tmp_path: Path, ray_cluster: Session, scheduler: str) -> None:
    begun = SystemClock().now()
    check_kills(tmp_path, ray_cluster, 20, scheduler)
    print(f"20 kills of {scheduler}: {SystemClock().now() - begun:.0f} s")
