"""What `verify` has to name beside the records: folders, locks, public tables, snapshot bombs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from raysweep.results import layout
from raysweep.results.verify import verify
from tests.results.test_damage import compacted
from tests.results.test_store import agree
from tests.results.worlds import history


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "s"
    compacted(path)
    return path


def instead(path: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    make(path)


PLACES = (*layout.FOLDERS, "epochs/lock", "epochs/000001.json", "epochs/000001.mark")
OTHERS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to("/dev/null"),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("place", PLACES)
def test_something_else_in_the_place_of_a_file_or_folder_is_named(
    whole: Path, tmp_path: Path, place: str, other: str
) -> None:
    path = shutil.copytree(whole, tmp_path / "s")
    assert verify(path) == []
    instead(path / place, OTHERS[other])
    assert any(str(path / place) in finding.message for finding in verify(path)), verify(path)


def test_a_flipped_bit_anywhere_in_a_public_table_is_found(whole: Path, tmp_path: Path) -> None:
    path = shutil.copytree(whole, tmp_path / "s")
    for name in ("trials.parquet", "attempts.parquet"):
        content = (path / name).read_bytes()
        for at in range(0, len(content), len(content) // 12):
            data = bytearray(content)
            data[at] ^= 8
            (path / name).write_bytes(data)
            assert [f.message for f in verify(path) if name in f.message], at
        (path / name).write_bytes(content)
    assert verify(path) == []


def test_a_public_table_of_the_snapshot_before_is_fine(whole: Path, tmp_path: Path) -> None:
    """A driver that died between the snapshot and the second name of its tables leaves this."""
    path = shutil.copytree(whole, tmp_path / "s")
    shutil.copy(path / "snapshot" / "000000000060.trials.parquet", path / "trials.parquet")
    assert verify(path) == []


@pytest.mark.timeout(30)
def test_a_snapshot_that_unpacks_to_far_more_than_it_has_is_refused_early(
    whole: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(whole, tmp_path / "s")
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packer:
        for _ in range(192):
            packer.write(b"0" * (1 << 24))  # 3 GiB
    (path / "snapshot" / "000000000090.json.zst").write_bytes(sink.getvalue())
    begun = time.process_time()
    assert any("000000000090.json.zst" in finding.message for finding in verify(path))
    assert time.process_time() - begun < 6
    agree(path, history(2, 120))
