"""Trials side by side: as many as there are workers, in the order in which they end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from benchmarks import parallel
from benchmarks.parallel import Cell, gather, run
from benchmarks.problems import Problem, problem
from raysweep.searchers.random_search import RandomSearch

NAME = "bbob:rosenbrock/5"
CELL = Cell("random", 1, NAME, 0, 40)


@pytest.fixture(scope="module")
def bowl() -> Problem:
    return problem(NAME, Path())


def test_searchers_that_do_not_learn_find_the_same_on_any_number_of_workers(bowl: Problem) -> None:
    alone, crowd = run(CELL, bowl), run(CELL._replace(workers=16), bowl)
    assert sorted(alone["loss"]) == sorted(crowd["loss"])
    assert list(alone["loss"]) != list(crowd["loss"]), "the short ones end first"
    assert alone["at"].is_monotonic_increasing
    assert crowd["at"].iloc[-1] < alone["at"].iloc[-1] / 5


@pytest.mark.parametrize("workers", [1, 4, 100])
def test_so_many_trials_run_at_once_and_no_more(
    bowl: Problem, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    under_way: list[int] = []

    class Watched(RandomSearch):
        running = 0

        def ask(self, trial: str, stream: Any) -> Any:
            self.running += 1
            under_way.append(self.running)
            return super().ask(trial, stream)

        def end(self, trial: str, outcome: Any) -> None:
            self.running -= 1

    monkeypatch.setattr(parallel, "build_searcher", lambda n, o, setting: Watched(setting.space))
    assert len(run(CELL._replace(workers=workers), bowl)) == 40
    assert max(under_way) == min(workers, 40)
    assert set(under_way[40 if workers > 40 else workers :]) <= {workers}


def test_the_table_holds_what_is_shown_and_finished_runs_are_kept(tmp_path: Path) -> None:
    options = argparse.Namespace(
        searchers="random,tpe", workers="1,8", problems=NAME, seeds=1, trials=60,
        trials_of="tpe@8=30", work=tmp_path, only_stored=False, data=Path(),
    )  # fmt: skip
    rows = gather(options)
    counts = rows.groupby(["method", "workers"])["trial"].apply(list).to_dict()
    assert counts == {
        ("random", 1): [25, 50], ("random", 8): [25, 50], ("tpe", 1): [25, 50], ("tpe", 8): [25],
    }  # fmt: skip
    assert (
        rows.groupby(["method", "workers"])["regret"]
        .apply(lambda r: r.is_monotonic_decreasing)
        .all()
    )
    stored = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(stored) == 4
    options.only_stored = True
    assert gather(options).equals(rows)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stored
