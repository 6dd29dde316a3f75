"""Metrics whose names hold a slash come back as they were reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.trainables.tune_names import FOLDER, NameNotes, ReportedNames
from raysweep.trainables.values import clean


def through(folder: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Each row as one reader gives it back after another process has noted and recorded it."""
    reader = ReportedNames(folder)
    shown = []
    for number, row in enumerate(rows):
        NameNotes(folder, f"t{number}").note(row)
        shown.append(reader.as_reported(clean(row)))
    return shown


def test_slashes_groups_and_both(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"loss": 1.0, "shape": {"x": 1, "y": {"z": 2}}},
        {"ptl/val_loss": 0.5, "a/b": 1, "a": 2},
        {"group": {"val/f1": 1, "plain": 2}, "/odd//": 3, "shape": {"x": 1}},
        {"x/y": {"z": 1}},
    ]
    assert through(tmp_path, *rows) == rows


def test_equal_notes_are_one_file_and_groups_alone_need_none(tmp_path: Path) -> None:
    NameNotes(tmp_path, "t0").note({"loss": 1.0, "shape": {"x": 1}, 7: {"a/b": 1}})
    assert not (tmp_path / FOLDER).exists() or not list((tmp_path / FOLDER).iterdir())
    for trial in range(20):
        notes = NameNotes(tmp_path, f"t{trial}")
        for step in range(3):
            notes.note({"val/loss": float(step)})
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_old_sweeps_and_damaged_notes_give_groups(tmp_path: Path) -> None:
    assert ReportedNames(tmp_path).as_reported({"a/b": 1, "c": 2}) == {"a": {"b": 1}, "c": 2}
    NameNotes(tmp_path, "t0").note({"a/b": 1})
    (note,) = (tmp_path / FOLDER).iterdir()
    for damaged in (b"", b"\xff", b"7", b'[7, ["a", 1], []]', b"[" * 9):
        note.write_bytes(damaged)
        assert ReportedNames(tmp_path).as_reported({"a/b": 1}) == {"a": {"b": 1}}


def test_a_name_that_is_a_value_and_a_group_stays_flat(tmp_path: Path) -> None:
    for row in ({"a": 1, "a/b": 2}, {"a/b": 2, "a": 1}, {"a/b": 1, "a/b/c": 2}):
        assert ReportedNames(tmp_path).as_reported(row) == row


def test_a_folder_that_cannot_be_written_costs_no_report(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    NameNotes(tmp_path / "file", "t0").note({"a/b": 1})


NAMES = st.text(st.sampled_from("ab/"), min_size=1, max_size=4)
TREES = st.recursive(
    st.integers(0, 9), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3)
)


@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=4))
def test_whatever_is_reported_comes_back_unless_two_names_are_one(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any]
) -> None:
    leaves = _leaves(row)
    if len(clean(row)) < leaves:
        return
    assert through(tmp_path_factory.mktemp("names"), row) == [row]


def _leaves(tree: Any) -> int:
    return sum(map(_leaves, tree.values())) if isinstance(tree, dict) else 1
