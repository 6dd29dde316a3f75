"""Does a sweep directory keep its promises? Reads everything, writes nothing.

The invariants: I1 each report once, I2 one live row per step, I3 legal lives, I4 budgets, I9 no zombie's rows, I10 the tables follow from the journal, I13 nothing
after a stop, I15 checkpoints exist, I16 every byte checks, I17 no range missing, I18 published
files are whole, I19 column types never change, I22 no secret in the manifest.
"""

from __future__ import annotations

import contextlib
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from raysweep.results import image, layout, snapshot
from raysweep.results.audit import Finding, audit
from raysweep.results.history import read_registry
from raysweep.results.image import Image
from raysweep.results.models import hash_of
from raysweep.results.parts import read_meta, read_parquet, report_schema
from raysweep.trials.errors import StoreCorrupt, StoreError
from raysweep.trials.trial import Status

__all__ = ["Finding", "verify"]

_SECRET = re.compile(r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|-----BEGIN [A-Z ]*PRIVATE KEY")


def verify(path: str | Path) -> list[Finding]:
    """What is wrong with the sweep at `path`; an empty list if nothing is.

    A sweep that is being written is checked as of now.

    Raises:
        StoreFormatError: not a sweep directory, or one that a newer raysweep wrote.
    """
    root = Path(path)
    findings = list(_manifest(root))
    if any(finding.invariant == "I16" for finding in findings):
        return findings
    findings += _places(root)
    try:
        for check in (_parts, _schema, _snapshots):
            findings += check(root)
        found = image.load(root)
    except StoreCorrupt as error:
        return [*findings, Finding("I17", str(error))]
    if found.log.damage:
        findings.append(Finding("I16", str(found.log.damage)))
    try:
        findings += audit(found)
        findings += _checkpoints(found)
    except StoreError as error:
        if not findings:
            findings.append(Finding("I1", str(error)))
    return findings


def _manifest(root: Path) -> Iterator[Finding]:
    """SWEEP.json is whole and holds no secret."""
    try:
        manifest = layout.read_manifest(root)
    except StoreCorrupt as error:
        yield Finding("I16", str(error))
        return
    spec = manifest.get("spec")
    if manifest.get("spec_hash") not in (None, hash_of(spec)):
        yield Finding(
            "I16",
            f"{root / layout.MANIFEST} is damaged: its spec does not fit its spec_hash, so it was "
            "changed after it was written. Restore it from a copy",
        )
    found = _SECRET.search(layout.read_bytes(root / layout.MANIFEST).decode())
    if found:
        yield Finding("I22", f"{layout.MANIFEST} holds what looks like a secret: {found[0][:8]}…")


class _Meta(NamedTuple):
    """What a part's footer says."""

    sweep: str
    first: int
    last: int


def _parts(root: Path) -> Iterator[Finding]:
    """Every page of every part fits its checksum, and every part is what its name says."""
    sweep = layout.read_manifest(root)["id"]
    newest = snapshot.newest(root, max(snapshot.list_lsns(root), default=0))
    crcs = newest.crcs if newest else {}
    compacted = max((part.last for part in layout.list_parts(root)), default=0)
    for folder in (layout.REPORTS, layout.EVENTS, layout.DECISIONS):
        for part in layout.list_parts(root, folder):
            if part.last > compacted:
                continue  # its compaction was cut short; the next start removes it
            file = root / folder / part.name
            try:
                if (crc := crcs.get(f"{folder}/{part.name}")) is not None:
                    snapshot.check_crc(file, crc)
                read_parquet(file)
                meta = _footer(file)
            except StoreCorrupt as error:
                yield Finding("I16", str(error))
                continue
            if meta != _Meta(sweep, part.first, part.last):
                yield Finding("I18", f"{folder}/{part.name} holds {meta}: it was renamed or copied")


def _footer(file: Path) -> _Meta:
    meta: dict[str, Any] = json.loads(read_meta(file))
    return _Meta(meta["sweep"], meta["first_lsn"], meta["last_lsn"])


def _schema(root: Path) -> Iterator[Finding]:
    """The columns of each part are in the registry, with the same type."""
    try:
        known = report_schema(read_registry(root))
    except StoreCorrupt as error:
        yield Finding("I16", str(error))
        return
    for part in layout.list_parts(root):
        try:
            fields: pa.Schema = read_parquet(root / layout.REPORTS / part.name, columns=None).schema
        except StoreCorrupt:
            continue  # said already
        for field in fields:
            at = known.get_field_index(field.name)
            if at < 0 or known.field(at).type != field.type:
                what = "unknown" if at < 0 else f"{known.field(at).type}"
                yield Finding(
                    "I19", f"{part.name}: column {field.name!r} is {field.type}, registered: {what}"
                )


def _snapshots(root: Path) -> Iterator[Finding]:
    """The snapshots and the public tables can be read."""
    for lsn in snapshot.list_lsns(root):
        try:
            snapshot.read(root, lsn)
        except StoreCorrupt as error:
            yield Finding("I16", str(error))
    for name in ("trials.parquet", "attempts.parquet"):
        if (root / name).is_symlink() or (root / name).exists():
            try:
                read_parquet(root / name)
                snapshot.check_public(root, name)
            except StoreCorrupt as error:
                yield Finding("I16", str(error))


def _places(root: Path) -> Iterator[Finding]:
    """Nothing else stands in the place of a folder of ours, or of a file that says who drives."""
    for name in layout.FOLDERS:
        folder = root / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            yield Finding("I16", f"{folder} is no folder: restore the folder from a copy")
    folder = root / layout.EPOCHS
    if folder.is_symlink() or not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):  # a driver has just replaced it
            if not stat.S_ISREG(file.lstat().st_mode):
                yield Finding("I16", f"{file} is no plain file: remove it if no driver is at work")


def _checkpoints(found: Image) -> Iterator[Finding]:
    """The checkpoint from which an unfinished trial would go on is there, inside the sweep."""
    folder = found.root / "checkpoints"
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    trials = found.fold()[0].trials.table()
    for trial, status, path in zip(
        *(trials[name].to_pylist() for name in ("trial_id", "status", "checkpoint")), strict=True
    ):
        if path is None or Status(status).terminal:
            continue
        target = layout.inside(found.root, path)
        if target is None or target.is_symlink():
            yield Finding("I15", f"trial {trial}: its checkpoint {path!r} leads out of the sweep")
        elif not target.exists():
            yield Finding("I15", f"trial {trial} ({status}): its checkpoint {path} is missing")
