"""Names: which ones a parameter may have, the nearest valid one to a wrong one, and groups of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def is_name(part: object) -> bool:
    """Whether `part` may name a parameter or a group: a letter, then letters, digits, "_", "-"."""
    return isinstance(part, str) and _PART.fullmatch(part) is not None


def nearest(name: object, known: Iterable[str]) -> str:
    """A half-sentence for an error message: what was probably meant, and what there is.

    Args:
        name: the name that was given.
        known: the names that would be right, in the order in which to list them.
    """
    names = list(known)
    if not names:
        return "there is none to name"
    match = _match(str(name), names)
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    hint = f"did you mean {match!r}? " if match else ""
    return f"{hint}allowed: {shown}"


def _match(name: str, names: list[str]) -> str | None:
    for short in (str, _last):
        known = {short(full).lower(): full for full in reversed(names)}
        close = get_close_matches(short(name).lower(), known, n=1)
        if close:
            return known[close[0]]
    return None


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config as users see it: `{"net/width": 64}` becomes `{"net": {"width": 64}}`."""
    tree: dict[str, Any] = {}
    for name, value in config.items():
        *groups, last = name.split("/")
        group = tree
        for part in groups:
            group = group.setdefault(part, {})
        group[last] = value
    return tree
