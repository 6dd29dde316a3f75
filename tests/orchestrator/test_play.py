"""A spec on recorded curves: the recorded seconds pass, and each recorded config runs once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysweep.cluster.recorded import Recording
from raysweep.cluster.recordings import recording
from raysweep.orchestrator.play import on_recording, play
from raysweep.orchestrator.spec import SweepSpec
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Event, Suggested
from tests.benchmarks.tables import write_taskset
from tests.orchestrator.cli_sweeps import SPEC


@pytest.fixture
def on(tmp_path: Path) -> Recording:
    """Twelve configs; config c ends at a loss of c + 1, and is ahead of those behind it always."""
    loss = np.tile(np.linspace(2.0, 1.0, 51), (12, 1)) + np.arange(12)[:, None]
    return recording(write_taskset(tmp_path, loss), tmp_path)


def spec(on: Recording, **changes: Any) -> SweepSpec:
    written = {**SPEC, "searcher": "random", "scheduler": "fifo", "budget": {"trials": 100}}
    return on_recording(SweepSpec.from_dict(written | changes), on)


def test_space_goal_and_nothing_else_come_from_the_recording(on: Recording) -> None:
    placed = spec(on, scheduler={"name": "asha", "max_t": 9})
    assert placed.parsed_space.dims == on.space.dims
    assert (placed.metric, placed.mode) == ("loss", "min")
    assert placed.scheduler["max_t"] == 9
    assert placed.budget.trials == 100


def test_a_spec_that_names_its_own_parameters_is_refused(on: Recording) -> None:
    with pytest.raises(SpecError, match=r"small on taskset:small.*lr: no such parameter"):
        spec(on, searcher={"name": "random", "points_to_evaluate": [{"lr": 0.01}]})


def test_every_config_runs_once_in_its_recorded_time(on: Recording) -> None:
    tried: list[int] = []

    def observe(event: Event, verdicts: object) -> None:
        if isinstance(event, Suggested):
            tried.append(event.config["recorded/row"])

    found = play(spec(on), on, workers=4, observe=observe)
    assert sorted(tried) == list(range(12))
    assert tried != sorted(tried)
    # 12 trials of 50 steps of a second on 4 workers
    assert (found.steps, found.at_s, found.busy_s, found.occupancy) == (600, 150.0, 600.0, 1.0)
    assert found.best is not None
    assert (found.best.score, found.best.step) == (1.0, 50)
    assert found.best_at_s in (50.0, 100.0, 150.0)


def test_in_order_they_come_as_they_stand(on: Recording) -> None:
    tried: list[int] = []

    def observe(event: Event, verdicts: object) -> None:
        if isinstance(event, Suggested):
            tried.append(event.config["recorded/row"])

    play(spec(on, searcher="tpe"), on, workers=3, in_order=True, observe=observe)
    assert tried == list(range(12))


def test_setup_and_spread_pass_in_the_simulation(on: Recording) -> None:
    assert play(spec(on), on, workers=12, setup_s=7.0).at_s == 57.0
    assert play(spec(on), on, workers=12, step_sigma=0.5).at_s > 50.0
    with pytest.raises(SpecError, match="workers is 0; it must be 1 or more"):
        play(spec(on), on, workers=0)


def test_the_same_seed_plays_the_same(on: Recording) -> None:
    asha = {"name": "asha", "max_t": 27}
    first, again = (play(spec(on, scheduler=asha, searcher="tpe"), on, workers=3) for _ in range(2))
    assert first == again
