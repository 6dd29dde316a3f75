"""The options of searchers and schedulers: what each may be, and how a wrong one is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest

MOST = 1 << 53
"""The largest count: beyond it numbers of 64 bits are not exact."""


class Option(NamedTuple):
    """One option.

    Attributes:
        allowed: what it may be, in words that continue "it may be".
        fits: whether a value is allowed.
        default: its value where none is given; None then stands for itself.
        required: whether it has to be given.
    """

    allowed: str
    fits: Callable[[Any], bool]
    default: Any = None
    required: bool = False


def check_options(
    kind: str, name: str, options: Mapping[str, Any], table: Mapping[str, Option]
) -> dict[str, Any]:
    """All options in `table`, defaults filled in.

    Args:
        kind, name: whose they are, as a message says it: "searcher", "grid".
        options: what was given.
        table: what may be given.

    Raises:
        SpecError: for an option or a value that is not allowed, or one that is missing.
    """
    for option in options:
        if option not in table:
            hint = nearest(option, table) if table else "it takes none"
            raise SpecError(f"{kind} {name}: {option!r} is no option of it; {hint}")
    filled = {}
    for option, rule in table.items():
        value = _whole(options[option]) if option in options else rule.default
        by_default = value is None and rule.default is None and not rule.required
        if not by_default and (value is None or not rule.fits(value)):
            given = "missing" if value is None else repr(value)
            raise SpecError(f"{kind} {name}: {option} is {given}; it may be {rule.allowed}")
        filled[option] = value
    return filled


def count(
    default: int | None = None, least: int = 1, required: bool = False, most: int = MOST
) -> Option:
    """A whole number from `least` to `most`; None only where that is the default."""
    allowed = f"{least} or more" if most == MOST else f"from {least} to {most:,}"
    return Option(
        f"a whole number, {allowed}",
        lambda v: is_whole(v) and least <= v <= most,
        default,
        required,
    )


def number(default: float | None, low: float, high: float) -> Option:
    """A number in [low, high]."""
    return Option(
        f"a number from {low:g} to {high:g}", lambda v: is_number(v) and low <= v <= high, default
    )


def flag(default: bool) -> Option:
    """True or false."""
    return Option("true or false", lambda v: isinstance(v, bool), default)


def word(default: str, *words: str) -> Option:
    """One of a few words, the default among them."""
    return Option(" or ".join(words), lambda v: isinstance(v, str) and v in words, default)


def is_whole(value: Any) -> bool:
    """Whether `value` is an integer (no bool)."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number (no bool)."""
    return is_whole(value) or (isinstance(value, float) and abs(value) < float("inf"))


def _whole(value: Any) -> Any:
    """3.0, as JSON and YAML may write it, is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
