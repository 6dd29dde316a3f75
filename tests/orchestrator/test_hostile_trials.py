"""What a trial can do to its process and to the directory of its sweep: it costs that trial at most."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.session import Session
from raysweep.orchestrator.replay import check_replay
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.results.read import read
from raysweep.results.verify import verify
from raysweep.trials.clock import SystemClock
from tests.orchestrator import vandals

HONEST = ("honest 1", "honest 2", "honest 3")
HOSTILE = (
    "links its checkpoints", "files its checkpoints", "no rights on its checkpoints",
    "removes its checkpoints", "errors a file", "errors a fifo", "errors a link",
    "its error a fifo", "request a folder", "request a fifo", "request a link",
    "errors a folder", "logs a file", "logs a fifo", "logs a link", "immutable checkpoints",
)  # fmt: skip


def vandalise(kind: str, sweep: Path, home: Path, trial: str) -> None:
    first = kind.partition(" ")[0]
    place = sweep / (first if first in ("errors", "logs") else "stop.request")
    if kind.startswith("immutable"):
        _immutable(home, "+i")  # only root can, and not on each file system
        return
    if "checkpoints" in kind:
        if kind.startswith("no rights"):
            home.chmod(0)
            return
        shutil.rmtree(home, ignore_errors=True)
        if kind.startswith("links"):
            home.symlink_to("/tmp")
        elif kind.startswith("files"):
            home.write_text("mine")
        return
    if kind == "its error a fifo":
        place = sweep / "errors" / f"{trial}-1.txt"
        place.parent.mkdir(exist_ok=True)
    if place.is_symlink() or not place.is_dir():
        place.unlink(missing_ok=True)  # also a fifo of another trial, on which this one would hang
    shutil.rmtree(place, ignore_errors=True)
    if kind.endswith("fifo"):
        os.mkfifo(place)
    elif kind.endswith("link"):
        place.symlink_to("/tmp")
    elif kind.endswith("folder"):
        place.mkdir()
    else:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK))


def train(config: Mapping[str, Any], trial: Any) -> Iterator[dict[str, float]]:
    kind, sweep = config["kind"], Path(config["sweep"])
    trial.on_save(lambda folder: (folder / "w").write_text("x"))
    for step in range(trial.step + 1, 5):
        if kind not in HONEST and step == 3:
            vandalise(kind, sweep, sweep / "checkpoints" / trial.id, trial.id)
        if "error" in kind and step == 4:
            raise ValueError("for its errors file")
        threading.Event().wait(0.05)
        yield {"loss": 1.0 / step}


def _immutable(folder: Path, change: str) -> None:
    with suppress(OSError):
        subprocess.run(["chattr", change, str(folder)], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.ray
def test_what_a_trial_does_to_the_directory_costs_it_alone(
    tmp_path: Path, ray_cluster: Session
) -> None:
    """Red before: "This is a bug in raysweep", or a driver that waits for a pipe for ever."""
    kinds = [kind for pair in zip(HOSTILE, HONEST * 6, strict=False) for kind in pair]
    spec = SweepSpec.from_dict(
        {"name": "s", "trainable": train, "metric": "loss", "mode": "min", "searcher": "grid",
         "space": {"kind": {"choice": list(dict.fromkeys(kinds))}, "sweep": str(tmp_path / "s")},
         "storage": str(tmp_path), "checkpoint": {"every_steps": 1}, "max_failed_share": 1.0}
    )  # fmt: skip
    sweep = Sweep.create(spec, train=train)
    try:
        closed = sweep.run(handle_signals=False)
    finally:
        for folder in (sweep.path / "checkpoints").iterdir():
            if folder.is_dir() and not folder.is_symlink():
                _immutable(folder, "-i")
    assert closed.exit_code == 0, closed.reason
    trials = read(sweep.path).trials.set_index("config/kind")
    assert len(trials) == len(HOSTILE) + len(HONEST)
    assert set(trials.loc[list(HONEST), "status"]) == {"COMPLETED"}
    assert set(trials["status"]) <= {"COMPLETED", "FAILED"}
    assert check_replay(sweep.path) == []
    assert [found for found in verify(sweep.path) if "checkpoint" not in found.invariant] == []


@pytest.mark.ray
def test_what_a_trial_does_to_its_process_costs_it_alone(
    tmp_path: Path, ray_cluster: Session
) -> None:
    pids = tmp_path / "pids"
    kinds = [kind for number, act in enumerate(vandals.ACTS) for kind in (act, f"honest {number}")]
    spec = SweepSpec.from_dict(
        {"name": "s", "trainable": vandals.Vandal, "metric": "loss", "mode": "min", "searcher": "grid",
         "space": {"kind": {"choice": kinds}, "pids": str(pids)}, "storage": str(tmp_path),
         "timeouts": {"cleanup": 3, "stuck": 30}, "retries": {"infra": 1, "crash": 0, "oom": 0},
         "max_failed_share": 1.0, "checkpoint": {"every_steps": 1, "keep_best": 1}}
    )  # fmt: skip
    sweep = Sweep.create(spec, train=vandals.Vandal)
    closed = sweep.run(handle_signals=False)
    assert closed.exit_code == 0, closed.reason
    trials = {row["config/kind"]: row for row in read(sweep.path).arrow("trials").to_pylist()}
    assert len(trials) == len(kinds)
    wrong = {
        kind: (row["status"], row["error_class"], row["error"])
        for kind, row in trials.items()
        if row["status"] not in vandals.ACTS.get(kind, (None, vandals.COMPLETED))[1]
        or row["error_class"] == "stuck"
    }
    assert wrong == {}
    assert check_replay(sweep.path) == []
    assert verify(sweep.path) == []
    best = read(sweep.path).best()
    assert best is not None
    assert best.checkpoint is not None
    assert json.loads((best.checkpoint / "weights.json").read_text()) == [1]
    clock = SystemClock()
    ends_s = clock.now() + 20
    while (left := vandals.left_of(pids)) and clock.now() < ends_s:
        clock.sleep(0.2)
    assert left == []
    assert not (tmp_path / "unpickled").exists(), "in the driver"
