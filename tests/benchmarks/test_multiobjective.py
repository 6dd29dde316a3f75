from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import multiobjective
from benchmarks.multiobjective import Task, regrets, run_ours
from raysweep.trials.space import Space

SPACE = Space.from_dict({"x": {"uniform": [0.0, 1.0]}, "y": {"uniform": [0.0, 1.0]}})


def evaluate(config: dict[str, float]) -> np.ndarray:
    return np.array([config["x"] + config["y"], 1.0 - config["x"] + config["y"]])


CORNERS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [0.5, 0.5]])
TASK = Task(SPACE, evaluate, CORNERS)


@pytest.fixture(autouse=True)
def _one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiobjective, "task", lambda name, data: TASK)


def run_of(*losses: tuple[float, float]) -> pd.DataFrame:
    filled = [losses[min(n, len(losses) - 1)] for n in range(25)]
    return pd.DataFrame(
        [(n, *pair, 0.0) for n, pair in enumerate(filled)],
        columns=["trial", "first", "second", "cpu_s"],
    )


def test_the_known_front_has_no_regret_and_nothing_of_it_a_whole_one() -> None:
    runs = {
        ("all", "t", 0): run_of((0.0, 1.0), (0.5, 0.5), (1.0, 0.0)),
        ("none", "t", 0): run_of((2.0, 2.0)),
        ("one", "t", 0): run_of((0.5, 0.5)),
    }
    found = regrets(runs, Path()).set_index("method")["regret"]
    assert found["all"] == pytest.approx(0.0)
    assert found["none"] == pytest.approx(1.0)
    # by hand: the reference is the 90 % quantile of each column of the sample, 1.7
    whole = 1.7**2 - 2 * 0.5**2 - 0.5**2
    assert found["one"] == pytest.approx(1.0 - 1.2**2 / whole)


def test_our_searchers_run_with_two_metrics() -> None:
    run = run_ours("tpe", TASK, 0, 15)
    assert list(run["trial"]) == list(range(15))
    assert ((run["first"] + run["second"]) >= 1.0).all()
