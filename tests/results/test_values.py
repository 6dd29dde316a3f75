"""Whatever a trial reports, and whatever it calls it, comes back right through every reader."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysweep.results.codec import Record, canonical
from raysweep.results.read import Results, read
from raysweep.results.read import history as read_history
from raysweep.results.reports import MAX_COLUMNS
from raysweep.results.store import Store
from raysweep.results.verify import verify
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import StoreCorrupt, StoreError
from raysweep.trials.events import Closed, Interrupted, Opened, Reported, Started, Suggested
from raysweep.trials.trial import trial_id
from tests.results.test_store import die, make, reopen
from tests.results.worlds import MANIFEST, feed, history

NUMBERS = [math.nan, math.inf, -math.inf, -0.0, 1e308, 5e-324, 0.1, 3, True, 2**53 + 1, 2**70]
OTHERS = [None, [1, [2, None]], {"deep": {"er": math.nan}}, "text", 10**400, "\ud800", ""]


def sweep(path: Path, columns: dict[str, list[Any]], compact: bool, **config: Any) -> Results:
    """A sweep of one trial that reported these columns, one step at a time."""
    store = make(path)
    store.append(Opened(0.0, 1, 1000.0, "h"))
    store.append(Suggested(0.0, "t000000", config or {"lr": 0.1}))
    begin = Verdict("t000000", 1, 0, "start", "new")
    store.append(Started(0.0, "t000000", 1, 0, "s", "n", 0.5), [begin])
    for step in range(max(map(len, columns.values()))):
        metrics = {name: [values[step]] for name, values in columns.items() if step < len(values)}
        store.append(Reported(step + 1.0, "t000000", 1, [step + 1], [0.5], metrics))
    store.commit(durable=True)
    if compact:
        store.compact({})
    store.close()
    return read(path)


def through(results: Results, tool: str) -> dict[str, list[Any]]:
    """The live reports as lists, by way of one of the readers."""
    if tool == "duckdb":
        found = results.duckdb().sql("SELECT * FROM reports ORDER BY step").arrow()
        return dict((found.read_all() if hasattr(found, "read_all") else found).to_pydict())
    if tool == "polars":
        return dict(results.polars("reports").to_dict(as_series=False))
    if tool == "pandas":
        frame = results.reports
        return {name: frame[name].tolist() for name in frame.columns}
    return dict(results.arrow("reports").to_pydict())


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("tool", ["arrow", "pandas", "polars", "duckdb"])
def test_numbers_are_doubles_bit_by_bit(tmp_path: Path, tool: str, compact: bool) -> None:
    found = through(sweep(tmp_path / "s", {"loss": NUMBERS}, compact), tool)
    wanted = np.array([float(number) for number in NUMBERS])
    assert np.array(found["loss"]).tobytes() == wanted.tobytes()
    assert found["nonfinite"] == [not math.isfinite(number) for number in NUMBERS]
    exact = found["metrics_json"]
    assert [json.loads(text)["loss"] for text in exact[-2:]] == [2**53 + 1, 2**70]
    assert found["wall"] == [1001.0 + step for step in range(len(NUMBERS))]
    assert found["elapsed_s"] == [0.5] * len(NUMBERS)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("tool", ["arrow", "polars", "duckdb"])
def test_what_is_no_number_is_kept_as_json_or_text(
    tmp_path: Path, tool: str, compact: bool
) -> None:
    found = through(sweep(tmp_path / "s", {"odd": OTHERS, "n": [1.0] * 7}, compact), tool)
    # The first value that fits a column, "text", made this a column of strings.
    assert found["odd"] == [None, None, None, "text", None, "\\ud800", ""]
    odd = [json.loads(text or "{}").get("odd") for text in found["metrics_json"]]
    assert odd[1] == [1, [2, None]]
    assert math.isnan(odd[2]["deep"]["er"])
    assert odd[4:6] == [10**400, "\ud800"]
    assert odd[0] is odd[3] is odd[6] is None


@pytest.mark.parametrize("compact", [False, True])
def test_a_metric_that_changes_its_type_keeps_its_column(tmp_path: Path, compact: bool) -> None:
    path = tmp_path / "s"
    store = make(path)
    store.append(Opened(0.0, 1, 0.0, "h"))
    store.append(Suggested(0.0, "t000000", {}))
    store.append(Started(0.0, "t000000", 1, 0, "s", "n", 0.5))
    for step, value in enumerate([1, 0.5, "nan", None, True], 1):
        store.append(Reported(1.0, "t000000", 1, [step], [0.1], {"loss": [value]}))
        if compact:
            store.compact({})
            die(store)
            store = reopen(path)
    store.close()
    for tool in ("arrow", "polars", "duckdb"):
        found = through(read(path), tool)
        assert found["loss"] == [1.0, 0.5, None, None, 1.0]
        assert json.loads(found["metrics_json"][2]) == {"loss": "nan"}
    assert verify(path) == []
    values = [r.event.metrics["loss"][0] for r in read_history(path) if is_report(r)]
    assert values == [1, 0.5, "nan", None, True]
    assert [type(value) for value in values] == [int, float, str, type(None), bool]


def is_report(record: Record) -> bool:
    return isinstance(record.event, Reported)


NAMES = ["loss", "naïve 損失", "\u200fmirror", "🎉", "", " ", "a.b", "A.B", "a\nb", "x" * 300, "..", "../x",
         "CON", "-rf", "step", "Step", "trial_id", "metrics_json", "nested/deep", "nul\0", "'\"`;--"]  # fmt: skip


@pytest.mark.parametrize("compact", [False, True])
def test_names_that_trip_tools_up(tmp_path: Path, compact: bool) -> None:
    columns = {name: [float(number)] for number, name in enumerate(NAMES)}
    results = sweep(tmp_path / "s", columns, compact, **dict.fromkeys(NAMES, 1.0))
    rows = {tool: through(results, tool) for tool in ("arrow", "pandas", "polars", "duckdb")}
    for found in rows.values():
        assert len(found) == 9 + len(NAMES)
        assert list(found) == list(rows["arrow"])
    values = [column[0] for name, column in rows["duckdb"].items()][8 : 8 + len(NAMES)]
    assert values == [float(number) for number in range(len(NAMES))]
    assert len({name.casefold() for name in rows["arrow"]}) == len(rows["arrow"])
    assert all(name.isprintable() for name in rows["arrow"])
    assert {"a.b", "A.B_2", "step_metric", "Step_metric_2", "a\\x0ab"} <= set(rows["arrow"])
    best = results.best()
    assert best is not None
    assert best.metrics == {name: values[0] for name, values in columns.items()}
    assert best.config == dict.fromkeys(NAMES, 1.0)
    assert verify(tmp_path / "s") == []
    record = next(filter(is_report, read_history(tmp_path / "s")))
    assert dict(record.event.metrics) == columns


def test_too_many_metrics_overflow_into_json(tmp_path: Path) -> None:
    columns = {f"m{number}": [0.5] for number in range(MAX_COLUMNS + 3)}
    table = sweep(tmp_path / "s", columns, True).arrow("reports")
    assert table.num_columns == MAX_COLUMNS + 9
    assert json.loads(table["metrics_json"][0].as_py()) == {
        f"m{MAX_COLUMNS + number}": 0.5 for number in range(3)
    }


def test_config_columns_are_typed_and_the_config_is_lossless(tmp_path: Path) -> None:
    config = {
        "lr": 1,
        "width": 64,
        "opt": None,
        "nested": [1, {"a": None}],
        "on": True,
        "new": 2**70,
    }
    for compact in (False, True):
        path = tmp_path / f"{compact}"
        trials = sweep(path, {"loss": [0.5]}, compact, **config).arrow("trials")
        row = trials.to_pylist()[0]
        assert row["config/lr"] == 1.0
        assert isinstance(row["config/lr"], float)
        assert (row["config/width"], row["config/on"]) == (64, True)
        assert row["config/opt"] is None
        assert row["config/nested"] == '[1,{"a":null}]'
        assert json.loads(row["config_json"]) == config
        assert row["config_json"] == canonical(config)


def test_a_restart_below_a_reported_step_supersedes_rows_and_the_best(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = make(path)
    store.append(Opened(0.0, 1, 0.0, "h"))
    store.append(Suggested(0.0, "t000000", {}))
    losses = {1: [0.9, 0.8, 0.1], 2: [0.5, 0.6]}
    store.append(Started(1.0, "t000000", 1, 0, "s", "n", 0.5))
    store.append(Reported(2.0, "t000000", 1, [1, 2, 3], [0.1] * 3, {"loss": losses[1]}))
    store.append(Opened(3.0, 2, 0.0, "h"))
    store.compact({})
    store.append(Started(4.0, "t000000", 2, 1, "s", "n", 0.5))
    store.commit(durable=True)
    best = read(path).best()
    assert best is not None
    assert (best.value, best.step) == (0.9, 1)
    store.append(Reported(5.0, "t000000", 2, [2, 3], [0.1] * 2, {"loss": losses[2]}))
    store.close()
    results = read(path)
    assert results.best() == ("t000000", {}, {"loss": 0.5}, 2, 0.5, None)
    wanted = [(1, 1, 0.9), (2, 2, 0.5), (2, 3, 0.6)]
    for tool in ("arrow", "pandas", "polars", "duckdb"):
        found = through(results, tool)
        assert list(zip(found["attempt"], found["step"], found["loss"], strict=True)) == wanted
    assert results.arrow("all_reports").num_rows == 5
    assert results.curves()["t000000"].tolist() == [0.9, 0.5, 0.6]
    assert results.attempts["end"].tolist()[0] == "driver"
    with pytest.raises(StoreError, match="no trial has reported 'lossy': choose from loss"):
        results.curves("lossy")
    with pytest.raises(StoreError, match="no table 'trial'"):
        results.arrow("trial")


def test_the_best_is_finite_and_in_the_metrics_own_direction(tmp_path: Path) -> None:
    worst = [math.nan, -math.inf, math.inf, None, "x", 3.0, 4.0]
    assert sweep(tmp_path / "min", {"loss": worst}, False).best()[4] == 3.0  # type: ignore[index]
    assert sweep(tmp_path / "none", {"loss": worst[:5]}, True).best() is None
    path = tmp_path / "max"
    store = Store.create(path, MANIFEST | {"metrics": {"acc": "max"}}, clock=ManualClock())
    store.append(Suggested(0.0, "t000000", {}))
    store.append(Started(0.0, "t000000", 1, 0, "s", "n", 0.5))
    steps = list(range(1, 8))
    store.append(
        Reported(1.0, "t000000", 1, steps, [0.1] * 7, {"acc": worst, "late": [None] * 6 + [2]})
    )
    store.close()
    assert read(path).best() == ("t000000", {}, {"acc": 4.0, "late": 2.0}, 7, 4.0, None)


def test_the_state_of_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = make(path)
    feed(store, history(1, 60))
    assert read(path).status()["state"] == "running"
    die(store)
    found = read(path).status()
    assert (found["state"], found["exit_code"], found["epoch"]) == ("crashed", None, 1)
    assert found["budget"]["trials"]["limit"] == 1000
    assert sum(found["trials"].values()) == found["budget"]["trials"]["used"]
    for code, state in ((75, "interrupted"), (3, "stalled"), (0, "finished"), (1, "finished")):
        store = reopen(path)
        store.append(Opened(99.0, 2, 0.0, "h"))
        store.append(Interrupted(99.0, "SIGTERM"))
        store.append(Closed(99.0, "why", code))
        store.compact({})
        store.close()
        found = read(path).status()
        assert (found["state"], found["reason"], found["exit_code"]) == (state, "why", code)
    json.dumps(found)


def test_a_reader_sees_a_prefix_while_a_driver_writes(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = make(path)
    feed(store, [(Opened(0.0, 1, 0.0, "h"), ())])
    stop, failures, reads = threading.Event(), [], []

    def watch() -> None:
        while not stop.is_set():
            try:
                results = read(path)
                seen = [line.record.lsn for line in results._image.lines(1)]
                assert seen == list(range(1, len(seen) + 1))
                rows = results.arrow("all_reports")
                keys = set(zip(*(rows[n].to_pylist() for n in ("trial_id", "step")), strict=True))
                assert len(keys) == rows.num_rows == results.status()["reports"]
                reads.append(len(seen))
            except (AssertionError, StoreCorrupt) as error:
                failures.append(repr(error))

    thread = threading.Thread(target=watch)
    thread.start()
    for number in range(150):
        name = trial_id(number)
        store.append(Suggested(float(number), name, {"lr": 0.5}))
        store.append(Started(float(number), name, 1, 0, "s", "n", 0.5))
        store.append(Reported(float(number), name, 1, [1, 2], [0.1] * 2, {"loss": [0.5, 0.6]}))
        store.commit(durable=False)
        if number % 10 == 9:
            store.compact({})
    stop.set()
    thread.join()
    store.close()
    assert failures == []
    assert reads == sorted(reads)
    assert len(reads) > 3
