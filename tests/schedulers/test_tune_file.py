from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from raysweep.schedulers.tune_file import NAME, StateFile
from raysweep.trials.clock import ManualClock


def storage(folder: Path, filesystem: Any = None) -> SimpleNamespace:
    """Tune's storage context: where the experiment is kept, and where the driver stages it."""
    return SimpleNamespace(
        storage_filesystem=filesystem or LocalFileSystem(),
        experiment_fs_path="run" if filesystem else str(folder / "kept" / "run"),
        experiment_driver_staging_path=str(folder / "staged"),
    )


def test_what_was_written_is_found_by_the_next_run(tmp_path: Path) -> None:
    first, second = StateFile(), StateFile()
    assert first.locate(storage(tmp_path)) is None
    first.write(1, {"a": [1, 2.5, None]})
    assert second.locate(storage(tmp_path)) == {"format": 1, "a": [1, 2.5, None]}
    assert [path.name for path in (tmp_path / "kept" / "run").iterdir()] == [NAME]


def test_tune_does_not_carry_its_file_about() -> None:
    """Restoring, Tune copies *.json and *.pkl to the staging folder, and later back over newer ones."""
    assert not NAME.endswith((".json", ".pkl"))


def test_on_other_storage_it_is_staged_for_tune_to_upload(tmp_path: Path) -> None:
    (tmp_path / "bucket" / "run").mkdir(parents=True)
    bucket = SubTreeFileSystem(str(tmp_path / "bucket"), LocalFileSystem())
    file = StateFile()
    assert file.locate(storage(tmp_path, bucket)) is None
    file.write(1, {"a": 1})
    staged = tmp_path / "staged" / NAME
    assert json.loads(staged.read_text())["a"] == 1
    staged.replace(tmp_path / "bucket" / "run" / NAME)  # Tune's upload
    assert StateFile().locate(storage(tmp_path, bucket)) == {"format": 1, "a": 1}


@pytest.mark.parametrize("text", ["", '{"format": 1', "[]", '{"format": 99}', '"text"', "\x00"])
def test_what_cannot_be_read_counts_as_nothing_and_is_logged(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "kept" / "run"
    place.mkdir(parents=True)
    (place / NAME).write_text(text)
    with caplog.at_level(logging.WARNING):
        assert StateFile().locate(storage(tmp_path)) is None
    assert "going by Tune's own record" in caplog.text


def test_writing_takes_a_twentieth_of_the_time_at_most(tmp_path: Path) -> None:
    clock = ManualClock()
    file = StateFile(clock)
    file.locate(storage(tmp_path))
    assert not file.due(0), "nothing has been decided"
    assert file.due(1)
    file.write(1, {})  # takes no time on this clock, and counts as a millisecond
    assert not file.due(1)
    assert not file.due(2)
    clock.sleep(0.0201)
    assert file.due(2)


def test_what_cannot_be_written_is_logged_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    file = StateFile(clock)
    file.locate(storage(tmp_path))
    (tmp_path / "kept").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        file.write(1, {})
    assert "could not be written" in caplog.text
    clock.sleep(1.0)
    assert file.due(1)
    (tmp_path / "kept").unlink()
    file.write(1, {"a": 1})
    assert not file.due(1)
    assert StateFile().locate(storage(tmp_path)) == {"format": 1, "a": 1}


def test_before_it_has_a_place_it_writes_nowhere() -> None:
    file = StateFile()
    assert not file.due(5)
    file.write(5, {"a": 1})
