"""ParquetCallback in runs of stock Ray Tune."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from raysweep.cluster.session import Session
from raysweep.results.tune import ParquetCallback
from tests.results.tune_tables import recorded, rows


def objective(config: dict[str, Any]) -> None:
    """Fails once at step 3, and goes on from its checkpoint."""
    import tempfile

    start, before = 0, tune.get_checkpoint()
    if before is not None:
        with before.as_directory() as folder:
            start = json.loads((Path(folder) / "state.json").read_text())["step"]
    for step in range(start + 1, 5):
        if step == 3 and config["fails"] and start == 0:
            raise ValueError("bad luck")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "state.json").write_text(json.dumps({"step": step}))
            saved = tune.Checkpoint.from_directory(folder)
            tune.report({"loss": config["lr"] / step}, checkpoint=saved)


def flat_objective(config: dict[str, Any]) -> None:
    for step in range(1, 5):
        tune.report({"loss": config["lr"] + step})


Fit = Callable[..., tune.ResultGrid]


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fit:
    """Stock Tune with our callback and without its loggers."""
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

    def fit(
        trainable: Any, space: dict[str, Any], failures: int = 0, **config: Any
    ) -> tune.ResultGrid:
        return tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="loss", mode="min", max_concurrent_trials=2, reuse_actors=True, **config
            ),
            run_config=tune.RunConfig(
                storage_path=str(tmp_path),
                name="run",
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=failures),
                callbacks=[ParquetCallback(metric="loss", mode="min")],
            ),
        ).fit()

    return fit


@pytest.mark.ray
def test_a_retried_trial_of_stock_tune(ray_cluster: Session, stock: Fit, tmp_path: Path) -> None:
    space = {"lr": tune.grid_search([1.0, 2.0]), "fails": tune.sample_from(lambda c: c["lr"] > 1)}
    grid = stock(objective, space, failures=1)
    results = recorded(tmp_path / "run")
    best, theirs = results.best(), grid.get_best_result()
    assert best is not None
    assert best.value == theirs.metrics["loss"] == 0.25  # type: ignore[index]
    assert best.trial_id == theirs.metrics["trial_id"]  # type: ignore[index]
    assert sorted(rows(results, "trials", "config/lr", "status", "steps", "attempts")) == [
        (1.0, "COMPLETED", 4, 1),
        (2.0, "COMPLETED", 4, 2),
    ]
    failed = [row for row in results.arrow("attempts").to_pylist() if row["end"] == "failed"]
    assert [(row["end_step"], row["message"]) for row in failed] == [(2, "ValueError: bad luck")]
    assert len(results.arrow("reports")) == 8


@pytest.mark.ray
def test_trials_that_a_scheduler_of_stock_tune_stops(
    ray_cluster: Session, stock: Fit, tmp_path: Path
) -> None:
    asha = ASHAScheduler(max_t=4, grace_period=1, reduction_factor=2)
    grid = stock(flat_objective, {"lr": tune.grid_search([1.0, 2.0, 3.0])}, scheduler=asha)
    results = recorded(tmp_path / "run")
    found = {row[0]: row[1:] for row in rows(results, "trials", "config/lr", "status", "steps")}
    for each in grid:
        assert found[each.config["lr"]][1] == each.metrics["training_iteration"]  # type: ignore[index]
    assert {status for status, steps in found.values() if steps < 4} == {"STOPPED"}
    assert any(steps < 4 for _, steps in found.values())


@pytest.mark.ray
def test_a_restored_run_of_stock_tune(ray_cluster: Session, stock: Fit, tmp_path: Path) -> None:
    grid = stock(objective, {"lr": 1.0, "fails": tune.grid_search([True, False])})
    assert grid.num_errors == 1
    assert rows(recorded(tmp_path / "run"), "trials", "status") == [("FAILED",), ("COMPLETED",)]
    again = tune.Tuner.restore(str(tmp_path / "run"), objective, resume_errored=True).fit()
    assert again.num_errors == 0
    results = recorded(tmp_path / "run")
    assert [row[1:] for row in rows(results, "trials", "trial_id", "status", "steps")] == [
        ("FAILED", 2),
        ("COMPLETED", 4),
        ("COMPLETED", 4),
    ]
    assert rows(results, "trials", "trial_id")[2][0].endswith("-2")
    assert not (tmp_path / "run" / "raysweep-2").exists()
