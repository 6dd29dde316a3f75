"""Checkpoints on disk: complete or absent, never in between.

A checkpoint is the folder `checkpoints/<trial>/<attempt>-<step>` of the sweep. It is written under
a name ending in `.tmp`, gets a marker with the size and SHA-256 of each file, is fsynced and only
then renamed, so that a folder with its final name is whole whatever was killed when.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raysweep.trials.errors import CheckpointError, NoRoom
from raysweep.trials.filesystems import is_full, named, refuses_writes
from raysweep.trials.trial import TrialId

FOLDER = "checkpoints"
MARKER = "_COMPLETE.json"
_FORMAT = 1
_MOST_MARKER = 1 << 28
_TRIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NAME = re.compile(r"\d+-\d+(\.tmp)?")


def write_checkpoint(
    sweep: Path, trial: TrialId, attempt: int, step: int, save: Callable[[Path], None]
) -> str:
    """Let `save(folder)` fill a new checkpoint; gives its path relative to `sweep`.

    Raises:
        NoRoom: the file system is full, or takes no writes.
        CheckpointError: `trial` is no trial's id, its folder is a link, or the files cannot be
            written. What `save` itself raises passes through; nothing is left behind by it.
    """
    if not _TRIAL.fullmatch(trial):
        raise CheckpointError(f"{trial!r} is no trial id; ids are letters, digits, '_' and '-'")
    name = f"{attempt}-{step}"
    home = sweep / FOLDER / trial
    final, temporary = home / name, home / f"{name}.tmp"
    try:
        home.mkdir(parents=True, exist_ok=True)
        _refuse_link(home)
        _remove(temporary)
        temporary.mkdir()
        save(temporary)
        _complete(temporary, attempt, step)
        _remove(final)  # an orphan of a driver that died before it heard of it
        temporary.rename(final)
        _fsync(home)
    except BaseException as error:
        short = refuses_writes(temporary) or refuses_writes(sweep)  # while the half is there
        _remove_quietly(temporary)
        if isinstance(error, Exception) and (short or is_full(error)):
            raise NoRoom(
                f"checkpoint {final} cannot be written: {short or error} on {named(home)}; make "
                "room there"
            ) from error
        if isinstance(error, OSError):
            raise CheckpointError(
                f"checkpoint {final} cannot be written: {error}; free space, or give another storage"
            ) from error
        raise
    return f"{FOLDER}/{trial}/{name}"


def completed_folder(temporary: Path) -> Path:
    """Where the folder that `save` fills will stand once it is complete."""
    return temporary.with_name(temporary.name.removesuffix(".tmp"))


def verify_checkpoint(folder: Path) -> None:
    """Check that a checkpoint holds exactly the files it was completed with.

    Raises:
        CheckpointError: saying which file is missing, extra or different.
    """
    for path in (folder, folder.parent):
        if path.is_symlink():
            raise CheckpointError(f"checkpoint {folder} cannot be read: {path} is a symbolic link")
    files = _read_marker(folder)
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    if missing := sorted(files.keys() - found.keys()):
        raise CheckpointError(f"checkpoint {folder} lacks {missing[0]}")
    if extra := sorted(found.keys() - files.keys()):
        raise CheckpointError(f"checkpoint {folder} holds {extra[0]}, which was never saved")
    for name, path in found.items():
        size, digest = files[name]
        if path.stat().st_size != size:
            raise CheckpointError(
                f"checkpoint {folder}: {name} has {path.stat().st_size} bytes instead of {size}"
            )
        if _sha256(path) != digest:
            raise CheckpointError(f"checkpoint {folder}: {name} does not match its SHA-256")


def is_checkpoint(path: str) -> bool:
    """Whether `path`, relative to the sweep directory, is one that a checkpoint may have."""
    parts = path.split("/")
    shaped = len(parts) == 3 and parts[0] == FOLDER
    return shaped and bool(_TRIAL.fullmatch(parts[1]) and _NAME.fullmatch(parts[2]))


def delete_checkpoint(sweep: Path, path: str) -> None:
    """Delete the checkpoint at `path` (as events carry it); one that is gone is fine.

    Raises:
        CheckpointError: `path` is not that of a checkpoint of this sweep, or the trial's folder
            is a symbolic link.
        OSError: the file system does not let it go.
    """
    parts = path.split("/")
    if not is_checkpoint(path):
        raise CheckpointError(
            f"refusing to delete {path!r}: a checkpoint's path is {FOLDER}/<trial>/<attempt>-<step>"
        )
    try:
        # `checkpoints` itself may be a link, to a larger disk; whoever swaps a folder below it for
        # a link meanwhile is not followed: what is deleted is named relative to an open folder.
        home = os.open(sweep / parts[0] / parts[1], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        what = f"{sweep / parts[0] / parts[1]} is a symbolic link, or no folder"
        raise CheckpointError(f"refusing to delete {path!r}: {what}") from None
    try:
        _remove_at(home, parts[2])
    finally:
        os.close(home)


def tidy_checkpoints(sweep: Path) -> None:
    """Remove the folders of trials that keep no checkpoint; only once nothing runs any more."""
    with contextlib.suppress(OSError):  # `checkpoints` itself may be gone, or be anything
        for home in (sweep / FOLDER).iterdir():
            with contextlib.suppress(OSError):  # it holds one, or is no folder
                home.rmdir()


def save_torch(obj: Any, path: Path) -> None:
    """`torch.save` of tensors and plain data, such as a dict of state dicts."""
    import torch

    torch.save(obj, path)


def load_torch(path: Path, device: str = "cpu") -> Any:
    """`torch.load` that runs no code: tensors and plain data only.

    Raises:
        CheckpointError: the file holds other objects, or is damaged.
    """
    import pickle

    import torch

    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            f"{path} cannot be loaded: {str(error)[:500]}; save state dicts and plain data only"
        ) from error


def _complete(folder: Path, attempt: int, step: int) -> None:
    """Write the marker and bring everything to the disk."""
    files: dict[str, Any] = {}
    for path in _files(folder):
        files[path.relative_to(folder).as_posix()] = [path.stat().st_size, _sha256(path)]
        _fsync(path)
    marker = {"format": _FORMAT, "attempt": attempt, "step": step, "files": files}
    with (folder / MARKER).open("w", encoding="utf-8") as out:
        json.dump(marker, out)
        out.flush()
        os.fsync(out.fileno())
    for parent in {path.parent for path in _files(folder)} | {folder}:
        _fsync(parent)


def _read_marker(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each file that the checkpoint was completed with.

    Raises:
        CheckpointError: there is no marker, or it is not the one that was written here.
    """
    try:
        marker = json.loads(_small_file(folder / MARKER).decode())
        version, files = marker["format"], marker["files"]
        if version != _FORMAT:
            raise CheckpointError(
                f"checkpoint {folder} has format {version}, this raysweep reads {_FORMAT}; update it"
            )
        written = f"{marker['attempt']}-{marker['step']}"
        sizes = {name: (size, digest) for name, (size, digest) in files.items()}
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {folder} has no {MARKER}: it was never completed") from (
            error
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise CheckpointError(f"checkpoint {folder}: {MARKER} cannot be read: {error}") from error
    if _NAME.fullmatch(folder.name) and folder.name.removesuffix(".tmp") != written:
        raise CheckpointError(f"checkpoint {folder} was written as {written}: it was renamed")
    return sizes


def _small_file(path: Path) -> bytes:
    """The content of a plain file; no link is followed, no pipe waited for.

    Raises:
        OSError: it is none, or far larger than a marker.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as opened:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_MARKER:
            raise OSError(errno.EINVAL, "it is no plain file, or too large", str(path))
        return opened.read()


def _files(folder: Path) -> list[Path]:
    """Every file below, without the marker; a link or device is refused, it might lead outside."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CheckpointError(f"checkpoint {folder} holds {path.name}, which is no plain file")
        if path.is_file() and path != folder / MARKER:
            found.append(path)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_link(home: Path) -> None:
    """A trial's checkpoints stay in the sweep directory, or wherever `checkpoints` leads.

    Raises:
        CheckpointError: the trial's folder is a link.
    """
    if home.is_symlink():
        raise CheckpointError(
            f"{home} is a symbolic link, so no checkpoint is written through it; to keep "
            f"checkpoints elsewhere, link {home.parent} as a whole"
        )


def _remove(path: Path) -> None:
    """Remove whatever is at `path`, if anything is; no link is followed."""
    home = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _remove_at(home, path.name)
    finally:
        os.close(home)


def _remove_at(home: int, name: str) -> None:
    """The same of an entry of an open folder."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=home, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=home)
        else:
            os.unlink(name, dir_fd=home)


def _remove_quietly(path: Path) -> None:
    """The same while an exception is on its way that matters more."""
    with contextlib.suppress(OSError):
        _remove(path)
