"""`raysweep verify` looks into every checkpoint."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raysweep.orchestrator.cli import app
from raysweep.trainables.checkpoint import MARKER, verify_checkpoint
from raysweep.trials.errors import CheckpointError
from tests.orchestrator.cli_sweeps import simulated_sweep


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_sweep(tmp_path_factory.mktemp("whole"), budget={"trials": 6})


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)


def link(path: Path) -> None:
    moved = path.rename(path.with_name(path.name + "-moved"))
    path.symlink_to(moved)


def out(path: Path) -> None:
    path.symlink_to("/etc/hostname")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda folder: flip(folder / "weights.txt"),
    "a file cut to nothing": lambda folder: (folder / "weights.txt").write_text(""),
    "a file deleted": lambda folder: (folder / "weights.txt").unlink(),
    "a foreign file": lambda folder: (folder / "more.txt").write_text("x"),
    "the marker deleted": lambda folder: (folder / MARKER).unlink(),
    "the marker flipped": lambda folder: flip(folder / MARKER),
    "the marker garbage": lambda folder: (folder / MARKER).write_bytes(b"\x80\xff"),
    "the marker null": lambda folder: (folder / MARKER).write_text("null"),
    "the marker a list": lambda folder: (folder / MARKER).write_text("[1]"),
    "a file a link": lambda folder: link(folder / "weights.txt"),
    "a link out": lambda folder: out(folder / "more"),
    "the folder a link": link,
    "the trial's folder a link": lambda folder: link(folder.parent),
    "the folder a file": lambda folder: (shutil.rmtree(folder), folder.write_text("")),
    "the folder emptied": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
    "the folder deleted": shutil.rmtree,
    "all deleted": lambda folder: shutil.rmtree(folder.parent.parent),
    "a stranger beside them": lambda folder: (folder.parent / "mine.txt").write_text(""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_named(whole: Path, tmp_path: Path, damage: str) -> None:
    """Before, none of these was noticed."""
    sweep = shutil.copytree(whole, tmp_path / "small")
    checkpoints = sorted(sweep.glob("checkpoints/*/*"))
    assert CliRunner().invoke(app, ["verify", str(sweep)]).exit_code == 0
    DAMAGES[damage](checkpoints[0])
    result = CliRunner().invoke(app, ["verify", str(sweep)])
    assert result.exit_code == 1, result.output
    assert "I15" in result.output
    assert "checkpoint" in result.output


def test_checkpoints_on_another_disk_are_fine(whole: Path, tmp_path: Path) -> None:
    sweep = shutil.copytree(whole, tmp_path / "small")
    (sweep / "checkpoints").rename(tmp_path / "elsewhere")
    (sweep / "checkpoints").symlink_to(tmp_path / "elsewhere")
    assert CliRunner().invoke(app, ["verify", str(sweep)]).exit_code == 0


def test_a_link_is_not_followed_on_loading(whole: Path, tmp_path: Path) -> None:
    sweep = shutil.copytree(whole, tmp_path / "small")
    folder = sorted(sweep.glob("checkpoints/*/*"))[0]
    link(folder)
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        verify_checkpoint(folder)


def instead(file: Path, make: Callable[[Path], object]) -> None:
    file.unlink()
    make(file)


def link_out(marker: Path) -> None:
    elsewhere = marker.parents[4] / "elsewhere.json"
    marker.rename(elsewhere)
    marker.symlink_to(elsewhere)


MARKERS: dict[str, Callable[[Path], object]] = {
    "a pipe": lambda marker: instead(marker, os.mkfifo),
    "a link out of the sweep": link_out,
    "a directory": lambda marker: instead(marker, Path.mkdir),
    "too deep": lambda marker: marker.write_text("[" * 100_000),
    "empty": lambda marker: marker.write_text(""),
    "files a list": lambda marker: marker.write_text('{"format":1,"files":[1]}'),
    "a file a number": lambda marker: marker.write_text('{"format":1,"files":{"weights.txt":5}}'),
    "UTF-16": lambda marker: marker.write_bytes(marker.read_text().encode("utf-16")),
    "of another attempt": lambda marker: altered(marker, attempt=7),
    "of another step": lambda marker: altered(marker, step=7),
}


def altered(marker: Path, **changes: int) -> None:
    marker.write_text(json.dumps(json.loads(marker.read_text()) | changes))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("damage", MARKERS)
def test_each_damage_of_a_marker_is_named(whole: Path, tmp_path: Path, damage: str) -> None:
    sweep = shutil.copytree(whole, tmp_path / "small")
    folder = sorted(sweep.glob("checkpoints/*/*"))[0]
    MARKERS[damage](folder / MARKER)
    with pytest.raises(CheckpointError):
        verify_checkpoint(folder)
    result = CliRunner().invoke(app, ["verify", str(sweep)])
    assert result.exit_code == 1, result.output
    assert "I15" in result.output


def test_a_flipped_bit_anywhere_in_a_marker_is_named(whole: Path, tmp_path: Path) -> None:
    """Or is without effect: in the blanks that JSON allows, or the case of a letter of a hash."""
    sweep = shutil.copytree(whole, tmp_path / "small")
    folder = sorted(sweep.glob("checkpoints/*/*"))[0]
    marker = folder / MARKER
    content = marker.read_bytes()
    for at in range(len(content)):
        for bit in range(8):
            data = bytearray(content)
            data[at] ^= 1 << bit
            marker.write_bytes(data)
            try:
                verify_checkpoint(folder)
            except CheckpointError:
                continue
            assert json.loads(data) == json.loads(content), (at, bit, bytes(data))


def test_a_checkpoint_is_named_beside_other_damage(whole: Path, tmp_path: Path) -> None:
    sweep = shutil.copytree(whole, tmp_path / "small")
    flip(sorted(sweep.glob("checkpoints/*/*"))[0] / "weights.txt")
    (sweep / "epochs" / "lock").unlink()
    (sweep / "epochs" / "lock").mkdir()
    result = CliRunner().invoke(app, ["verify", str(sweep)])
    assert "I15" in result.output
    assert "I16" in result.output
