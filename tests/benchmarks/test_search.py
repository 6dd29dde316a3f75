from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import described
from benchmarks.problems import SUITES, problem
from benchmarks.ranking import at, interval, means, ranks
from benchmarks.search import Cell, run_ours
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream


def rows() -> pd.DataFrame:
    """Two problems, two seeds, 25 trials: `good` is always below `bad`; `late` lacks a seed."""
    parts = []
    for name, level in (("good", 0.1), ("bad", 0.4), ("late", 0.2)):
        for on in ("p/1", "q/1"):
            for seed in (0, 1):
                if name == "late" and seed == 1:
                    continue
                regret = np.full(25, level + 0.01 * seed)
                table = pd.DataFrame({"trial": range(25), "regret": regret})
                parts.append(table.assign(method=name, problem=on, seed=seed))
    return pd.concat(parts)


def test_means_and_ranks_are_over_what_is_shared() -> None:
    assert means(rows(), 25)["good"] == pytest.approx(0.105)
    ranked = ranks(rows(), 25)
    assert ranked.mean().to_dict() == {"good": 1.0, "late": 2.0, "bad": 3.0}
    table = interval(ranked)
    assert (table["low"] <= table["rank"]).all()
    assert (table["rank"] <= table["high"]).all()
    assert at(rows(), 25)["late"].isna().sum() == 2


def test_a_run_of_ours_is_the_same_each_time() -> None:
    on = problem("bbob:rosenbrock/3")
    cell = Cell("tpe", on.name, 2, 15)
    first, again = (run_ours(cell, on, "tpe", {}) for _ in range(2))
    assert first["loss"].tolist() == again["loss"].tolist()
    assert on.regret(on.best) == 0.0
    assert on.regret(on.median) == 1.0


def test_peers_are_told_the_whole_space() -> None:
    space = Space.from_dict(
        {
            "kind": {"choice": ["a", "b"]},
            "lr": {"loguniform": [1e-3, 1.0], "when": {"kind": "a"}},
            "size": {"ordinal": [1, 2, 4]},
        }
    )
    told = {one["name"]: one for one in described(space)}
    assert told["lr"]["when"] == {"kind": ["a"]}
    assert (told["lr"]["low"], told["lr"]["log"]) == (1e-3, True)
    assert told["size"]["kind"] == "ordinal"
    assert [one["name"] for one in described(space)].index("kind") < 2


@pytest.mark.parametrize("name", SUITES["dev"])
def test_every_problem_can_be_evaluated(name: str) -> None:
    try:
        on = problem(name)
    except FileNotFoundError:
        pytest.skip("the recorded data are not there")
    stream = Stream(0, "test")
    regrets = [on.regret(on.evaluate(on.space.sample(stream), stream).loss) for _ in range(40)]
    assert np.nanmin(regrets) > -0.2
    assert 0.3 < np.nanmedian(regrets) < 3.0


@pytest.mark.parametrize("name", ["coco:bbob/8/5", "coco:bbob-mixint/3/5"])
def test_coco_s_functions_have_a_scale_on_which_random_is_one(name: str) -> None:
    on = problem(name)
    stream = Stream(1, "coco")
    regrets = [on.regret(on.evaluate(on.space.sample(stream), stream).loss) for _ in range(200)]
    assert np.median(regrets) == pytest.approx(1.0, abs=0.1)
    assert min(regrets) > 0.0
    whole = sum(isinstance(on.space.sample(stream)[dim], int) for dim in on.space.dims)
    assert whole == (4 if "mixint" in name else 0)
