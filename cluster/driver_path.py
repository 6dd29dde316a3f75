"""Keeps folders with modules named like installed ones off the path of Ray's workers.

Ray puts the driver's working directory, and the folder of its script, first on the path of every
worker. A `numpy.py` or `code.py` there would be what the worker itself imports, and no worker would
come up. Where there is such a file, Ray is not given the folder; the process of a slot adds it by
itself, behind all others (`trainables.folder_imports`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from raysweep.trainables.folder_imports import is_installed
from raysweep.trainables.load import session_folders


def job_config() -> Any:
    """What to give `ray.init` as `job_config`; None if Ray's workers may have all folders."""
    if not any(map(clashes, session_folders())):
        return None
    from ray.job_config import JobConfig

    config = JobConfig()
    config._py_driver_sys_path = _WithoutClashes()
    return config


def clashes(folder: str) -> list[str]:
    """The modules in `folder` that are named like one of Python's, or an installed one."""
    try:
        entries = sorted(Path(folder).iterdir())
    except OSError:
        return []
    names = [
        entry.name.removesuffix(".py")
        for entry in entries
        if entry.suffix == ".py" or (entry / "__init__.py").is_file()
    ]
    return [name for name in names if name.isidentifier() and _is_taken(name, folder)]


def _is_taken(name: str, folder: str) -> bool:
    if name in sys.stdlib_module_names:
        return True
    others = [entry for entry in sys.path if entry and Path(entry).resolve() != Path(folder)]
    found = PathFinder.find_spec(name, others)
    return found is not None and found.origin is not None and is_installed(Path(found.origin))


class _WithoutClashes(list[str]):
    """The list that Ray extends by the driver's folders."""

    def extend(self, folders: Iterable[str]) -> None:
        """Take only those without a clash."""
        super().extend(folder for folder in folders if not clashes(folder))
