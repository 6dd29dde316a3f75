"""How far the journal is known to reach, written outside of it: a loss at its end is found by this.

`epochs/<epoch>.mark` says which record a driver had on disk, in which segment and up to which byte.
It is renewed whenever a segment begins, every few seconds, and when the driver leaves, each time
after the records themselves, so what it names must be there.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.results import layout
from raysweep.trials.errors import StoreCorrupt

_SUFFIX = ".mark"


class HighWater(NamedTuple):
    """The last record that was on disk, and where the journal ended then."""

    lsn: int
    segment: str
    size: int


def publish(root: Path, epoch: int, mark: HighWater) -> None:
    """Write the mark of a driver in place of its last one.

    Raises:
        OSError: the disk refuses.
    """
    body = json.dumps(mark).encode()
    line = b"%08x %s\n" % (zlib.crc32(body), body)
    layout.publish(root, f"{layout.EPOCHS}/{epoch:06d}{_SUFFIX}", line)


def newest(root: Path) -> HighWater | None:
    """The mark of the newest driver that has left one.

    Raises:
        StoreCorrupt: it is damaged.
    """
    *_, last = ("", *(name for _, name in layout.numbered(root / layout.EPOCHS, _SUFFIX)))
    if not last:
        return None
    file = root / layout.EPOCHS / last
    try:
        line = layout.read_bytes(file, 1 << 16)
        if b"%08x" % zlib.crc32(line[9:-1]) != line[:8] or line[8:9] != b" ":
            raise ValueError("its checksum does not fit")
        mark: list[Any] = json.loads(line[9:])
        return HighWater(int(mark[0]), str(mark[1]), int(mark[2]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreCorrupt(
            f"{file} is damaged ({error}): restore it from a copy, or remove it if there is none; "
            "without it a loss at the end of the journal cannot be found"
        ) from None
