"""Which metrics Tune's trainables named with a slash, as Lightning does: "ptl/val_loss".

Tables name a metric by its groups joined with "/", so that `{"a/b": 1}` and `{"a": {"b": 1}}` are
one column. Stock Tune gives both back as they were reported; so does raysweep, by what is noted
here. A note is a small file of names in `artifacts/.names/`, written by a trial's process before
its report leaves it and called after what it holds, so that equal notes are one file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

FOLDER = ".names"
"""Beside the trials' own folders."""
_DEEPEST = 16

Place = tuple[str, ...]
"""The groups that lead to a metric, and its name in the last of them."""


class NameNotes:
    """The writer's side, one for each trial.

    Args:
        artifacts: where the trials' folders are.
        trial: the trial's id.
    """

    def __init__(self, artifacts: Path, trial: str) -> None:
        self._folder, self._trial = artifacts / FOLDER, trial
        self._noted: set[Place] = set()

    def note(self, row: Mapping[Any, Any]) -> None:
        """Keep the places of the row whose names hold a slash; what was noted costs nothing more."""
        new = set(_slashed(row)) - self._noted
        if not new:
            return
        self._noted |= new
        data = json.dumps(sorted(new)).encode("utf-8", "backslashreplace")
        file = self._folder / f"{blake2b(data, digest_size=12).hexdigest()}.json"
        with suppress(OSError):  # the report is worth more than the form of its names
            if not file.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                part = self._folder / f"{self._trial}.part"
                part.write_bytes(data)
                part.replace(file)


class ReportedNames:
    """The reader's side: flat metrics as they were reported.

    A name that one trial reports with a slash and another one as a group is given back with the
    slash throughout the sweep.

    Args:
        artifacts: where the trials' folders are.
    """

    def __init__(self, artifacts: Path) -> None:
        self._folder = artifacts / FOLDER
        self._read: set[str] = set()
        self._places: dict[str, Place] = {}

    def as_reported(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """`metrics` by their keys and in their groups; flat where a name is a value and a group."""
        if any("/" in name and name not in self._places for name in metrics):
            self._look()
        tree: dict[str, Any] = {}
        for name, value in metrics.items():
            if not _put(tree, self._places.get(name) or tuple(name.split("/")), value):
                return dict(metrics)
        return tree

    def _look(self) -> None:
        """Read the notes that have come since the last time."""
        for file in sorted(self._folder.glob("*.json")):
            if file.name not in self._read:
                self._read.add(file.name)
                self._places.update(("/".join(place), place) for place in _parsed(file))


def _slashed(row: Mapping[Any, Any], above: Place = ()) -> Iterator[Place]:
    for name, value in row.items():
        if not isinstance(name, str):
            continue
        place = (*above, name)
        if isinstance(value, Mapping):
            if len(place) <= _DEEPEST:
                yield from _slashed(value, place)
        elif any("/" in part for part in place):
            yield place


def _put(tree: dict[str, Any], place: Place, value: Any) -> bool:
    """Put a value into its group; False if the name of a group or its own is taken."""
    *groups, last = place
    group: Any = tree
    for part in groups:
        group = group.setdefault(part, {})
        if not isinstance(group, dict):
            return False
    if last in group:
        return False
    group[last] = value
    return True


def _parsed(file: Path) -> list[Place]:
    """The places in a note; none of one that was damaged, which costs the form of some names."""
    try:
        places = json.loads(file.read_text(encoding="utf-8"))
        return [tuple(str(part) for part in place) for place in places if place]
    except (OSError, ValueError, TypeError):
        return []
