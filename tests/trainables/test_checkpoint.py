from __future__ import annotations

import json
from pathlib import Path

import pytest

from raysweep.trainables.checkpoint import (
    MARKER,
    delete_checkpoint,
    load_torch,
    save_torch,
    verify_checkpoint,
    write_checkpoint,
)
from raysweep.trials.errors import CheckpointError


def _save(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"abc" * 1000)
    (folder / "data").mkdir()
    (folder / "data" / "order.txt").write_text("1 2 3")


def test_a_checkpoint_is_whole_and_verifies(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, "t000001", 2, 9, _save)
    assert path == "checkpoints/t000001/2-9"
    verify_checkpoint(tmp_path / path)
    marker = json.loads((tmp_path / path / MARKER).read_text())
    assert marker["files"]["weights.bin"][0] == 3000
    assert (marker["attempt"], marker["step"]) == (2, 9)
    assert sorted(p.name for p in (tmp_path / "checkpoints/t000001").iterdir()) == ["2-9"]


def test_a_save_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def half(folder: Path) -> None:
        _save(folder)
        raise ValueError("disk on fire")

    with pytest.raises(ValueError, match="disk on fire"):
        write_checkpoint(tmp_path, "t000001", 1, 1, half)
    assert list((tmp_path / "checkpoints/t000001").iterdir()) == []


def test_an_orphan_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    orphan = tmp_path / "checkpoints/t000001/1-1"
    orphan.mkdir(parents=True)
    (orphan / "old").write_text("old")
    (orphan.parent / "1-1.tmp").mkdir()
    (orphan.parent / "1-1.tmp" / "half").write_text("half")
    path = write_checkpoint(tmp_path, "t000001", 1, 1, _save)
    verify_checkpoint(tmp_path / path)
    assert not (tmp_path / path / "old").exists()


@pytest.mark.parametrize("trial", ["../x", "", "a/b", ".", "-rf", "t\n"])
def test_only_ids_name_folders(tmp_path: Path, trial: str) -> None:
    with pytest.raises(CheckpointError, match="is no trial id"):
        write_checkpoint(tmp_path, trial, 1, 1, _save)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    def linking(folder: Path) -> None:
        (folder / "passwd").symlink_to("/etc/passwd")

    with pytest.raises(CheckpointError, match="passwd, which is no plain file"):
        write_checkpoint(tmp_path, "t000001", 1, 1, linking)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "weights.bin").write_bytes(b"abd" * 1000), "does not match its SHA-256"),
        (lambda f: (f / "weights.bin").write_bytes(b""), "has 0 bytes instead of 3000"),
        (lambda f: (f / "data/order.txt").unlink(), "lacks data/order.txt"),
        (lambda f: (f / "more").write_text(""), "holds more, which was never saved"),
        (lambda f: (f / MARKER).unlink(), "never completed"),
        (lambda f: (f / MARKER).write_text("{"), "cannot be read"),
        (lambda f: (f / MARKER).write_text('{"format": 9, "files": {}}'), "has format 9"),
    ],
)
def test_damage_is_found(tmp_path: Path, damage: object, message: str) -> None:
    folder = tmp_path / write_checkpoint(tmp_path, "t000001", 1, 1, _save)
    assert callable(damage)
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        verify_checkpoint(folder)


def test_delete_removes_it_and_may_be_repeated(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, "t000001", 1, 1, _save)
    delete_checkpoint(tmp_path, path)
    delete_checkpoint(tmp_path, path)
    assert not (tmp_path / path).exists()


@pytest.mark.parametrize(
    "path",
    ["checkpoints", "checkpoints/t1", "../sweep/checkpoints/t1/1-1", "checkpoints/../1-1",
     "checkpoints/t1/..", "/etc", "checkpoints/t1/1-1/x", "", "tables/t1/1-1"],
)  # fmt: skip
def test_delete_refuses_what_is_no_checkpoint(tmp_path: Path, path: str) -> None:
    with pytest.raises(CheckpointError, match="refusing to delete"):
        delete_checkpoint(tmp_path, path)


@pytest.mark.parametrize("linked", ["checkpoints", "checkpoints/t1", "checkpoints/t1/1-1"])
def test_delete_follows_no_links(tmp_path: Path, linked: str) -> None:
    outside, sweep = tmp_path / "outside", tmp_path / "sweep"
    precious = outside / "t1" / "1-1" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("x")
    link = sweep / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(outside.joinpath(*Path(linked).parts[1:]))
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        delete_checkpoint(sweep, "checkpoints/t1/1-1")
    assert precious.exists()


def test_torch_files_carry_tensors_but_no_code(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_torch({"w": torch.ones(3), "epoch": 4}, tmp_path / "a.pt")
    assert load_torch(tmp_path / "a.pt")["epoch"] == 4
    save_torch({"run": pytest.raises}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="save state dicts and plain data only"):
        load_torch(tmp_path / "b.pt")
