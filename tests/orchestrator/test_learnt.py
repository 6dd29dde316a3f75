"""What a sweep's process says of configs that nobody tried, in the metric's own unit."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysweep
from raysweep.orchestrator.learnt import Learnt
from raysweep.searchers.setting import Setting
from raysweep.trials.errors import StoreError
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from tests.orchestrator.cli_sweeps import simulated_sweep

SPACE = Space.from_dict(
    {"x": {"uniform": [0.0, 1.0]}, "idle": {"uniform": [0.0, 1.0]}, "kind": {"choice": ["a", "b"]}}
)


def accuracy(config: dict[str, float]) -> float:
    return 90.0 - 20.0 * (config["x"] - 0.6) ** 2 - 3.0 * (config["kind"] == "b")


@pytest.mark.parametrize("mode", ["max", "min"])
def test_what_it_expects_is_what_the_function_gives(mode: str) -> None:
    sign = 1.0 if mode == "max" else -1.0
    goal = Goal((("accuracy", mode),))  # type: ignore[arg-type]
    configs = [SPACE.sample(Stream(0, "learnt", n)) for n in range(30)]
    found = [(c, goal.score({"accuracy": sign * accuracy(c)})) for c in configs]
    known = Learnt(Setting(SPACE, goal=goal), [*found, (configs[0], WORST)])
    new = [SPACE.sample(Stream(1, "new", n)) for n in range(10)]
    for config, (mean, sd) in zip(new, known.expected(new), strict=True):
        assert mean == pytest.approx(sign * accuracy(config), abs=0.3)
        assert 0.0 < sd < 1.0
    shares = known.relevance()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert list(shares)[-1] == "idle"
    assert min(shares["x"], shares["kind"]) > 2 * shares["idle"]


def test_a_sweep_on_disk(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, name="done")
    known = raysweep.learnt(path)
    best = raysweep.read(path).best()
    assert best is not None
    (expected,) = known.expected([best.config])
    assert expected.mean == pytest.approx(best.value, abs=3 * expected.sd + 0.3)
    assert known.relevance().keys() == {"lr", "optimizer", "momentum"}


def test_too_little_to_learn_from_is_said(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, name="short", budget={"trials": 2})
    with pytest.raises(StoreError, match="2 trials have a finite loss, and 4 are needed"):
        raysweep.learnt(path)
