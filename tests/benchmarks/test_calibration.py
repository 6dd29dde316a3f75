from __future__ import annotations

import numpy as np
import pytest

from benchmarks.calibration import cell, drawn, measure
from raysweep.cluster.recorded import RecordedCurves, Recording, Track
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

SPACE = Space.from_dict({"x": {"uniform": [0.0, 1.0]}})


def made_up(noise: float) -> Recording:
    """Losses x + 2 / √t, and some noise, of 30 steps."""

    def track(config: dict[str, float]) -> Track:
        drawn = Stream(0, "noise", str(config["x"])).generator().normal(size=30)
        loss = config["x"] + 2 / np.sqrt(np.arange(1, 31)) + noise * drawn
        return Track({"loss": loss.tolist()}, [1.0] * 30)

    goal = Goal((("loss", "min"),))
    return Recording("made up", SPACE, goal, 30, RecordedCurves(track), 0.37, 0.87, 30.0)  # type: ignore[arg-type]


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    one, other = drawn(made_up(0.1), 5, 3), drawn(made_up(0.1), 5, 3)
    assert one[0].shape == (5, 30)
    assert one[1].shape == (5, 1)
    assert (one[0] == other[0]).all()
    assert (one[0] != drawn(made_up(0.1), 5, 4)[0]).all()


def test_like_curves_are_forecast_better_than_by_their_last_value() -> None:
    found = cell(made_up(0.01), 60, 1, 25)
    assert found["error"] < found["error_last"] / 3
    assert found["rank"] > 0.95
    assert found["coverage"] >= 0.6
    assert 0 < found["width"] < 0.3


def test_noise_makes_forecasts_wide_and_not_wrong() -> None:
    quiet, noisy = cell(made_up(0.01), 60, 1, 25), cell(made_up(0.3), 60, 1, 25)
    assert noisy["width"] > 3 * quiet["width"]
    assert noisy["coverage"] >= 0.6


def test_a_row_for_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.calibration.recording", lambda task: made_up(0.1))
    found = measure(["a", "b"], [20], 2, [10, 50])
    assert len(found) == 8
    assert set(found["seen"]) == {10, 50}
