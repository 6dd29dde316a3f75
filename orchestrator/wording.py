"""Numbers, durations and configs as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LONGEST_VALUE = 40
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""All of C0 but tab and line feed, DEL, C1, lone surrogates, and what is invisible or turns the
direction of writing."""


def escaped(text: str) -> str:
    r"""`text` with each character that steers a terminal or hides as Python writes it, e.g. `\x1b`."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def duration(seconds: float) -> str:
    """`42s`, `3m 05s`, `2h 07m`, `3d 04h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def number(value: Any) -> str:
    """A value in at most five significant digits if it is a float, else as it is."""
    if isinstance(value, bool) or not isinstance(value, float):
        return printable(str(value))
    if math.isfinite(value) and value == int(value) and abs(value) < 1e6:
        return f"{value:.1f}"
    return f"{value:.5g}"


def config_line(config: Mapping[str, Any]) -> str:
    """`lr=0.012 optimizer=sgd net.width=64`."""
    shown = {name: value for name, value in config.items() if value != {}}  # free, and not used
    return " ".join(f"{dotted(name)}={_short(value)}" for name, value in shown.items())


def dotted(name: str) -> str:
    """A flat name as specs write it: `net/width` is `net.width`."""
    return printable(name.replace("/", "."))


def printable(text: str) -> str:
    """`text` in one line, with characters that steer a terminal escaped."""
    return escaped(text).replace("\n", " ").replace("\t", " ")


def shown_path(path: Path) -> Path:
    """`path` without detours, relative to the working directory if it lies in there."""
    whole, here = path.resolve(), Path.cwd()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def rung_in(amount: int, unit: str) -> str:
    """`step 27`, `540 seconds`, `4,096 tokens`."""
    return f"step {amount}" if unit == "steps" else f"{amount:,} {printable(unit)}"


def _short(value: Any) -> str:
    text = number(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
