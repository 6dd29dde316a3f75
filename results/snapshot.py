"""Snapshots: the state at one LSN, so that a resume replays minutes and not days.

`snapshot/<lsn>.json.zst` holds the caller's state and the fold's remainder as checksummed JSON;
`<lsn>.trials.parquet` and `<lsn>.attempts.parquet` beside it hold the fold's rows. The public
`trials.parquet` and `attempts.parquet` are the same files under a second name. Nothing here is a
pickle.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from raysweep.results import layout
from raysweep.results.codec import seal, unseal
from raysweep.results.parts import parquet, read_parquet
from raysweep.trials.errors import StoreCorrupt

_SUFFIX = ".json.zst"
_TABLES = ("trials", "attempts")
_KEPT = 2
_MOST_BYTES, _SMALL_BYTES, _MOST_RATIO = 1 << 31, 1 << 26, 400
"""What a snapshot may unpack to; its checksum then does not fit."""
_LOG = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """What was known at `lsn`: the caller's state, what the fold needs to go on, and the checksum
    of every part so far."""

    lsn: int
    state: dict[str, Any]
    extras: dict[str, Any]
    crcs: dict[str, int]
    tables: tuple[pa.Table, pa.Table]


def write(root: Path, snapshot: Snapshot, meta: str) -> None:
    """Publish the tables, then the snapshot that refers to them, then drop old snapshots.

    Raises:
        TypeError: the state is not plain JSON data.
    """
    crcs = [
        layout.publish(root, _table(snapshot.lsn, name), parquet(table, meta))
        for name, table in zip(_TABLES, snapshot.tables, strict=True)
    ]
    body = {
        "lsn": snapshot.lsn,
        "state": snapshot.state,
        "tables": snapshot.extras,
        "crcs": snapshot.crcs,
        "own": crcs,
    }
    line, _ = seal(json.dumps(body, separators=(",", ":")).encode(), 0)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packer:
        packer.write(line)
    packed = bytes(sink.getvalue())
    layout.publish(root, f"{layout.SNAPSHOT}/{snapshot.lsn:012d}{_SUFFIX}", packed)
    for name in _TABLES:
        layout.publish_link(root, _table(snapshot.lsn, name), f"{name}.parquet")
    _drop_old(root)


def newest(root: Path, limit: int) -> Snapshot | None:
    """The newest snapshot that is whole and not beyond `limit`; None if there is none.

    Raises:
        StoreCorrupt: there are some, and not one of them can be read.
    """
    lsns = [lsn for lsn in list_lsns(root) if lsn <= limit]
    flaws = []
    for lsn in lsns:
        try:
            return read(root, lsn)
        except StoreCorrupt as error:
            _LOG.warning("%s; trying an older snapshot", error)
            flaws.append(str(error))
    if flaws:
        _LOG.warning("no snapshot is whole: replaying the whole history")
    return None


def list_lsns(root: Path) -> list[int]:
    """The LSNs of all snapshots, newest first."""
    return [lsn for lsn, _ in layout.numbered(root / layout.SNAPSHOT, _SUFFIX)][::-1]


def read(root: Path, lsn: int) -> Snapshot:
    """The snapshot at `lsn`.

    Raises:
        StoreCorrupt: it is damaged or gone.
    """
    file = root / layout.SNAPSHOT / f"{lsn:012d}{_SUFFIX}"
    try:
        line = _unpacked(layout.read_bytes(file))
        if unseal(line[:-1], 0) is None:
            raise ValueError("its checksum does not fit")
        body: Mapping[str, Any] = json.loads(line[9:])
        own = zip(_TABLES, body["own"], strict=True)
        whole = all(isinstance(body[name], dict) for name in ("state", "tables", "crcs"))
        if not whole:
            raise ValueError("it is no snapshot")
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        raise StoreCorrupt(f"{file} is damaged: {error}") from error
    for name, crc in own:
        check_crc(root / _table(lsn, name), crc)
    trials, attempts = (read_parquet(root / _table(lsn, name)) for name in _TABLES)
    return Snapshot(lsn, body["state"], body["tables"], body["crcs"], (trials, attempts))


def _unpacked(packed: bytes) -> bytes:
    """The line in a snapshot; one that grows beyond all measure is not ours.

    Raises:
        ValueError: it does.
        pa.ArrowException, OSError: it cannot be unpacked.
    """
    most = min(_MOST_BYTES, max(_SMALL_BYTES, _MOST_RATIO * len(packed)))
    line: bytes = pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read(most + 1)
    if len(line) > most:
        raise ValueError(f"{len(packed):,} bytes unpack to more than {most:,}")
    return line


def check_crc(file: Path, crc: int) -> None:
    """Make sure that a file holds what was once written.

    Raises:
        StoreCorrupt: it does not, or is gone.
    """
    try:
        found = zlib.crc32(layout.read_bytes(file))
    except OSError as error:
        raise StoreCorrupt(f"{file} cannot be read: {error}") from error
    if found != crc:
        raise StoreCorrupt(
            f"{file} is damaged: its checksum is {found:08x}, it was {crc:08x}. Restore it from a copy"
        )


def check_public(root: Path, name: str) -> None:
    """Make sure that a public table is the one of a snapshot, byte for byte.

    Not of the newest: a driver may have died between a snapshot and the second name of its tables.

    Raises:
        StoreCorrupt: it is not.
    """
    copies = [root / _table(lsn, name.removesuffix(".parquet")) for lsn in list_lsns(root)]
    try:
        content = layout.read_bytes(root / name)
        same = any(layout.read_bytes(copy) == content for copy in copies)
    except OSError as error:
        raise StoreCorrupt(f"{error.filename} cannot be read: {error.strerror}") from error
    if copies and not same:
        raise StoreCorrupt(
            f"{root / name} is damaged: it is the table of no snapshot. Copy {copies[0]} there"
        )


def _table(lsn: int, name: str) -> str:
    return f"{layout.SNAPSHOT}/{lsn:012d}.{name}.parquet"


def _drop_old(root: Path) -> None:
    """Keep the last two snapshots, and no table without its snapshot."""
    kept = {f"{lsn:012d}" for lsn in list_lsns(root)[:_KEPT]}
    old = [file for file in _files(root) if file.name.split(".")[0] not in kept]
    for file in sorted(old, key=lambda file: not file.name.endswith(_SUFFIX)):
        file.unlink(missing_ok=True)  # that which refers to the others first: a crash leaves no gap


def _files(root: Path) -> Iterator[Path]:
    folder = root / layout.SNAPSHOT
    return (folder / name for name in sorted(layout.names_in(folder)))
