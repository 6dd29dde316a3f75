from __future__ import annotations

import json
import os
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


def test_delete_follows_no_link_of_a_trials_folder(tmp_path: Path) -> None:
    outside, sweep = tmp_path / "outside", tmp_path / "sweep"
    precious = outside / "1-1" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("x")
    (sweep / "checkpoints").mkdir(parents=True)
    (sweep / "checkpoints" / "t1").symlink_to(outside)
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        delete_checkpoint(sweep, "checkpoints/t1/1-1")
    assert precious.exists()


def test_a_link_in_the_place_of_a_checkpoint_goes_and_what_it_leads_to_stays(
    tmp_path: Path,
) -> None:
    sweep, outside = tmp_path / "sweep", tmp_path / "outside"
    (outside / "precious").mkdir(parents=True)
    link = sweep / "checkpoints/t1/1-1"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    delete_checkpoint(sweep, "checkpoints/t1/1-1")
    assert not link.is_symlink()
    assert (outside / "precious").exists()


def test_checkpoints_as_a_whole_may_be_a_link_to_a_larger_disk(tmp_path: Path) -> None:
    """Red before: `refusing to delete`, at every resume."""
    sweep, big = tmp_path / "sweep", tmp_path / "big"
    sweep.mkdir()
    big.mkdir()
    (sweep / "checkpoints").symlink_to(big)
    path = write_checkpoint(sweep, "t000001", 1, 1, _save)
    verify_checkpoint(sweep / path)
    delete_checkpoint(sweep, path)
    assert list((big / "t000001").iterdir()) == []


@pytest.mark.parametrize("what", ["file", "fifo", "dangling"])
def test_delete_takes_away_whatever_stands_in_its_place(tmp_path: Path, what: str) -> None:
    place = tmp_path / "checkpoints/t1/1-1"
    place.parent.mkdir(parents=True)
    make = {
        "file": lambda: place.write_text("x"),
        "fifo": lambda: os.mkfifo(place),
        "dangling": lambda: place.symlink_to(place),
    }
    make[what]()
    delete_checkpoint(tmp_path, "checkpoints/t1/1-1")
    assert list(place.parent.iterdir()) == []


def test_no_checkpoint_is_written_through_a_link(tmp_path: Path) -> None:
    """Red before: it was written outside of the sweep."""
    sweep, outside = tmp_path / "sweep", tmp_path / "outside"
    outside.mkdir()
    (sweep / "checkpoints").mkdir(parents=True)
    (sweep / "checkpoints/t1").symlink_to(outside)
    with pytest.raises(CheckpointError, match=r"link .*checkpoints as a whole"):
        write_checkpoint(sweep, "t1", 1, 1, _save)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("vandalism", ["file", "fifo", "link"])
def test_whatever_a_trial_leaves_in_the_way_is_no_checkpoint(
    tmp_path: Path, vandalism: str
) -> None:
    home = tmp_path / "checkpoints/t1"
    home.mkdir(parents=True)
    for name in ("1-1", "1-1.tmp"):
        place = home / name
        if vandalism == "file":
            place.write_text("x")
        elif vandalism == "fifo":
            os.mkfifo(place)
        else:
            place.symlink_to(tmp_path)
    verify_checkpoint(tmp_path / write_checkpoint(tmp_path, "t1", 1, 1, _save))


def test_a_folder_that_is_a_file_is_a_checkpoint_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("x")
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_checkpoint(tmp_path, "t1", 1, 1, _save)


def test_torch_files_carry_tensors_but_no_code(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_torch({"w": torch.ones(3), "epoch": 4}, tmp_path / "a.pt")
    assert load_torch(tmp_path / "a.pt")["epoch"] == 4
    save_torch({"run": pytest.raises}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="save state dicts and plain data only"):
        load_torch(tmp_path / "b.pt")
