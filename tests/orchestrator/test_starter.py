"""What `raysweep init` writes runs as it is, and never takes the place of anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysweep.orchestrator.cli import app
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.starter import write_starter
from raysweep.trainables.base import Trainable
from raysweep.trainables.load import ModuleCode
from raysweep.trials.errors import SpecError
from raysweep.trials.streams import Stream


def begin(spec: SweepSpec, config: dict[str, Any]) -> Trainable:
    trainable = ModuleCode(spec.trainable, str(spec.folder)).load()()
    trainable.seed = 7
    trainable.setup(config)
    return trainable


def test_the_starter_is_valid_and_trains(tmp_path: Path) -> None:
    write_starter(tmp_path)
    assert CliRunner().invoke(app, ["validate", str(tmp_path / "sweep.yaml")]).exit_code == 0
    spec = SweepSpec.from_yaml(tmp_path / "sweep.yaml")
    trainable = begin(spec, {"lr": 0.3, "optimizer": "rmsprop", "hidden": 16})
    losses = [(trainable.step() or {})["val_loss"] for _ in range(9)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("number", range(2))
def test_the_starter_goes_on_from_a_checkpoint_as_if_never_paused(
    tmp_path: Path, number: int
) -> None:
    write_starter(tmp_path)
    spec = SweepSpec.from_yaml(tmp_path / "sweep.yaml")
    config = spec.parsed_space.sample(Stream(number, "t000000", "ask"))
    straight = begin(spec, config)
    rows = [straight.step() for _ in range(4)]
    paused = begin(spec, config)
    for _ in range(2):
        paused.step()
    folder = tmp_path / "saved"
    folder.mkdir()
    paused.save(folder)
    resumed = begin(spec, config)
    resumed.step_number = 2
    resumed.load(folder)
    assert [resumed.step(), resumed.step()] == rows[2:]


@pytest.mark.parametrize("name", ["sweep.yaml", "train.py"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SpecError, match=rf"{name} is there already"):
        write_starter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    result = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert result.exit_code == 2
    assert (tmp_path / name).read_text() == "mine"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "train.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(SpecError, match=r"train\.py is there already"):
        write_starter(tmp_path)


def test_init_makes_the_folder_and_says_what_to_do_next(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path / "a" / "b")])
    assert result.exit_code == 0
    assert "raysweep run" in result.stdout
    assert (tmp_path / "a" / "b" / "train.py").is_file()
