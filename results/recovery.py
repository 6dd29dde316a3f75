"""From whatever a crash has left to a directory that a driver can go on with.

Everything here may be interrupted and done again: it deletes only what no reader would miss.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from raysweep.results import image, layout
from raysweep.results.image import Image
from raysweep.results.wal import Log
from raysweep.trials.errors import StoreCorrupt


def recover(root: Path, accept_loss: bool = False) -> Image:
    """Clean up behind a dead driver and return what there is.

    Args:
        root: the sweep directory, locked by the caller.
        accept_loss: put aside what is damaged in the log, and go on with what precedes it.

    Raises:
        StoreCorrupt: a part is missing or overlaps, or the log is damaged and that is not accepted.
        StoreFormatError: a newer format.
    """
    found = image.load(root)
    layout.empty_folder(root / layout.TMP)
    _drop_orphans(root, found.compacted)
    _check_siblings(found)
    if found.log.damage is not None:
        if not accept_loss:
            raise StoreCorrupt(
                f"{root}: {found.log.damage}. The records up to LSN {found.lsn} are whole. Restore "
                "the file from a copy, or resume with accept_loss=True (`--accept-loss`), which puts "
                "the damaged file into quarantine/ and goes on from there"
            )
        _quarantine(root, found.log)
    return found


def _drop_orphans(root: Path, compacted: int) -> None:
    """Delete events and decisions whose reports never came: their compaction was cut short."""
    for folder in (layout.EVENTS, layout.DECISIONS):
        for part in layout.list_parts(root, folder):
            if part.last > compacted:
                (root / folder / part.name).unlink(missing_ok=True)


def _check_siblings(found: Image) -> None:
    """Each part of the reports has its events and decisions."""
    for folder in (layout.EVENTS, layout.DECISIONS):
        present = set(layout.list_parts(found.root, folder))
        for part in found.parts:
            if part not in present:
                raise StoreCorrupt(
                    f"{found.root / folder}: {part.name} is missing, which covers LSN "
                    f"{part.first}..{part.last}. Restore it from a copy"
                )


def _quarantine(root: Path, log: Log) -> None:
    """Copy the damaged segment aside, where the next one will seal it, and move what follows it.

    The copy comes first and the moves last, so that a crash in between finds the damage again.
    """
    damaged = log.damage.segment if log.damage else ""
    source, target = root / layout.WAL, root / layout.QUARANTINE
    left = [name for name in dict.fromkeys((damaged, *log.beyond)) if (source / name).is_file()]
    if damaged in left:  # else all of it is gone
        shutil.copyfile(source / damaged, target / damaged)
    for name in left:
        if name not in log.segments:
            (source / name).replace(target / name)
    layout.fsync_dir(target)
    layout.fsync_dir(source)
