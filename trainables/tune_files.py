"""What a checkpoint of a Tune trainable holds, and how it is written and read.

`checkpoint/` has the user's files; beside it stand `tune.json`, Tune's running totals, and
`dict.json`, what the `save_checkpoint` of a class returned, if that was a plain dict.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.fs
from ray import cloudpickle
from ray.train import Checkpoint

from raysweep.trials.ray_names import private

FILES = "checkpoint"
_TOTALS = "tune.json"
_DICT = "dict.json"
_PICKLE = "ray.tune.trainable.trainable:_DICT_CHECKPOINT_FILE_NAME"


def is_local(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint's files lie in this machine's file system."""
    return isinstance(checkpoint.filesystem, pyarrow.fs.LocalFileSystem)


def copy_files(checkpoint: Checkpoint, target: Path) -> None:
    """Copy what a function reported to `target`, which does not exist yet."""
    if is_local(checkpoint):
        shutil.copytree(checkpoint.path, target)  # what links lead to is copied, too
    else:
        target.mkdir()
        checkpoint.to_directory(target)


def write_totals(totals: dict[str, Any], folder: Path) -> None:
    """Keep the counts that Tune carries on over attempts; plain numbers by name."""
    (folder / _TOTALS).write_text(json.dumps(totals), encoding="utf-8")


def read_totals(folder: Path) -> dict[str, Any]:
    """What `write_totals` kept."""
    totals: dict[str, Any] = json.loads((folder / _TOTALS).read_text(encoding="utf-8"))
    return totals


def write_dict(made: dict[Any, Any], folder: Path) -> None:
    """Keep what `save_checkpoint` returned, as JSON where that brings back the same.

    The user's own objects need a pickle, where Tune puts it and looks for it. Nothing but the
    user's own class, in its trial's process, reads either.
    """
    if is_plain(made):
        (folder / _DICT).write_text(json.dumps(made), encoding="utf-8")
    else:
        (folder / FILES / private(_PICKLE)).write_bytes(cloudpickle.dumps(made))


def read_dict(folder: Path) -> dict[str, Any] | None:
    """What `write_dict` kept as JSON; None if it did not."""
    file = folder / _DICT
    if not file.is_file():
        return None
    saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return saved


def is_plain(value: Any) -> bool:
    """Whether JSON brings back exactly this value, types included."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    if kind is list:
        return all(map(is_plain, value))
    return kind in (bool, int, float, str, type(None))
