"""How an event and the decisions taken on it become one line of the journal, and back.

A line is `%08x <json>\\n`: the checksum is CRC-32 of the JSON, started from the checksum of the
line before it, so a flipped bit, a lost line, a swapped pair and a splice all show. NaN and the
infinities stand as `NaN`, `Infinity`, `-Infinity`, as Python's json writes and reads them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import ReportError, StoreFormatError
from raysweep.trials.events import EVENTS, Event, Reported
from raysweep.trials.plain_json import encode_plain

_LSN = b'{"lsn":'


class Record(NamedTuple):
    """One line of the journal: an event and the verdicts that it brought about."""

    lsn: int
    event: Event
    verdicts: tuple[Verdict, ...]


_canonical = json.JSONEncoder(check_circular=False, separators=(",", ":"), sort_keys=True).encode


def encode(lsn: int, event: Event, verdicts: Sequence[Verdict]) -> str:
    """The JSON of one record.

    Raises:
        ReportError: the event holds something that is not plain data.
    """
    fields: dict[str, Any]
    if type(event) is Reported:  # the one that there are many of
        at, trial, attempt, steps, elapsed_s, metrics = event
        fields = {
            "lsn": lsn,
            "kind": "Reported",
            "at": at,
            "trial": trial,
            "attempt": attempt,
            "steps": steps,
            "elapsed_s": elapsed_s,
            "metrics": metrics,
        }
    else:
        fields = {"lsn": lsn, "kind": type(event).__name__}
        fields.update(zip(event._fields, event, strict=True))
    if verdicts:
        fields["verdicts"] = verdicts
    try:
        return encode_plain(fields)
    except (TypeError, ValueError, RecursionError) as error:
        raise ReportError(
            f"{type(event).__name__} of trial {getattr(event, 'trial', '-')} cannot be recorded: "
            f"{error}. Events carry plain data only: numbers, strings, lists and dicts"
        ) from None


def decode(payload: str | bytes) -> Record:
    """The record behind the JSON of one line.

    Raises:
        StoreFormatError: it holds an event that this version does not know.
    """
    fields: dict[str, Any] = json.loads(payload)
    kind = EVENTS.get(fields["kind"])
    if kind is None or not set(kind._fields) <= fields.keys() | kind._field_defaults.keys():
        raise StoreFormatError(
            f"record {fields['lsn']} is a {fields['kind']!r} that this raysweep does not know: "
            "the sweep was written by another version; read it with that one"
        )
    verdicts = tuple(Verdict(*verdict) for verdict in fields.get("verdicts", ()))
    given = {name: fields[name] for name in kind._fields if name in fields}
    return Record(fields["lsn"], kind(**given), verdicts)


def lsn_of(payload: bytes) -> int:
    """The position of a record, without decoding the rest.

    Raises:
        ValueError: this is not the JSON of a record.
    """
    if not payload.startswith(_LSN):
        raise ValueError("no record")
    return int(payload[len(_LSN) : payload.index(b",")])


def seal(payload: bytes, crc: int) -> tuple[bytes, int]:
    """The line of `payload` after a line with checksum `crc`, and its own checksum."""
    crc = zlib.crc32(payload, crc)
    return b"%08x %s\n" % (crc, payload), crc


def unseal(line: bytes, crc: int) -> int | None:
    """The checksum of `line` (without its newline) if it fits after `crc`, else None."""
    try:
        written = int(line[:8], 16)
    except ValueError:
        return None
    return written if line[8:9] == b" " and zlib.crc32(line[9:], crc) == written else None


def canonical(value: Any) -> str:
    """Lossless JSON with sorted keys, the same text for equal values."""
    return _canonical(value)
