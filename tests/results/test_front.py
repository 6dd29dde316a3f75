"""The Pareto front of a recorded sweep against one found by comparing every pair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raysweep.results.read import Results, read
from tests.orchestrator.cli_sweeps import simulated_sweep

SPACE = {"lr": {"loguniform": [1e-4, 1e-1]}, "width": {"randint": [1, 100]}}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("front")
    path = simulated_sweep(
        folder, metric=None, mode=None, metrics={"loss": "min", "score": "max"}, space=SPACE,
        scheduler={"name": "fifo", "max_t": 3},
    )  # fmt: skip
    return read(path)


def beaten(row: Any, rows: pd.DataFrame) -> bool:
    as_good = (rows["loss"] <= row["loss"]) & (rows["score"] >= row["score"])
    better = (rows["loss"] < row["loss"]) | (rows["score"] > row["score"])
    return bool((as_good & better).any())


def test_nobody_beats_the_front_and_it_beats_all_others(several: Results) -> None:
    columns = {name: column for column, name in several.metric_columns.items()}
    last = several.reports.groupby("trial_id").last()
    rows = pd.DataFrame({name: last[columns[name]] for name in ("loss", "score")})
    expected = {trial for trial, row in rows.iterrows() if not beaten(row, rows)}
    found = several.front()
    assert {one.trial_id for one in found} == expected
    assert 0 < len(expected) < len(rows)
    assert [one.metrics["loss"] for one in found] == sorted(one.metrics["loss"] for one in found)
    configs = several.trials.set_index("trial_id")["config_json"]
    for one in found:
        assert one.metrics == pytest.approx(rows.loc[one.trial_id].to_dict())
        assert one.config == json.loads(configs[one.trial_id])
        assert one.step == 3


def test_with_one_metric_the_front_is_who_ended_best(tmp_path: Path) -> None:
    results = read(simulated_sweep(tmp_path, scheduler={"name": "fifo", "max_t": 3}))
    last = results.reports.groupby("trial_id").last()["loss"]
    assert [one.trial_id for one in results.front()] == [last.idxmin()]


def test_a_sweep_without_reports_has_no_front(tmp_path: Path) -> None:
    assert read(simulated_sweep(tmp_path, empty=True)).front() == []
