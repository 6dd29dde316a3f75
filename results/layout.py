"""Where everything stands in a sweep directory, and how a file gets there in one piece."""

from __future__ import annotations

import errno
import json
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.results.models import Manifest, check
from raysweep.trials.errors import StoreCorrupt, StoreFormatError

FORMAT = 1
MANIFEST = "SWEEP.json"
SCHEMA = "schema.json"
WAL, REPORTS, EVENTS, DECISIONS = "wal", "reports", "events", "decisions"
SNAPSHOT, EPOCHS, QUARANTINE, TMP = "snapshot", "epochs", "quarantine", "tmp"
FOLDERS = (WAL, REPORTS, EVENTS, DECISIONS, SNAPSHOT, EPOCHS, QUARANTINE, TMP)


_MOST_MANIFEST = 1 << 26
MOST_BYTES = 1 << 34
"""Files that are larger are not ours."""


class Part(NamedTuple):
    """The inclusive range of journal positions (LSNs) that one Parquet part covers."""

    first: int
    last: int

    @property
    def name(self) -> str:
        """Its file name, the same in `reports/`, `events/` and `decisions/`."""
        return f"part-{self.first:012d}-{self.last:012d}.parquet"


def read_bytes(file: Path, most: int = MOST_BYTES) -> bytes:
    """All of a plain file of the sweep directory; no link is followed, no pipe waited for.

    Args:
        file: what to read.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, is no plain file, or is larger.
    """
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as opened:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(file))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes", str(file))
        return opened.read()


def check_plain(file: Path) -> None:
    """Make sure that a file can be opened by its name: no link is followed, no pipe waited for.

    Raises:
        OSError: it is gone, or no plain file.
    """
    if not stat.S_ISREG(file.lstat().st_mode):
        raise OSError(errno.EINVAL, "it is no plain file", str(file))


def checksummed(body: dict[str, Any]) -> dict[str, Any]:
    """`body` with the checksum of its content, for a JSON file that people may look at."""
    return {**body, "crc": _crc_of(body)}


def unchecked(data: bytes) -> dict[str, Any]:
    """The content of a JSON file that `checksummed` made, or that an older raysweep wrote without.

    Raises:
        ValueError: it is no JSON object, or not the one that was written.
    """
    body = json.loads(data.decode())
    if not isinstance(body, dict):
        raise ValueError(f"it holds a {type(body).__name__}, not an object")
    crc = body.pop("crc", None)
    if crc is not None and crc != _crc_of(body):
        raise ValueError("its checksum does not fit: it was changed after it was written")
    return body


def _crc_of(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def fsync_dir(folder: Path) -> None:
    """Make renames and unlinks in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of `data`.

    Raises:
        OSError: ENOSPC if the disk took only a part of it.
    """
    written = os.write(fd, data)
    if written != len(data):
        what = f"{os.strerror(errno.ENOSPC)}, only {written} of {len(data)} bytes were written"
        raise OSError(errno.ENOSPC, what)


def publish(root: Path, name: str, data: bytes) -> int:
    """Put `data` at `root/name` so that a reader sees all of it or none: tmp, fsync, rename.

    Returns:
        The CRC-32 of `data`.
    """
    tmp, target = root / TMP / name.replace("/", "-"), root / name
    fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        for start in range(0, len(data), 1 << 26):
            write_all(fd, data[start : start + (1 << 26)])
        os.fsync(fd)
    finally:
        os.close(fd)
    tmp.replace(target)
    fsync_dir(target.parent)
    return zlib.crc32(data)


def publish_link(root: Path, source: str, name: str) -> None:
    """Publish `root/source`, which never changes, under a second name without a second copy."""
    tmp = root / TMP / name.replace("/", "-")
    tmp.unlink(missing_ok=True)
    try:
        os.link(root / source, tmp)
    except OSError:  # a file system without hard links
        publish(root, name, read_bytes(root / source))
        return
    tmp.replace(root / name)
    fsync_dir((root / name).parent)


def empty_folder(folder: Path) -> None:
    """Delete the plain files in `folder`; links are dropped, never followed."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink(missing_ok=True)


def make_folders(root: Path) -> None:
    """The folders of a sweep directory, as far as they are not there.

    Raises:
        StoreCorrupt: something else stands in the place of one.
    """
    for name in FOLDERS:
        try:
            (root / name).mkdir()
        except FileExistsError:
            if (root / name).is_symlink() or not (root / name).is_dir():
                raise StoreCorrupt(
                    f"{root / name} is no folder: restore the folder from a copy"
                ) from None


def is_sweep(path: Path) -> bool:
    """Whether `path` is a sweep directory, be it a damaged one or one that may not be entered."""
    try:
        (path / MANIFEST).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_manifest(path: Path) -> dict[str, Any]:
    """SWEEP.json.

    Raises:
        StoreFormatError: not a sweep directory, or one that a newer raysweep wrote.
        StoreCorrupt: the file is damaged.
    """
    try:
        data = read_bytes(path / MANIFEST, _MOST_MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        raise StoreFormatError(
            f"{path} is not a sweep directory: it has no {MANIFEST}. Give the directory that "
            "`raysweep run` printed, or list them with `raysweep ls`"
        ) from None
    except OSError as error:
        raise StoreCorrupt(
            f"{path / MANIFEST} cannot be read: {error.strerror}. Restore it from a copy"
        ) from None
    try:
        found = json.loads(data.decode())["format"]
        if type(found) is not int:
            raise ValueError(f"its format is {found!r}, not an integer")
        manifest = unchecked(data) if found <= FORMAT else {}
        if manifest:
            check(Manifest, manifest)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreCorrupt(
            f"{path / MANIFEST} is damaged: {error}. Restore it from a copy"
        ) from None
    if found > FORMAT:
        raise StoreFormatError(
            f"{path} was written by a newer raysweep (format {found}; this one reads {FORMAT}): "
            "upgrade raysweep"
        )
    return manifest


def list_parts(root: Path, folder: str = REPORTS) -> list[Part]:
    """The parts in `root/folder`, by position."""
    return sorted(filter(None, map(_parse_part, names_in(root / folder))))


def check_contiguous(root: Path, parts: list[Part]) -> int:
    """The last position that `parts` cover from 1 on; 0 if there are none.

    Raises:
        StoreCorrupt: a range is missing or covered twice.
    """
    expected = 1
    for part in parts:
        if part.first > expected:
            raise StoreCorrupt(
                f"{root / REPORTS}: no part covers LSN {expected}..{part.first - 1} "
                f"(the next is {part.name}). Restore the missing part from a copy"
            )
        if part.first < expected or part.last < part.first:
            raise StoreCorrupt(
                f"{root / REPORTS}: {part.name} overlaps the part before it, which ends at LSN "
                f"{expected - 1}. Remove the copy that does not belong there"
            )
        expected = part.last + 1
    return expected - 1


def names_in(folder: Path) -> list[str]:
    """What is in a folder of the sweep directory; nothing if it is gone.

    Raises:
        StoreCorrupt: it is no folder, or leads elsewhere.
    """
    try:
        if folder.is_symlink():
            raise StoreCorrupt(f"{folder} is a link: put the folder itself there")
        return [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreCorrupt(
            f"{folder} cannot be read: {error.strerror}. Restore the folder from a copy"
        ) from None


def _parse_part(name: str) -> Part | None:
    """The range in a part's name; None for any other file."""
    pieces = name.removesuffix(".parquet").split("-")
    if not name.endswith(".parquet") or len(pieces) != 3 or pieces[0] != "part":
        return None
    if not (pieces[1].isdecimal() and pieces[2].isdecimal()):
        return None
    return Part(int(pieces[1]), int(pieces[2]))


def inside(root: Path, relative: str) -> Path | None:
    """`root/relative` if that stands inside `root` without leaving it by "..", or None."""
    candidate = Path(os.path.normpath(root / relative))
    base = Path(os.path.normpath(root))
    return candidate if candidate != base and candidate.is_relative_to(base) else None


def numbered(folder: Path, suffix: str) -> Iterator[tuple[int, str]]:
    """(number, file name) of the files in `folder` named `<number><suffix>`, ascending."""
    names = names_in(folder)
    found = [(n.removesuffix(suffix), n) for n in names if n.endswith(suffix)]
    return iter(sorted((int(stem), n) for stem, n in found if stem.isdecimal()))
