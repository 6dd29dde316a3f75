"""The examples are the first code that a user sees: they are valid, and they do what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysweep.orchestrator.cli import app
from raysweep.orchestrator.spec import SweepSpec
from raysweep.trainables.base import Trainable
from raysweep.trainables.load import ModuleCode

EXAMPLES = Path(__file__).parent.parent / "examples"
SGD = {
    "optimizer": "sgd", "momentum": 0.7, "lr": 0.2, "weight_decay": 1e-4, "width": 32,
    "batch_size": 64,
}  # fmt: skip
ADAM = {"optimizer": "adam", "lr": 0.005, "weight_decay": 1e-4, "width": 32, "batch_size": 64}


@pytest.fixture(autouse=True)
def _own_threads() -> Iterator[None]:
    """The example sets torch's threads for its process, which here is ours."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def begin(config: dict[str, Any], seed: int = 3) -> Trainable:
    spec = SweepSpec.from_yaml(EXAMPLES / "digits.yaml")
    trainable = ModuleCode(spec.trainable, str(spec.folder)).load()()
    trainable.seed = seed
    trainable.setup(config)
    return trainable


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_spec_is_valid(path: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 0, result.stderr


def test_the_digits_space_is_mixed_and_conditional() -> None:
    space = SweepSpec.from_yaml(EXAMPLES / "digits.yaml").parsed_space
    space.check(SGD)
    space.check(ADAM)


def test_the_digits_network_learns() -> None:
    trainable = begin(SGD)
    accuracies = [(trainable.step() or {})["val_accuracy"] for _ in range(9)]
    assert accuracies[-1] > 0.93


@pytest.mark.parametrize("config", [SGD, ADAM], ids=["sgd", "adam"])
def test_a_resumed_trial_reports_what_an_uninterrupted_one_does(
    config: dict[str, Any], tmp_path: Path
) -> None:
    straight = begin(config)
    rows = [straight.step() for _ in range(4)]
    paused = begin(config)
    for _ in range(2):
        paused.step()
    paused.save(tmp_path)
    resumed = begin(config)
    resumed.step_number = 2
    resumed.load(tmp_path)
    assert [resumed.step(), resumed.step()] == rows[2:]


def test_another_seed_gives_other_weights() -> None:
    assert begin(SGD, seed=1).step() != begin(SGD, seed=2).step()
