"""The driver's own files in a directory that trials can reach as well.

A trial may put anything in their place: a folder, a link, a pipe that nobody reads. What is no
plain file is moved to `quarantine/`, never followed and never waited for.
"""

from __future__ import annotations

import contextlib
import os
import stat
from itertools import count
from pathlib import Path

QUARANTINE = "quarantine"


def write_text(sweep: Path, folder: str, name: str, text: str) -> None:
    """Write `sweep/folder/name`, which may be there already.

    Raises:
        OSError: it cannot be written, whatever stood in its place.
    """
    home = sweep / folder
    if _kind(home) not in (None, stat.S_IFDIR):
        set_aside(sweep, home)
    home.mkdir(parents=True, exist_ok=True)
    if _kind(home / name) not in (None, stat.S_IFREG):
        set_aside(sweep, home / name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(home / name, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(text.encode("utf-8", "replace").decode())


def take(sweep: Path, name: str) -> bool:
    """Remove the file `sweep/name`; whether there was one, and not something else of that name.

    Raises:
        OSError: something is there that can be neither removed nor moved away.
    """
    kind = _kind(sweep / name)
    if kind == stat.S_IFREG:
        (sweep / name).unlink(missing_ok=True)
        return True
    if kind is not None:
        set_aside(sweep, sweep / name)
    return False


def set_aside(sweep: Path, path: Path) -> None:
    """Move what stands at `path` to `quarantine/`; a link is moved, not what it leads to.

    Raises:
        OSError: it cannot be moved.
    """
    if path.is_symlink():
        path.unlink(missing_ok=True)
        return
    (sweep / QUARANTINE).mkdir(exist_ok=True)
    for number in count(1):
        target = sweep / QUARANTINE / f"{path.name}.{number}"
        if _kind(target) is None:
            path.rename(target)
            return


def _kind(path: Path) -> int | None:
    """The type of what is at `path`, links not followed; None: nothing is."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return stat.S_IFMT(path.lstat().st_mode)
    return None
