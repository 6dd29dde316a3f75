from __future__ import annotations

import json
import math

from raysweep.trials.tune_result import pack, tune_result, unpack


def test_a_result_is_flat_and_carries_step_trial_and_config() -> None:
    result = tune_result("t000001", 3, {"loss": 0.5, "eval/acc": 1}, {"net/width": 8}, done=True)
    assert result == {
        "training_iteration": 3, "loss": 0.5, "eval/acc": 1, "trial_id": "t000001", "done": True,
        "config/net/width": 8,
    }  # fmt: skip


def test_the_user_s_own_step_wins_and_what_a_step_lacks_is_left_out() -> None:
    result = tune_result("t", 3, {"training_iteration": 30, "loss": None})
    assert result == {"training_iteration": 30, "trial_id": "t", "done": False}


def test_strict_json_carries_every_metric() -> None:
    metrics = {"a": math.nan, "b": -math.inf, "c": 1, "d": [1, 2], "e": "nan", "f": True}
    read = unpack(json.loads(json.dumps(pack(metrics), allow_nan=False)))
    assert math.isnan(read.pop("a"))
    assert read == {name: value for name, value in metrics.items() if name != "a"}
