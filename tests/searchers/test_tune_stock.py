"""Our searchers in runs of stock Ray Tune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.search import SearchGenerator

from raysweep.cluster.session import Session
from raysweep.searchers.tune import GridSearch, SobolSearch
from tests.searchers.test_tune import SPACE


def objective(config: dict[str, Any]) -> None:
    for step in range(3):
        tune.report(
            {"loss": config["lr"] * config["net"]["width"] + step, "act": config["net"]["act"]}
        )


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tune.ResultGrid]:
    """Stock Tune, without its loggers."""
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

    def fit(search_alg: Any, num_samples: int, space: dict[str, Any] = SPACE) -> tune.ResultGrid:
        return tune.Tuner(
            objective,
            param_space=space,
            tune_config=tune.TuneConfig(
                search_alg=search_alg,
                num_samples=num_samples,
                metric="loss",
                mode="min",
                max_concurrent_trials=2,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=str(tmp_path), name="run", verbose=0),
        ).fit()

    return fit


@pytest.mark.ray
def test_a_grid_ends_a_run_of_stock_tune(
    ray_cluster: Session, stock: Callable[..., tune.ResultGrid]
) -> None:
    space = SPACE | {"lr": tune.grid_search([0.25, 0.5]), "net": {"width": 3, "act": "relu"}}
    results = stock(GridSearch(), -1, space)
    assert sorted(each.config["lr"] for each in results) == [0.25, 0.5]  # type: ignore[index]
    assert all(each.metrics["act"] == "relu" for each in results)  # type: ignore[index]
    assert results.get_best_result().metrics["loss"] == 0.25 * 3 + 2  # type: ignore[index]


@pytest.mark.ray
def test_sobol_runs_in_stock_tune_and_its_state_is_saved_with_the_run(
    ray_cluster: Session, stock: Callable[..., tune.ResultGrid], tmp_path: Path
) -> None:
    results = stock(SobolSearch(seed=1), 4)
    alone = SobolSearch(SPACE, seed=1)
    expected = [alone.suggest(str(n)) for n in range(5)]
    got = {each.config["lr"]: each.config for each in results}  # type: ignore[index,misc]
    assert sorted(got) == sorted(config["lr"] for config in expected[:4])
    restored = SobolSearch(SPACE)
    restored.restore_from_dir(str(next((tmp_path / "run").glob("searcher-state-*")).parent))
    assert restored.suggest("next") == expected[4]
    assert SearchGenerator(restored).metric is None
