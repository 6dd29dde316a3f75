"""Where a resumed sweep finds its training code: beside the sweep first, where it began otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from raysweep.trainables.fingerprint import digest, fingerprint
from raysweep.trainables.load import ModuleCode
from raysweep.trials.errors import SpecError

RELATIVE = "folder_from_sweep"
"""The manifest's key for the folder of the code, relative to the sweep directory."""


class Place(NamedTuple):
    """A folder of training code, and what to say about the choice, "" for nothing."""

    folder: Path
    said: str = ""


def from_sweep(path: Path, folder: Path) -> str:
    """`folder` relative to the sweep directory `path`, so that a copy of both finds its own."""
    return os.path.relpath(folder.resolve(), path.resolve())


def find_folder(
    path: Path, manifest: Mapping[str, Any], last: Mapping[str, Any], given: Path | None = None
) -> Place:
    """The folder to which `trainable` of the sweep at `path` is relative.

    Args:
        path: the sweep directory, wherever it is now.
        manifest: its SWEEP.json.
        last: `Opened.code` of its last driver.
        given: where the user says it is.

    Raises:
        SpecError: `given` is no folder.
    """
    if given is not None:
        if not given.is_dir():
            raise SpecError(
                f"--folder {given}: there is no such folder; name the one that holds the code"
            )
        return Place(given)
    spec, original = manifest["spec"], Path(manifest.get("folder") or "")
    known = [original, *([Path(last["folder"])] if last.get("folder") else [])]
    here = next((folder for folder in _beside(path, manifest) if _has_code(folder, spec)), None)
    there = next((folder for folder in reversed(known) if _has_code(folder, spec)), None)
    if here is None:
        return Place(
            there or next((f for f in (*known, *_beside(path, manifest)) if f.is_dir()), original)
        )
    if there is None or _same(here, there) or _alike(here, there, spec):
        return Place(here)
    return Place(
        here,
        f"training with the code in {here}, where this sweep lies; it ran with that in {there} before, "
        f"which differs. To train with that: --folder {there}",
    )


def _beside(path: Path, manifest: Mapping[str, Any]) -> Iterator[Path]:
    """Where the code is if it lies as it lay when the sweep began, seen from the sweep directory."""
    relative = manifest.get(RELATIVE)
    if relative is None:  # a sweep of 0.1, of which the spec tells unless its storage is absolute
        storage = Path(manifest["spec"].get("storage", "/")).expanduser()
        if storage.is_absolute():
            return
        relative = os.path.relpath(".", storage / str(manifest["spec"].get("name")))
    for base in dict.fromkeys((path.resolve(), path.absolute())):
        yield Path(os.path.normpath(base / relative))


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _has_code(folder: Path, spec: Mapping[str, Any]) -> bool:
    program = spec.get("program")
    if program:
        inner, file = folder / program.get("folder", "."), program.get("file")
        return bool((inner / file if file else inner).exists())
    stem = folder.joinpath(*_module(spec).split("."))
    return stem.with_name(stem.name + ".py").is_file() or (stem / "__init__.py").is_file()


def _alike(one: Path, other: Path, spec: Mapping[str, Any]) -> bool:
    program = spec.get("program")
    if program:
        names = [Path(program.get("folder", ".")) / program["file"]] if program.get("file") else []
        return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)
    codes = (fingerprint(ModuleCode(spec["trainable"], str(folder))) for folder in (one, other))
    return len({digest(found) for found in codes}) == 1


def _module(spec: Mapping[str, Any]) -> str:
    return str(spec.get("trainable", "")).partition(":")[0]
