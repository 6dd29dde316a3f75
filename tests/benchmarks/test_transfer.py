from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.recorded import DATA
from benchmarks.search import Cell
from benchmarks.transfer import BUDGETS, FAMILIES, interval, misled, run, summary, sweep_of

TASKS = ("bbob:rosenbrock/2", "bbob:ellipsoid/2")


def test_a_negated_sweep_says_the_contrary_and_a_shuffled_one_nothing() -> None:
    sweep = sweep_of(TASKS[0], 0, 12, DATA)
    against = misled(sweep, "negated", 0)
    assert np.argmax(against.scores) == np.argmin(sweep.scores)
    shuffled = misled(sweep, "shuffled", 0)
    assert sorted(shuffled.scores) == sorted(sweep.scores)
    assert shuffled.scores != sweep.scores
    assert against.configs == shuffled.configs == sweep.configs
    assert misled(sweep, "", 0) == sweep


def test_the_task_that_is_left_out_is_no_earlier_sweep_of_itself() -> None:
    with pytest.raises(Exception, match="none of the sweeps"):
        run(Cell("transfer", TASKS[0], 0, 3), TASKS[:1], 12, DATA)
    rows = run(Cell("transfer:negated", TASKS[0], 0, 6), TASKS, 12, DATA)
    assert rows["regret"].is_monotonic_decreasing
    assert len(rows) == 6
    assert len(set(FAMILIES["lcbench"])) == len(set(FAMILIES["lcreal"])) == 12


def test_the_summary_compares_with_gp_task_by_task() -> None:
    rows = run(Cell("random", TASKS[0], 0, BUDGETS[-1]), TASKS, 12, DATA).assign(family="f")
    worse = rows.assign(regret=rows["regret"] + 0.5)
    both = pd.concat([rows.assign(method="gp"), worse.assign(method="other")])
    table = {row["method"]: row for row in summary(both)}
    assert table["other"]["less_gp@25"] == [0.5, 0.5]
    assert "less_gp@25" not in table["gp"]
    low, high = interval(np.array([0.0, 1.0] * 50))
    assert 0.35 < low < 0.5 < high < 0.65
