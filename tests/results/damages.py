"""Every kind of file that a sweep directory holds, and every way in which one is damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KINDS = {
    "manifest": "SWEEP.json",
    "schema": "schema.json",
    "lock": "epochs/lock",
    "epoch": "epochs/*.json",
    "mark": "epochs/*.mark",
    "segment": "wal/*.jsonl",
    "reports": "reports/*.parquet",
    "events": "events/*.parquet",
    "decisions": "decisions/*.parquet",
    "trials": "trials.parquet",
    "attempts": "attempts.parquet",
    "snapshot": "snapshot/*.json.zst",
    "snapshot's trials": "snapshot/*.trials.parquet",
    "snapshot's attempts": "snapshot/*.attempts.parquet",
    "wal/": "wal",
    "reports/": "reports",
    "epochs/": "epochs",
    "snapshot/": "snapshot",
}
DERIVED = frozenset(
    {"lock", "epoch", "mark", "trials", "attempts", "epochs/", "snapshot/"}
    | {"snapshot", "snapshot's trials", "snapshot's attempts"}
)
"""What can be missing without a loss: it is made anew, or says who wrote and not what."""
REMARKS = frozenset({"lock", "epoch"})
"""Whose content no reader goes by: a lock is held, not read, and an owner only stands in messages."""
OF_PLACES = frozenset({"directory", "dangling", "loop", "fifo"})


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def _json(value: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(value))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "deleted": lambda path: _replace(path, lambda gone: None),
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": _flip,
    "garbage": lambda path: path.write_bytes(os.urandom(4096)),
    "directory": lambda path: _replace(path, Path.mkdir),
    "dangling": lambda path: _replace(path, lambda p: p.symlink_to("nowhere")),
    "loop": lambda path: _replace(path, lambda p: p.symlink_to(p.name)),
    "fifo": lambda path: _replace(path, os.mkfifo),
    "null": _json(None),
    "list": _json([1, 2]),
    "wrong": _json({"format": "x", "metrics": 7}),
}
OF_FOLDERS = ("deleted", "dangling", "loop", "fifo")


def cases() -> Iterator[tuple[str, str]]:
    for kind in KINDS:
        for damage in DAMAGES:
            if kind == "lock" and damage in ("emptied", "cut", "flipped"):
                continue  # it is empty
            if not kind.endswith("/") or damage in OF_FOLDERS:
                yield kind, damage
