"""Other readers see every metric in the parts, whatever the sessions that wrote them had reported."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from raysweep.orchestrator.summary import reports_query
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.trials.clock import ManualClock
from raysweep.trials.events import Opened, Reported, Started, Suggested

MANIFEST = {
    "name": "s",
    "seed": 0,
    "spec": {},
    "metrics": {"loss": "min"},
    "columns": {"x": "float64"},
}


def session(path: Path, *metrics: str, first: int) -> None:
    """One driver: a trial reports these metrics; without any, none reports."""
    if path.exists():
        store, _ = Store.open(path, clock=ManualClock())
    else:
        store = Store.create(path, dict(MANIFEST), clock=ManualClock())
    store.append(Opened(0.0, store.epoch, 1.0, "here"))
    if metrics:
        trial = f"t{first:06d}"
        store.append(Suggested(0.0, trial, {"x": 1.0}))
        store.append(Started(0.0, trial, 1, 0, "s", "n", 0.0))
        store.append(
            Reported(0.0, trial, 1, [1], [0.1], {name: [float(first)] for name in metrics})
        )
    store.compact({})
    store.close()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "s"
    session(path, first=0)  # nothing but failures at the start
    session(path, "loss", first=1)
    session(path, first=0)
    session(path, "loss", "late", first=2)
    return path


def test_no_part_is_empty_and_each_has_every_column_known_by_then(sweep: Path) -> None:
    """Before, the first session's part had no row and no metric, and pandas saw none at all."""
    parts = sorted((sweep / "reports").glob("*.parquet"))
    frames = [pd.read_parquet(part) for part in parts]
    assert [len(frame) for frame in frames] == [1, 1]
    assert "loss" in frames[0]
    assert {"loss", "late"} <= set(frames[1])


def test_four_readers_see_all_rows_and_metrics(sweep: Path) -> None:
    folder = sweep / "reports"
    parts = sorted(map(str, folder.glob("*.parquet")))
    assert pd.read_parquet(folder)["loss"].tolist() == [1.0, 2.0]
    schema = read(sweep).arrow("reports").schema
    assert ds.dataset(parts, schema=schema).to_table()["late"].to_pylist() == [None, 2.0]
    found = duckdb.sql(f"SELECT loss, late {reports_query(sweep)} ORDER BY loss").fetchall()
    assert found == [(1.0, None), (2.0, 2.0)]
    lazy = pl.concat([pl.scan_parquet(part) for part in parts], how="diagonal")
    assert lazy.collect()["late"].to_list() == [None, 2.0]
    assert read(sweep).reports["late"].tolist()[1] == 2.0
