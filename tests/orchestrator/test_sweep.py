"""Whole sweeps on real Ray: bad trials cost themselves alone, bad input costs nothing."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import raysweep
from raysweep.cluster.session import Session
from raysweep.orchestrator.replay import check_replay
from raysweep.orchestrator.requests import request_stop
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.results.read import read
from raysweep.results.verify import verify
from raysweep.trials.errors import (
    ClusterError,
    SpecError,
    StoreBusy,
    StoreFormatError,
    TrainableError,
)

BAD = {
    "raises": ("FAILED", "ValueError: no such luck"),
    "nan": ("COMPLETED", ""),
    "omits": ("FAILED", "loss"),
    "exits": ("FAILED", ""),
    "hangs": ("FAILED", "timeouts.stuck"),
    "huge": ("FAILED", "blob"),
    "silent": ("FAILED", "without"),
    "../x": ("COMPLETED", ""),
    "good": ("COMPLETED", ""),
    "fine": ("COMPLETED", ""),
}


def train(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    kind = config["kind"]
    for step in range(1, 4):
        if kind == "raises" and step == 2:
            raise ValueError("no such luck")
        if kind == "exits" and step == 2:
            os._exit(3)
        if kind == "hangs" and step == 2:
            threading.Event().wait()
        if kind == "silent":
            return
        report: dict[str, Any] = {"loss": float("nan") if kind == "nan" else 1.0 / step}
        if kind == "omits":
            report = {"other": 1.0}
        if kind == "huge":
            report["blob"] = "x" * 10_000_000
        yield report


def steady(config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    while True:
        threading.Event().wait(0.01)
        yield {"loss": config["x"]}


def spec_of(folder: Path, **changes: Any) -> SweepSpec:
    base: dict[str, Any] = {
        "name": "s",
        "trainable": train,
        "space": {"kind": {"choice": list(BAD)}},
        "metric": "loss",
        "mode": "min",
        "searcher": "grid",
        "storage": str(folder),
    }
    return SweepSpec.from_dict({**base, **changes})


@pytest.mark.ray
def test_bad_trials_cost_themselves_alone(tmp_path: Path, ray_cluster: Session) -> None:
    spec = spec_of(tmp_path, timeouts={"stuck": 3}, retries={"crash": 0}, max_failed_share=1.0)
    sweep = Sweep.create(spec, train=train)
    closed = sweep.run(handle_signals=False)
    assert closed.exit_code == 0
    trials = read(sweep.path).trials.set_index("config/kind")
    for kind, (status, message) in BAD.items():
        assert trials.loc[kind, "status"] == status, kind
        if message:
            assert message in str(trials.loc[kind, "error"]), kind
    best = read(sweep.path).best()
    assert best is not None
    assert best.config["kind"] in ("good", "fine", "../x")
    assert verify(sweep.path) == []
    assert check_replay(sweep.path) == []
    raised = trials.loc["raises", "trial_id"]
    text = (sweep.path / "errors" / f"{raised}-1.txt").read_text()
    assert "no such luck" in text
    assert "Traceback" in text


@pytest.mark.ray
def test_a_stop_request_leaves_a_resumable_sweep(tmp_path: Path, ray_cluster: Session) -> None:
    spec = spec_of(
        tmp_path,
        space={"x": {"uniform": [0, 1]}},
        searcher="random",
        trainable=steady,
        budget={"trials": 4},
        cluster={"max_slots": 2},
    )
    sweep = Sweep.create(spec, train=steady)
    asked = []

    def observe(event: Any, verdicts: Any) -> None:
        if type(event).__name__ == "Reported" and not asked:
            asked.append(event.at)
            request_stop(sweep.path)

    closed = sweep.run(observe=observe, handle_signals=False)
    assert (closed.reason, closed.exit_code) == ("interrupted: raysweep stop", 75)
    assert closed.at - asked[0] < 20.0
    assert read(sweep.path).status()["state"] == "interrupted"
    limit_s = round(read(sweep.path).status()["elapsed_s"] + 2.5)
    changes = {"budget.steps": 10_000_000, "budget.wall_time": f"{limit_s}s"}
    again = Sweep.reopen(sweep.path, train=steady, changes=changes)
    closed = again.run(handle_signals=False)
    assert "wall-time budget" in closed.reason
    assert verify(sweep.path) == []
    assert check_replay(sweep.path) == []
    results = read(sweep.path)
    assert results.opened is not None
    assert results.opened.changes == json.loads(
        json.dumps({"budget": again.spec.to_dict()["budget"]})
    )
    limits = {name: spent["limit"] for name, spent in results.status()["budget"].items()}
    assert limits == {"trials": 4, "steps": 10_000_000, "wall_time_s": limit_s}
    assert set(results.trials["attempts"]) <= {0, 1, 2}


@pytest.mark.ray
def test_sigterm_ends_the_process_once_the_trials_have_saved(
    tmp_path: Path, ray_cluster: Session
) -> None:
    class Ended(BaseException):
        """In the place of what SIGTERM does to a process that has no handler."""

    def end(number: int, frame: object) -> None:
        raise Ended

    def when_it_runs() -> None:
        path = tmp_path / "s"
        while not (path / "SWEEP.json").exists() or not len(read(path).arrow("reports")):
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        threading.Thread(target=when_it_runs, daemon=True).start()
        with pytest.raises(Ended):
            raysweep.run(
                steady, {"x": raysweep.uniform(0, 1)}, metric="loss", trials=2, name="s",
                storage=tmp_path, scheduler={"name": "fifo", "max_t": 10_000}, progress=False,
            )  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)
    found = read(tmp_path / "s")
    assert (found.status()["state"], found.status()["exit_code"]) == ("interrupted", 75)
    assert verify(tmp_path / "s") == []


@pytest.mark.ray
def test_a_gpu_fraction_that_no_node_has_is_refused_before_anything_is_written(
    tmp_path: Path, ray_cluster: Session
) -> None:
    spec = spec_of(tmp_path, resources={"cpu": 1, "gpu": 4})
    with pytest.raises(ClusterError, match=r"no node can ever hold one trial.*4.*2"):
        Sweep.create(spec, train=train).run(handle_signals=False)
    assert not (tmp_path / "s" / "SWEEP.json").exists()


@pytest.mark.ray
def test_a_second_driver_is_refused(tmp_path: Path, ray_cluster: Session) -> None:
    spec = spec_of(tmp_path, space={"kind": {"choice": ["good"]}})
    sweep = Sweep.create(spec, train=train)
    refused: list[Exception] = []

    def observe(event: Any, verdicts: Any) -> None:
        if type(event).__name__ == "SlotUp" and not refused:
            try:
                Sweep.reopen(sweep.path, train=train).run(handle_signals=False)
            except StoreBusy as error:
                refused.append(error)

    assert sweep.run(observe=observe, handle_signals=False).exit_code == 0
    assert "--take-over" in str(refused[0])


def test_a_directory_that_holds_a_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "SWEEP.json").write_text('{"format": 1, "name": "other", "id": "x"}')
    with pytest.raises(StoreFormatError, match=r"already holds a sweep.*raysweep resume.*--name"):
        Sweep.create(spec_of(tmp_path), train=train)


def test_a_storage_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be written"):
        Sweep.create(spec_of(Path("/proc/nowhere")), train=train)


def test_training_code_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainableError, match="nowhere"):
        Sweep.create(spec_of(tmp_path, trainable="nowhere:train"))
    lock = threading.Lock()

    def holds(config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
        with lock:
            yield {"loss": 1.0}

    with pytest.raises(TrainableError, match="cannot be sent"):
        Sweep.create(spec_of(tmp_path, trainable=holds), train=holds)


@pytest.mark.ray
def test_what_a_sweep_is_cannot_be_changed_on_resume(tmp_path: Path, ray_cluster: Session) -> None:
    spec = spec_of(tmp_path, space={"kind": {"choice": ["good"]}})
    sweep = Sweep.create(spec, train=train)
    sweep.run(handle_signals=False)
    with pytest.raises(SpecError, match=r"seed cannot be changed on resume.*budget"):
        Sweep.reopen(sweep.path, train=train, changes={"seed": 2})
    with pytest.raises(TrainableError, match="pass it again"):
        Sweep.reopen(sweep.path)
