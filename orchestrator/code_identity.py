"""Which training code a driver trains with: its hash, its files and its git commit, kept in `Opened`."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from raysweep.trainables.fingerprint import digest, fingerprint
from raysweep.trainables.load import Code
from raysweep.trials.errors import SpecError

CodeChange = Literal["warn", "forbid", "accept"]
"""What a resume does about training code that is not what the last driver trained with."""
_GIT_S = 10.0
_MOST_FILES = 500
_MOST_NAMED = 5


def identify(code: Code, folder: Path, target: Any = None) -> dict[str, Any]:
    """What `Opened.code` holds; plain JSON data.

    Args:
        code: where the training code is; it has been loaded.
        folder: what the spec is relative to.
        target: the function or class, where it was given as an object.

    Returns:
        `hash` (hex, "" where it is not known), `files` (name → hash), `folder`, `commit` (None
        outside of git) and `dirty`, whether files that git knows differ from the commit.
    """
    found: dict[str, str] = {}
    with contextlib.suppress(
        Exception
    ):  # an object may be of any kind; unknown is no reason to stop
        found = fingerprint(code, target)
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "hash": digest(found),
        "files": dict(sorted(found.items())[:_MOST_FILES]),
        "folder": str(folder.resolve()),
        "commit": commit,
        "dirty": bool(changed),
    }


def what_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How the code `now` differs from that `before`, in words; "" if it does not, or is not known."""
    if not before.get("hash") or not now.get("hash") or before["hash"] == now["hash"]:
        return ""
    return "; ".join([_files(before.get("files", {}), now["files"]), *_commits(before, now)])


def check_change(
    before: Mapping[str, Any], now: Mapping[str, Any], policy: CodeChange
) -> str | None:
    """What to say about training code that has changed since the last driver; None for nothing.

    Raises:
        SpecError: it has, and the spec forbids it.
    """
    changed = what_changed(before, now)
    if not changed:
        return None
    if policy == "forbid":
        raise SpecError(
            f"the training code has changed since this sweep last ran: {changed}. The spec says "
            f"code_change: forbid; go back to that code, or accept it by --accept-code-change "
            f"(from Python: accept_code_change=True)"
        )
    said = f"the training code has changed since this sweep last ran: {changed}"
    if policy == "accept":
        return f"{said} (accepted)"
    return (
        f"{said}. New attempts train with the code as it is now; the column `code` of attempts tells "
        f"them apart"
    )


def _files(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
    words = [
        f"{name} ({'new' if name not in before else 'gone' if name not in now else 'edited'})"
        for name in names[:_MOST_NAMED]
    ]
    more = len(names) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def _commits(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    was, new = _commit(before), _commit(now)
    if was != new:
        yield f"git: {was} before, {new} now"


def _commit(code: Mapping[str, Any]) -> str:
    if not code.get("commit"):
        return "no commit"
    return str(code["commit"])[:10] + (" with changes" if code.get("dirty") else "")


def _git(folder: Path, *words: str) -> str | None:
    """What git says in `folder`; None where there is no git, or it does not answer."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", os.fspath(folder), *words],
            capture_output=True, text=True, errors="replace", timeout=_GIT_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
