"""Reading the write-ahead log: which segments count, up to which byte, and whether they are whole.

Each segment's header names the segment before it, with the size and checksum at which that one
was left. So the newest header seals the whole chain: what a fenced driver still appends, what was
torn off in a crash and what was written again elsewhere after a failed fsync lie behind a seal
and do not count. Only the newest segment has no seal yet; there, a torn tail is the end.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.results import layout
from raysweep.results.codec import lsn_of, unseal
from raysweep.trials.errors import StoreCorrupt


class Seal(NamedTuple):
    """Where a segment was left: its file name, the bytes of it that count, their checksum."""

    segment: str
    size: int
    crc: int


class Damage(NamedTuple):
    """What is wrong, in which segment and at which byte."""

    segment: str
    offset: int
    what: str

    def __str__(self) -> str:
        return f"{layout.WAL}/{self.segment} is damaged at byte {self.offset}: {self.what}"


class Log(NamedTuple):
    """The records of the log in order, as (lsn, JSON), up to the first damage.

    `tail` is where the last of them ends (None: there is no segment), `damage` what follows it,
    `segments` the names of those that count, `beyond` of those that do not.
    """

    records: list[tuple[int, bytes]]
    tail: Seal | None
    damage: Damage | None
    segments: list[str]
    beyond: list[str]


def segment_name(epoch: int, number: int) -> str:
    """The file name of the `number`-th segment of a sweep, written in `epoch`."""
    return f"{epoch:06d}-{number:08d}.jsonl"


def segment_number(name: str) -> int:
    """The number in a segment's name."""
    return int(name.split("-")[1].split(".")[0])


def read_log(root: Path) -> Log:
    """Everything that the log holds; reads only."""
    contents: dict[str, bytes] = {}
    for name in list_segments(root):
        with contextlib.suppress(FileNotFoundError):  # a compaction has just deleted it
            contents[name] = _content(root / layout.WAL / name)
    return _walk(contents)


def _content(file: Path) -> bytes:
    """The bytes of a segment.

    Raises:
        FileNotFoundError: it is gone.
        StoreCorrupt: it cannot be read.
    """
    try:
        return layout.read_bytes(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreCorrupt(
            f"{file} cannot be read ({error.strerror}): restore it from a copy"
        ) from None


def list_segments(root: Path) -> list[str]:
    """The names of all segments, oldest first."""
    names = layout.names_in(root / layout.WAL)
    # By epoch first: a fenced driver may still open segments with high numbers.
    return sorted(n for n in names if n.endswith(".jsonl"))


def _walk(contents: dict[str, bytes]) -> Log:
    """Follow the chain from the newest segment back, then read it forwards."""
    chain, damage = _chain(contents)
    records: list[tuple[int, bytes]] = []
    tail: Seal | None = None
    used: list[str] = []
    for name, limit in chain:
        found, tail, flaw = _scan(name, contents[name], limit)
        if records and found and found[0][0] != records[-1][0] + 1:
            flaw = Damage(name, 0, f"LSN {found[0][0]} follows {records[-1][0]}")
            return Log(records, tail, flaw, used, [n for n in contents if n not in used])
        records += found
        used.append(name)
        if flaw:
            damage = flaw
            break
    return Log(records, tail, damage, used, [name for name in contents if name not in used])


def _chain(contents: dict[str, bytes]) -> tuple[list[tuple[str, Seal | None]], Damage | None]:
    """The segments that count, oldest first, each with the seal that the next one put on it."""
    chain: list[tuple[str, Seal | None]] = []
    damage: Damage | None = None
    wanted: str | None = None
    limit: Seal | None = None
    for name in reversed(contents):
        if wanted is not None and name != wanted:
            continue
        header = _header(contents[name])
        if header is None:
            if wanted is None and b"\n" not in contents[name]:
                continue  # torn while it was created: nothing in it was ever promised
            damage, chain, wanted, limit = Damage(name, 0, "no valid header"), [], None, None
            continue
        chain.append((name, limit))
        limit = Seal(*header["after"]) if header["after"] else None
        if limit is None:
            break
        wanted = limit.segment
    return chain[::-1], damage


def _header(data: bytes) -> dict[str, Any] | None:
    """The header record of a segment, if it is whole."""
    line, newline, _ = data.partition(b"\n")
    if not newline or unseal(line, 0) is None:
        return None
    header = json.loads(line[9:])
    return header if isinstance(header, dict) and "after" in header else None


def _scan(
    name: str, data: bytes, limit: Seal | None
) -> tuple[list[tuple[int, bytes]], Seal, Damage | None]:
    """The records of one segment up to its seal, or up to where it stops being whole."""
    end = limit.size if limit else len(data)
    start = data.index(b"\n") + 1
    crc = unseal(data[: start - 1], 0) or 0
    records: list[tuple[int, bytes]] = []
    position = start
    for line in data[start:end].split(b"\n"):
        stop = position + len(line) + 1
        found = unseal(line, crc) if stop <= end else None
        if found is None:
            break
        try:
            records.append((lsn_of(line[9:]), line[9:]))
        except ValueError:
            break
        crc, position = found, stop
    tail = Seal(name, position, crc)
    if limit is None:
        torn = _is_torn(data[position:], crc)
        return records, tail, None if torn else Damage(name, position, "a record does not fit")
    if tail != limit:
        what = "a record does not fit" if position < len(data) else f"cut off before {limit.size}"
        return records, tail, Damage(name, position, what)
    return records, tail, None


def _is_torn(rest: bytes, crc: int) -> bool:
    """Whether what follows the last whole record may be the beginning of one.

    A whole record with another byte in the place of its newline was damaged; a zero may stand there
    after a power cut.
    """
    if b"\n" in rest:
        return False
    return rest.endswith(b"\0") or unseal(rest[:-1], crc) is None
