"""Recorded benchmarks: what becomes a step, what is left out, and what is said where data lack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysweep.cluster import recorded, surrogate
from raysweep.cluster.recorded import ROW, RecordedCurves, Track
from raysweep.cluster.recordings import MAX_T, recording
from raysweep.cluster.session import bench_data
from raysweep.trials.errors import SpecError
from raysweep.trials.streams import Stream
from tests.benchmarks.tables import write_lcreal, write_taskset


def test_the_untrained_network_and_the_odd_last_row_of_lcbench_are_no_steps(tmp_path: Path) -> None:
    on = recording(write_lcreal(tmp_path, configs=3), tmp_path)
    # loss of config c at row e is 100 · c + e; rows 1…50 of 0…51 are steps
    assert on.curves({ROW: 2}, 0, 1) == {"val_cross_entropy": 201.0}
    assert on.curves({ROW: 2}, 0, MAX_T) == {"val_cross_entropy": 250.0}
    assert (on.curves.length({ROW: 2}), on.max_t) == (50, 50)
    assert on.training_s == pytest.approx(50.0)
    # finals are 50, 150, 250; the least of all reports is config 0's first
    assert (on.best, on.median) == (1.0, 150.0)
    assert on.regret(1.0) == 0.0
    assert on.regret(150.0) == 1.0
    assert on.pool is not None
    assert [config["batch_size"] for config in on.pool] == [16, 32, 64]
    for config in on.pool:
        on.space.check(config)


def test_what_diverged_ranks_last_and_reports_nan(tmp_path: Path) -> None:
    loss = np.tile(np.linspace(1.0, 0.5, 51), (5, 1)) + np.arange(5)[:, None]
    loss[0, 20:] = np.nan
    on = recording(write_taskset(tmp_path, loss), tmp_path)
    assert np.isnan(on.curves({ROW: 0}, 0, 50)["loss"])
    assert on.curves({ROW: 1}, 0, 50)["loss"] == 1.5
    assert on.curves.step_s({ROW: 1}, 50) == 1.0, "no times were recorded"
    # finals ∞, 1.5, 2.5, 3.5, 4.5: the median is 3.5
    assert on.median == 3.5
    assert on.best == pytest.approx(float(loss[0, 19]))
    assert on.pool is not None
    assert on.pool[2]["one_minus_beta1"] == pytest.approx(0.1)


class _Model:
    """Accuracy = epoch + 10 · momentum; the clock runs backwards at epoch 3."""

    def run(self, names: None, feed: dict[str, Any]) -> list[np.ndarray]:
        epoch, momentum = feed["x_cont"][:, 0], feed["x_cont"][:, 1]
        assert (feed["x_cat"] == 7).all(), "the task's code"
        seconds = np.where(epoch == 3, 1.0, epoch * 2.0)
        rest = np.zeros((len(epoch), 4))
        return [np.column_stack([seconds, epoch + 10 * momentum, rest]).astype(np.float32)]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "yahpo" / "v1" / "lcbench"
    folder.mkdir(parents=True)
    facts = [
        {"name": "OpenML_task_id", "type": "categorical", "choices": ["3945", "167104"]},
        {"name": "epoch", "type": "uniform_int", "lower": 1, "upper": 52, "log": False},
        {"name": "momentum", "type": "uniform_float", "lower": 0.1, "upper": 0.9, "log": False},
    ]
    written = {"hyperparameters": facts, "conditions": []}
    (folder / "config_space.json").write_text(json.dumps(written))
    (folder / "encoding.json").write_text(json.dumps({"OpenML_task_id": {"167104": 7, "3945": 7}}))
    known = {**surrogate._KNOWN["lcbench"], "numbers": ("epoch", "momentum")}
    monkeypatch.setitem(surrogate._KNOWN, "lcbench", known)
    monkeypatch.setattr(surrogate, "_session", lambda path: _Model())
    refs = {"refs": {"lcbench/167104": {"best": 60.0, "median": 52.0}}}
    (tmp_path / "yahpo" / "refs.json").write_text(json.dumps(refs))
    return tmp_path


def test_the_surrogate_s_epochs_2_to_51_are_the_steps(model: Path) -> None:
    on = recording("lcbench:167104", model)
    config = {"momentum": 0.5}
    assert on.curves(config, 0, 1)["val_accuracy"] == pytest.approx(2 + 5)
    assert on.curves(config, 0, 50)["val_accuracy"] == pytest.approx(51 + 5)
    # elapsed 4, 1, 8, 10 s after epochs 2 to 5: 4 s, then nothing, then 4 and 2
    steps = [on.curves.step_s(config, step) for step in (1, 2, 3, 4)]
    assert steps == pytest.approx([4.0, 0.001, 4.0, 2.0])
    assert (on.best, on.median, on.pool) == (-60.0, -52.0, None)
    assert on.training_s == pytest.approx(102.0, abs=0.01)
    on.space.check(on.space.sample(Stream(0, "any")))


def test_a_task_that_nobody_searched_is_scaled_by_random_configs(model: Path) -> None:
    on = recording("lcbench:3945", model)
    # accuracy at the end is 51 + 10 m, m uniform in 0.1…0.9: best near 60, median near 56
    assert -on.best == pytest.approx(60.0, abs=0.3)
    assert -on.median == pytest.approx(56.0, abs=0.7)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lcbanch:1", r"is no recorded benchmark; did you mean 'lcbench'"),
        ("lcbench:1", r"there is no lcbench|there is no .*config_space.json; .*RAYSWEEP_BENCH_DATA.*yahpo_data"),
        ("taskset:x", r"there is no .*taskset.npz; .*google-research"),
        ("lcreal:x", r"there is no .*parquet.gzip; .*figshare.com"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named_with_its_source(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        recording(name, tmp_path)


def test_an_unknown_task_is_answered_with_those_that_there_are(tmp_path: Path, model: Path) -> None:
    with pytest.raises(SpecError, match=r"no task '167105'; did you mean '167104'"):
        recording("lcbench:167105", model)
    write_lcreal(tmp_path, 2)
    with pytest.raises(SpecError, match=r"allowed: blood-transfusion"):
        recording("lcreal:adult", tmp_path)
    write_taskset(tmp_path, np.ones((2, 51)))
    with pytest.raises(SpecError, match=r"allowed: small"):
        recording("taskset:large", tmp_path)


def test_the_folder_of_data_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYSWEEP_BENCH_DATA", str(tmp_path))
    assert bench_data() == tmp_path
    with pytest.raises(SpecError, match=rf"which is now {tmp_path}"):
        recording("taskset:small")
    monkeypatch.delenv("RAYSWEEP_BENCH_DATA")
    assert bench_data().parts[-3:] == ("shared", "bench", "data")


def test_only_so_many_trainings_are_kept_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "_MOST", 2)
    made: list[float] = []

    def track(config: Any) -> Track:
        made.append(config["x"])
        return Track({"loss": [config["x"]]}, [1.0])

    curves = RecordedCurves(track)
    assert [curves({"x": x}, 0, 1)["loss"] for x in (1.0, 2.0, 2.0, 3.0, 3.0, 1.0)] == [
        1.0, 2.0, 2.0, 3.0, 3.0, 1.0,
    ]  # fmt: skip
    assert made == [1.0, 2.0, 3.0, 1.0]
