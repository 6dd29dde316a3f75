"""Rules without a Tune name of their own, by their name in the catalogue, under Tune's call order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raysweep.schedulers.tune import TuneScheduler
from raysweep.trials.errors import SpecError
from tests.schedulers.fake_tune import FakeTrial, FakeTune


def fit(folder: Path, name: str, mode: str = "min", **options: Any) -> dict[int, int]:
    """Nine trials one after the other; how far each came.

    The loss of trial n falls to n by step 4 and no further; the accuracy is its negative.
    """

    def train(number: int, iteration: int) -> Mapping[str, Any]:
        loss = float(number + max(0, 4 - iteration))
        return {"loss": loss, "accuracy": -loss}

    metric = "loss" if mode == "min" else "accuracy"
    scheduler = TuneScheduler(name, options, metric=metric, mode=mode)
    fake = FakeTune(scheduler, train, folder=folder, slots=1, length=12).fit()
    assert all(trial.status == FakeTrial.TERMINATED for trial in fake.trials)
    far: dict[int, int] = {}
    for number, iteration, _ in fake.reports:
        far[number] = max(far.get(number, 0), iteration)
    return far


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_bound_is_in_the_metrics_own_unit(tmp_path: Path, mode: str) -> None:
    """At step 5 trial n is at n: those above 3.5, or below −3.5, end."""
    bound = {"upper": 3.5} if mode == "min" else {"lower": -3.5}
    far = fit(tmp_path, "threshold", mode, grace_period=5, **bound)
    assert far == {**dict.fromkeys(range(4), 12), **dict.fromkeys(range(4, 9), 5)}


def test_a_bound_needs_the_mode_at_once() -> None:
    with pytest.raises(SpecError, match="threshold: its bounds are in the metric's unit"):
        TuneScheduler("threshold", {"upper": 1.0}, metric="loss")


@pytest.mark.parametrize(
    ("unit", "key"), [("seconds", "'time_total_s'"), ("cents", "'time_total_s'"), ("n", "'n'")]
)
def test_units_are_refused_where_no_device_is_known(unit: str, key: str) -> None:
    with pytest.raises(SpecError, match=f"asha: unit '{unit}' is raysweep's own.* time_attr={key}"):
        TuneScheduler("asha", {"max_t": 9, "unit": unit}, metric="loss", mode="min")
    TuneScheduler("asha", {"max_t": 9, "unit": "steps"}, metric="loss", mode="min")


def test_patience_runs_out_so_many_steps_after_the_last_improvement(tmp_path: Path) -> None:
    """It is at step 4."""
    assert set(fit(tmp_path, "patience", patience=3).values()) == {7}


def test_a_plateau_ends_a_trial(tmp_path: Path) -> None:
    """Without smoothing, step 6 is the first that is no better than two steps before."""
    assert set(fit(tmp_path, "plateau", window=2, smoothing=0.0).values()) == {6}


def test_a_percentile_of_those_before(tmp_path: Path) -> None:
    """0, 1, 2 run on; at 50 % the next ones, which are worse than those, end."""
    far = fit(tmp_path, "percentile", percentile=50, grace_period=2)
    assert far == {**dict.fromkeys(range(3), 12), **dict.fromkeys(range(3, 9), 2)}


def test_pasha_goes_no_further_than_it_must(tmp_path: Path) -> None:
    assert max(fit(tmp_path, "pasha", max_t=9).values()) == 3
