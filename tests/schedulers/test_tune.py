"""Our schedulers inside stock Ray Tune, and what they rely on in it."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.basic_variant import BasicVariantGenerator

from raysweep.cluster.session import Session
from raysweep.schedulers.tune import PromotionASHAScheduler
from raysweep.schedulers.tune_ledger import Answer
from raysweep.schedulers.tune_room import give_back, room, take_again


def test_answers_are_tunes_words() -> None:
    assert {answer.value for answer in Answer} < {
        TrialScheduler.CONTINUE, TrialScheduler.PAUSE, TrialScheduler.STOP, TrialScheduler.NOOP,
    }  # fmt: skip


class Two(Searcher):  # type: ignore[misc]
    """Gives a config whenever it is asked; hears of pauses."""

    def __init__(self) -> None:
        super().__init__("loss", "min")
        self.heard: list[str] = []

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return {"x": 1.0}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self.heard.append(f"complete {trial_id}")

    def on_pause(self, trial_id: str) -> None:
        self.heard.append(f"pause {trial_id}")


def test_a_paused_trial_makes_room_under_tunes_own_limiter() -> None:
    """ConcurrencyLimiter keeps `live_trials`; what it does not count, it tells its searcher not of."""
    inner = Two()
    limiter = ConcurrencyLimiter(inner, max_concurrent=1)
    assert limiter.suggest("a") == {"x": 1.0}
    assert limiter.suggest("b") is None
    assert room(limiter) == 0
    give_back(limiter, "a")
    assert room(limiter) == 1
    assert limiter.suggest("b") == {"x": 1.0}
    take_again(limiter, "a")
    limiter.on_trial_complete("a")
    limiter.on_trial_complete("b")
    assert inner.heard == ["pause a", "complete a", "complete b"]
    assert room(limiter) == 1
    assert limiter.num_unfinished_live_trials == 0


def test_a_paused_trial_makes_room_under_max_concurrent_trials_of_random_search() -> None:
    search = BasicVariantGenerator(max_concurrent=2)
    assert search._live_trials == set(), "Ray has moved it: tune_room and ray_names name it"
    search._live_trials.update({"a", "b"})
    assert room(search) == 0
    give_back(search, "a")
    assert room(search) == 1
    take_again(search, "a")
    assert room(search) == 0
    assert room(BasicVariantGenerator()) == math.inf


def train(config: dict[str, Any]) -> None:
    """Without checkpoints: after a pause it starts from scratch."""
    for step in range(1, 10):
        if config["x"] == 3:
            raise RuntimeError("a failure of the user's code")
        if config["x"] == 4:
            tune.report({"other": 1.0})
        else:
            tune.report({"loss": math.nan if config["x"] == 5 else config["x"] + 1 / step})


@pytest.mark.ray
def test_bad_trials_cost_themselves_and_fit_returns(
    ray_cluster: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One raises, one lacks the metric, one reports NaN; the limit is smaller than any rung."""
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "0")
    results = tune.Tuner(
        train,
        param_space={"x": tune.grid_search(list(range(6)))},
        tune_config=tune.TuneConfig(
            scheduler=PromotionASHAScheduler(
                metric="loss", mode="min", max_t=4, reduction_factor=2
            ),
            reuse_actors=True,
            max_concurrent_trials=3,
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="bad", verbose=0),
    ).fit()
    came = {r.config["x"]: r.metrics.get("training_iteration", 0) for r in results}
    assert results.num_errors == 1
    assert came[0] == 4
    assert came[4] == came[5] == 1, "stopped at the first rung"
    assert Counter(came.values())[1] >= 3
