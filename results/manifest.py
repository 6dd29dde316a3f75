"""Making a sweep directory: where one may stand, and what its SWEEP.json says."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

from raysweep.results.layout import FOLDERS, FORMAT, is_sweep, read_manifest
from raysweep.trials.clock import Clock
from raysweep.trials.errors import StoreFormatError

_OTHERS = frozenset({"checkpoints", "errors", "logs"})


def _holds_other_files(path: Path) -> bool:
    """Whether `path` holds anything that is not ours."""
    if not path.exists():
        return False
    return any(entry.name not in _OTHERS.union(FOLDERS) for entry in path.iterdir())


def refuse_occupied(path: Path) -> None:
    """Make sure that a sweep can begin at `path`.

    Raises:
        StoreFormatError: there is one already, or something else.
    """
    if is_sweep(path):
        manifest = read_manifest(path)
        raise StoreFormatError(
            f"{path} already holds the sweep {manifest.get('name')!r} (id {manifest.get('id')}): "
            f"go on with it by `raysweep resume {path}`, or choose another directory"
        )
    if _holds_other_files(path):
        raise StoreFormatError(
            f"{path} is not empty and holds no sweep: choose a directory that does not exist yet"
        )


def completed(manifest: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """The manifest with what only the store knows."""
    created = clock.wall()
    text = json.dumps([manifest.get("name"), manifest.get("seed"), created], default=str)
    fresh = blake2b(text.encode(), digest_size=8).hexdigest()
    return {"format": FORMAT, "id": fresh, "created": created, "columns": {}} | manifest
