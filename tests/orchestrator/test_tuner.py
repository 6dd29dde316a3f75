"""`raysweep.Tuner`: what people hand to `tune.Tuner`, run by our loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, PopulationBasedTraining
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

import raysweep
from raysweep.results.verify import verify
from raysweep.trials.errors import SpecError, TrainableError

pytestmark = pytest.mark.ray


def parabola(config: dict[str, Any]) -> None:
    for step in range(config.get("steps", 4)):
        tune.report({"loss": (config["x"] - 0.3) ** 2 + 1.0 / (step + 1), "shape": {"x": step}})


def fit(train: Any, folder: Path, **settings: Any) -> Any:
    """Run a Tuner; keywords go to TuneConfig, RunConfig or the Tuner, wherever they belong."""
    # each slot's process imports ray.tune, seconds of work: two of them are enough
    aims = {"metric": "loss", "mode": "min", "num_samples": 4, "max_concurrent_trials": 2}
    places: dict[str, dict[str, Any]] = {"tune": aims, "run": {"verbose": 0}, "own": {}}
    places["own"]["param_space"] = {"x": tune.uniform(0, 1)}
    for name, value in settings.items():
        known = {"tune": tune.TuneConfig, "run": tune.RunConfig}
        home = next((k for k, cls in known.items() if name in cls.__dataclass_fields__), "own")
        places[home][name] = value
    return raysweep.Tuner(
        train,
        tune_config=tune.TuneConfig(**places["tune"]),
        run_config=tune.RunConfig(storage_path=str(folder), **places["run"]),
        **places["own"],
    ).fit()


@pytest.fixture(autouse=True)
def _on_the_session_s_ray(ray_cluster: Any) -> None:
    """All of them share one Ray."""


def test_a_function_that_reports(tmp_path: Path) -> None:
    grid = fit(parabola, tmp_path, name="Plain Run")
    assert Path(grid.experiment_path) == tmp_path / "plain-run"
    assert (len(grid), grid.num_errors, grid.num_terminated) == (4, 0, 4)
    best = grid.get_best_result()
    assert best.config.keys() == {"x"}
    losses = [result.metrics["loss"] for result in grid]
    assert best.metrics["loss"] == min(losses)
    assert best.metrics["training_iteration"] == 4
    assert best.metrics["shape"] == {"x": 3}
    assert isinstance(best.metrics["shape"]["x"], int), "as it was reported"
    assert best.metrics["done"] is True
    frame = best.metrics_dataframe
    assert list(frame["training_iteration"]) == [1, 2, 3, 4]
    assert list(frame["shape/x"]) == [0, 1, 2, 3]
    table = grid.get_dataframe()
    assert len(table) == 4
    assert table["loss"].min() == best.metrics["loss"]
    assert "config/x" in table
    assert verify(grid.experiment_path) == []
    assert raysweep.read(grid.experiment_path).best().value == best.metrics["loss"]


class Seen(tune.Callback):
    """Keeps the results that it is shown."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        self.results.append(dict(result))


def test_metrics_come_back_under_the_keys_that_were_reported(tmp_path: Path) -> None:
    """Lightning's "val/loss" beside groups, and a name that is both a value and a prefix."""

    def train(config: dict[str, Any]) -> None:
        for step in range(2):
            mixed = {"val/f1": step, "deep": {"x": 1}}
            row = {"ptl/val_loss": config["x"] + step, "a/b": 1, "a": 2, "group": mixed}
            tune.report(row)

    seen = Seen()
    grid = fit(train, tmp_path, metric="ptl/val_loss", num_samples=2, callbacks=[seen])
    group = {"val/f1": 1, "deep": {"x": 1}}
    for result in grid:
        x = result.config["x"]
        wanted = {"ptl/val_loss": x + 1, "a/b": 1, "a": 2, "group": group}
        assert {name: result.metrics.get(name) for name in wanted} == wanted
        assert "ptl" not in result.metrics
        frame = result.metrics_dataframe
        assert list(frame["ptl/val_loss"]) == [x, x + 1]
        assert list(frame["group/val/f1"]) == [0, 1]
    best = grid.get_best_result()
    assert best.metrics["ptl/val_loss"] == min(r.metrics["ptl/val_loss"] for r in grid)
    assert grid.get_dataframe()["ptl/val_loss"].min() == best.metrics["ptl/val_loss"]
    assert len(seen.results) == 4
    for shown in seen.results:
        assert {"ptl/val_loss", "a/b", "a"} <= shown.keys()
        assert shown["group"].keys() == {"val/f1", "deep"}
    restored = raysweep.Tuner.restore(
        grid.experiment_path, train, param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(metric="ptl/val_loss", mode="min"),
    )  # fmt: skip
    assert restored.get_results().get_best_result().metrics == best.metrics


def test_grids_samples_nested_spaces_objects_and_functions_of_other_values(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> dict[str, Any]:
        assert config["net"]["twice"] == 2 * config["net"]["width"]
        assert config["act"] in (math.sin, math.cos)
        assert config["constant"] == {"a": [1, 2]}
        assert isinstance(config["steps"], int)
        return {"loss": config["act"](config["net"]["width"])}

    grid = fit(
        train, tmp_path, num_samples=2,
        param_space={
            "net": {
                "width": tune.grid_search([8, 16, 32]),
                "twice": tune.sample_from(lambda spec: 2 * spec.config.net.width),
            },
            "act": tune.choice([math.sin, math.cos]),
            "constant": {"a": [1, 2]},
            "steps": tune.qlograndint(8, 64, 8),
            "noise": tune.randn(0, 1),
        },
    )  # fmt: skip
    assert (len(grid), grid.num_errors) == (6, 0), grid.errors
    assert [result.config["net"]["width"] for result in grid] == [8, 16, 32] * 2


def test_the_same_seed_gives_the_same_configs_and_another_one_others(tmp_path: Path) -> None:
    few = {"num_samples": 2, "max_concurrent_trials": 1}
    drawn = [
        [result.config["x"] for result in fit(parabola, tmp_path, seed=seed, **few)]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1]
    assert not set(drawn[1]) & set(drawn[2])
    assert {path.name for path in tmp_path.iterdir()} == {"parabola", "parabola-2", "parabola-3"}


class Counter(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.total = 0

    def step(self) -> dict[str, Any]:
        self.total += 1
        return {"loss": self.config["x"] / self.total, "done": self.total == 9}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"total": self.total}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.total = checkpoint["total"]


def test_a_class_runs_to_where_stop_says_and_leaves_checkpoints(tmp_path: Path) -> None:
    grid = fit(
        Counter, tmp_path, stop={"training_iteration": 6},
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=2, num_to_keep=2),
    )  # fmt: skip
    assert [result.metrics["training_iteration"] for result in grid] == [6] * 4
    for result in grid:
        kept = [metrics["training_iteration"] for _, metrics in result.best_checkpoints]
        assert kept == [4, 6]
        assert Path(result.checkpoint.path).is_dir()


def test_stoppers_end_trials_and_the_experiment(tmp_path: Path) -> None:
    grid = fit(Counter, tmp_path, stop=lambda trial_id, result: result["loss"] < 0.1)
    assert {r.metrics["loss"] < 0.1 or r.metrics["training_iteration"] == 9 for r in grid} == {True}

    class Enough(tune.Stopper):
        seen = 0

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            Enough.seen += 1
            return False

        def stop_all(self) -> bool:
            return Enough.seen >= 8

    grid = fit(Counter, tmp_path, stop=Enough(), num_samples=50)
    assert len(grid) < 50


def test_tune_s_asha_stops_and_so_does_ours(tmp_path: Path) -> None:
    from raysweep import tune as ours

    for scheduler in (
        AsyncHyperBandScheduler(max_t=9, grace_period=1, reduction_factor=3),
        ours.PromotionASHAScheduler(max_t=9, reduction_factor=3),
    ):
        grid = fit(Counter, tmp_path, scheduler=scheduler, num_samples=9)
        steps = [result.metrics["training_iteration"] for result in grid]
        assert max(steps) == 9
        assert min(steps) < 9
        assert grid.num_errors == 0


def test_tune_s_searchers_are_hosted_and_a_limiter_is_respected(tmp_path: Path) -> None:
    searcher = ConcurrencyLimiter(OptunaSearch(seed=1), max_concurrent=2)
    grid = fit(parabola, tmp_path, search_alg=searcher, num_samples=8)
    assert (len(grid), grid.num_errors) == (8, 0)
    attempts = grid.results.attempts.sort_values("started_at")
    moments = sorted(
        [(at, 1) for at in attempts["started_at"]] + [(at, -1) for at in attempts["ended_at"]]
    )
    running, most = 0, 0
    for _, change in moments:
        running += change
        most = max(most, running)
    assert most <= 2


def test_our_searchers_and_points_to_evaluate(tmp_path: Path) -> None:
    from raysweep import tune as ours

    assert len(fit(parabola, tmp_path, search_alg=ours.SobolSearch(), num_samples=3)) == 3
    known = BasicVariantGenerator(points_to_evaluate=[{"x": 0.25}])
    assert fit(parabola, tmp_path, search_alg=known, num_samples=1)[0].config == {"x": 0.25}


def test_a_trial_that_fails_is_retried_as_often_as_was_said(tmp_path: Path) -> None:
    def fails(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"loss": 1.0}
        raise ValueError("no luck")

    grid = fit(fails, tmp_path, failure_config=tune.FailureConfig(max_failures=2), num_samples=1)
    assert grid.num_errors == 1
    with pytest.raises(tune.TuneError, match="no luck"):
        raise grid.errors[0]
    assert int(grid.results.trials["attempts"].iloc[0]) == 3
    assert grid[0].metrics["loss"] == 1.0


def test_fail_fast_ends_the_sweep(tmp_path: Path) -> None:
    def fails(config: dict[str, Any]) -> None:
        raise ValueError("no luck")

    grid = fit(fails, tmp_path, failure_config=tune.FailureConfig(fail_fast=True), num_samples=99)
    assert 1 <= len(grid) < 20


def test_no_metric_is_fine(tmp_path: Path) -> None:
    grid = fit(lambda config: {"anything": 1}, tmp_path, metric=None, mode=None, num_samples=2)
    assert [result.metrics["anything"] for result in grid] == [1, 1]
    with pytest.raises(ValueError, match="no metric is known"):
        grid.get_best_result()
    with pytest.raises(RuntimeError, match=r"no trial has reported 'lost'.*anything"):
        grid.get_best_result("lost", "min")


def test_scopes_of_the_best_result(tmp_path: Path) -> None:
    def curve(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for value in config["values"]:
            yield {"loss": value}

    curves = [[1.0, 1.0, 5.0], [4.0, 4.0, 4.0], [6.0, 6.0, 0.5, math.nan]]
    space = {"values": tune.grid_search(curves)}
    grid = fit(curve, tmp_path, param_space=space, num_samples=1)
    by = {
        scope: curves.index(grid.get_best_result(scope=scope).config["values"])
        for scope in ("last", "all", "avg", "last-5-avg")
    }
    assert by == {"last": 1, "all": 2, "avg": 0, "last-5-avg": 0}
    with pytest.raises(ValueError, match="scope is 'best'; choose one of last, all"):
        grid.get_best_result(scope="best")


def test_a_restored_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    searcher = lambda: OptunaSearch(seed=3)  # noqa: E731 - a fresh one each time
    config = lambda n: tune.TuneConfig(  # noqa: E731
        metric="loss", mode="min", num_samples=n, search_alg=searcher()
    )
    run = tune.RunConfig(storage_path=str(tmp_path), name="again", verbose=0)
    space = {"x": tune.uniform(0, 1)}
    whole = raysweep.Tuner(parabola, param_space=space, tune_config=config(6), run_config=run).fit()
    path = whole.experiment_path
    assert raysweep.Tuner.can_restore(path)
    assert not raysweep.Tuner.can_restore(tmp_path / "nowhere")
    with pytest.raises(SpecError, match="the sweep has space"):
        raysweep.Tuner.restore(
            path, parabola, param_space={"y": tune.uniform(0, 1)}, tune_config=config(6)
        )
    with pytest.raises(SpecError, match=r"resume_errored=True.*max_failures"):
        raysweep.Tuner.restore(path, parabola, resume_errored=True)
    restored = raysweep.Tuner.restore(path, parabola, param_space=space, tune_config=config(6))
    assert len(restored.get_results()) == 6
    assert [r.config for r in restored.fit()] == [r.config for r in whole]


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"scheduler": PopulationBasedTraining(hyperparam_mutations={"x": [1, 2]})}, SpecError, "PopulationBasedTraining"),
        ({"scheduler": 7}, SpecError, "scheduler is a int"),
        ({"search_alg": 7}, SpecError, "search_alg is a int"),
        ({"mode": None}, SpecError, "which way loss is better"),
        ({"num_samples": 0}, SpecError, "num_samples is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_starts(
    tmp_path: Path, settings: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        fit(parabola, tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_trainables_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no trainable"):
        raysweep.Tuner()
    with pytest.raises(TrainableError, match="no trainable is registered as 'nobody'"):
        fit("nobody", tmp_path)
