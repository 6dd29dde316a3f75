"""Whether the checkpoints of a sweep are those that were written: what `raysweep verify` adds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from raysweep.results.audit import Finding
from raysweep.trainables.checkpoint import FOLDER, is_checkpoint, verify_checkpoint
from raysweep.trials.errors import CheckpointError
from raysweep.trials.trial import Status

if TYPE_CHECKING:
    from raysweep.results.read import Results


def damaged_checkpoints(results: Results) -> Iterator[Finding]:
    """What is wrong with the checkpoints, each file read and compared with its SHA-256.

    Every folder that is there must be whole, and the last checkpoint on record of each trial that
    was neither stopped nor has failed must be there. A link at `checkpoints/` itself is followed.
    """
    home = results.path / FOLDER
    here = _entries(home)
    rows = results.arrow("trials").select(["trial_id", "status", "checkpoint"]).to_pylist()
    for row in rows:
        path = row["checkpoint"]
        ours = path is not None and path.startswith(f"{FOLDER}/") and ".." not in path
        kept = row["status"] == Status.COMPLETED or (
            not (here or Status(row["status"]).terminal)  # else `results.verify` looks at those
        )
        if ours and kept:
            folder = results.path / path
            if not folder.exists() and not folder.is_symlink():
                what = (
                    f"trial {row['trial_id']} ({row['status']}): its checkpoint {path} is missing"
                )
                yield Finding("I15", what)
    for trial in here:
        if trial.is_symlink() or not trial.is_dir():
            yield Finding("I15", f"{FOLDER}/{trial.name} is no folder of a trial's checkpoints")
            continue
        for folder in _entries(trial):
            if folder.name.endswith(".tmp"):
                continue  # being written, or left by a process that died
            if not is_checkpoint(f"{FOLDER}/{trial.name}/{folder.name}"):
                yield Finding(
                    "I15", f"{FOLDER}/{trial.name}/{folder.name} is no checkpoint of ours"
                )
                continue
            try:
                verify_checkpoint(folder)
            except (CheckpointError, OSError) as error:
                yield Finding("I15", str(error))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
