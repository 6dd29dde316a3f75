"""Keeps folders with modules named like installed ones off the path of Ray's workers.

Ray puts the driver's working directory, and the folder of its script, first on the path of every
worker. A `numpy.py` or `code.py` there would be what the worker itself imports, and no worker would
come up. Where there is such a file, Ray is not given the folder; the process of a slot adds it by
itself, behind all others (`trainables.folder_imports`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from raysweep.trainables.folder_imports import installed_as
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
        entries = list(Path(folder).iterdir())
    except OSError:
        return []
    names = {_importable(entry) for entry in entries} - {""}
    taken = sys.stdlib_module_names
    return sorted(name for name in names if name in taken or installed_as(name, folder))


def _importable(entry: Path) -> str:
    """The name by which a file or folder can be imported, "" if it is no module."""
    if (entry / "__init__.py").is_file():
        return entry.name
    name = inspect.getmodulename(entry) or ""
    return name if name.isidentifier() else ""


class _WithoutClashes(list[str]):
    """The list that Ray extends by the driver's folders."""

    def extend(self, folders: Iterable[str]) -> None:
        """Take only those without a clash."""
        super().extend(folder for folder in folders if not clashes(folder))
