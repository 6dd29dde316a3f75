"""The benchmark of the two loops: it runs, it counts rightly, and it sums up rightly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.recorded import MAX_T, load
from benchmarks.tune_interop import FORMS, LOOPS, SCHEDULERS, Settings, run, show, summarise
from raysweep.cluster.session import Session
from tests.benchmarks.tables import write_table

PICKED = [4, 0, 2, 5, 1, 3, 8, 7, 6]
"""The loss of config c is 100 · c + epoch, so a lower number is better at every epoch."""


@pytest.mark.ray
@pytest.mark.parametrize(
    ("loop", "scheduler"),
    [
        pytest.param("Tune", SCHEDULERS[2], marks=pytest.mark.slow),
        ("raysweep", SCHEDULERS[0]),
    ],
)
def test_a_run_tries_every_config_and_finds_the_best(
    loop: str, scheduler: str, tmp_path: Path, ray_cluster: Session
) -> None:
    write_table(tmp_path, configs=9)
    curves, settings = load(tmp_path), Settings(len(PICKED), 4, 1.0, 1)
    figures = run(loop, scheduler, PICKED, curves, settings)
    assert figures["regret"] == 0.0
    assert 0.0 < figures["training_s"] < figures["wall_s"]
    assert figures["ideal_s"] == pytest.approx(figures["epochs"] * 1e-3 / 4)
    if loop == "Tune":  # promotion: 9 to epoch 1, at least 3 of them on to 3, one of these to 9
        assert 9 + 3 * 2 + 6 <= figures["epochs"] < 9 * MAX_T
    else:
        assert MAX_T <= figures["epochs"] <= 9 * MAX_T
        assert figures["full_trials"] >= 1
    assert "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS" not in os.environ  # noqa: TID251 - it is the point


def figures(number: int, loop: str, scheduler: str, wall_s: float) -> dict[str, Any]:
    return {
        "round": number,
        "loop": loop,
        "scheduler": scheduler,
        "wall_s": wall_s,
        "training_s": wall_s / 2,
        "ideal_s": 1.0,
        "driver_s": 1.0,
        "epochs": 10 * number,
        "full_trials": 1,
        "regret": 0.1 * number,
    }


def test_speedups_are_of_the_same_round(capsys: pytest.CaptureFixture[str]) -> None:
    # rounds are not in order, as later rounds begin with another combination
    walls = {"Tune": {2: 6.0, 0: 10.0, 1: 90.0}, "raysweep": {1: 10.0, 2: 2.0, 0: 5.0}}
    runs = [
        figures(number, loop, scheduler, wall_s)
        for scheduler in SCHEDULERS
        for loop in LOOPS
        for number, wall_s in walls[loop].items()
    ]
    rows = summarise(runs)
    assert [(row["scheduler"], row["loop"]) for row in rows] == [
        (scheduler, loop) for scheduler in SCHEDULERS for loop in LOOPS
    ]
    stock, ours = rows[:2]
    assert stock["wall_s"] == (10.0, 6.0, 90.0)
    assert stock["epochs"] == (10, 0, 20)
    assert ours["wall_speedup"] == ours["training_speedup"] == (3.0, 2.0, 9.0)
    assert "wall_speedup" not in stock
    show(rows, Settings(9, 4, 1.0, 3))
    shown = capsys.readouterr().out
    assert "10.0 (6.0…90.0)" in shown
    assert all(name.replace("_", " ").split()[0] in shown for name in FORMS)
