"""What no place of a spec may hold, found before anything reads it: so that reading takes bounded time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MAX_DEPTH = 50
"""How deeply values may be nested."""
MAX_VALUES = 200_000
"""How many values there may be in all."""
MAX_TEXT = 100_000
"""How many characters a text may have."""
_BITS = 64
_NO_DATA = (bytes, bytearray, complex, set, frozenset)


def outsized(written: Mapping[str, Any]) -> Iterator[str]:
    """A problem for each value that is too large, too deep, or no data of a spec."""
    values = 0
    todo: list[tuple[str, Any, int]] = [("", written, 0)]
    while todo:
        path, value, depth = todo.pop()
        values += 1
        if values > MAX_VALUES:
            yield f"the spec has over {MAX_VALUES:,} values; shorten it"
            return
        if isinstance(value, (Mapping, list, tuple)):
            if depth > MAX_DEPTH:
                yield f"{_short(path)}: values are nested over {MAX_DEPTH} deep; flatten them"
                return
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            todo.extend((_joined(path, name), item, depth + 1) for name, item in items)
            names = (
                [name for name in value if isinstance(name, str)]
                if isinstance(value, Mapping)
                else []
            )
            problems = [what for name in names if (what := _of_text(name))]
        else:
            problems = [what] if (what := _of_leaf(value)) else []
        yield from (f"{_short(path) or 'the spec'}: {what}" for what in problems[:1])


def _of_leaf(value: Any) -> str:
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, int) and value.bit_length() > _BITS:
        return f"a whole number has {value.bit_length():,} bits; {_BITS} are allowed"
    if isinstance(value, _NO_DATA):
        return (
            f"got {value!r:.80}; a spec holds text, numbers, true, false, null, lists and mappings"
        )
    return ""


def _of_text(text: str) -> str:
    if len(text) > MAX_TEXT:
        return f"a text has {len(text):,} characters; {MAX_TEXT:,} are allowed"
    if "\0" in text:
        return f"got {text!r:.80}, in which is a NUL character; leave it out"
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        return f"got {text!a:.80}, which is no valid text: a lone surrogate is in it"
    return ""


def _joined(path: str, name: object) -> str:
    where = (
        f"[{name}]" if isinstance(name, int) else f".{name!s:.100}" if path else f"{name!s:.100}"
    )
    return (path + where)[-300:]


def _short(path: str) -> str:
    return path if len(path) < 200 else f"...{path[-200:]}"
