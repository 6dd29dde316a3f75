from __future__ import annotations

import numpy as np
import pytest

from raysweep.results.tune_facts import columns_of, config_of, failure_of, metrics_of


def test_configs_and_metrics_become_plain() -> None:
    assert config_of(
        {"a": {"b": (1, 2)}, "f": np.tanh, "n": float("nan"), "e": {}, "x": "y" * 2000}
    ) == {
        "a/b": [1, 2],
        "f": "tanh",
        "n": "nan",
        "e": {},
    }
    result = {"loss": np.float64(1), "deep": {"er": 2}, "array": np.zeros(3), "pid": 3, "l": [1]}
    assert metrics_of(result) == {"loss": 1.0, "deep/er": 2, "l": [1]}


def test_columns_hold_what_later_trials_may_bring() -> None:
    configs = [{"a": 1, "b": True, "c": "x", "d": None, "e": 1}, {"a": 0.5, "e": "auto", "f": [1]}]
    assert columns_of(configs) == {
        "a": "float64", "b": "bool", "c": "string", "d": "json", "e": "json", "f": "json"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", "error", "unknown"),
        ("Failure # 1 (x)\nValueError: a\n", "error", "ValueError: a"),
        ("Failure # 1 (x)\nValueError\nFailure # 2 (x)\nray.exceptions.ActorDiedError: d", "crash",
         "ray.exceptions.ActorDiedError: d"),
    ],
)  # fmt: skip
def test_failures_are_read_from_tunes_error_file(text: str, error: str, message: str) -> None:
    assert failure_of(text)[:2] == (error, message)
