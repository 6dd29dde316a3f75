"""Values between values: percentiles of what is kept in order, and smoothed curves."""

from __future__ import annotations

from typing import Protocol


class Ascending(Protocol):
    """Finite values, ascending, with quick access by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> float: ...


def between(low: float, high: float, share: float) -> float:
    """The value at `share` (0 … 1) of the way from `low` to `high`.

    It is never outside of the two, however they are rounded, and equals both if they are equal.
    """
    value = low * (1 - share) + high * share
    return max(min(low, high), min(max(low, high), value))


def percentile_of(ordered: Ascending, percentile: float) -> float | None:
    """The value below which `percentile` per cent lie; None of nothing.

    Between two values it is interpolated linearly (Hyndman & Fan, "Sample Quantiles in Statistical
    Packages", 1996, definition 7), so that 50 is the median.

    Args:
        ordered: what there is, as `sorted` gives it.
        percentile: 0 … 100.

    Example:
        >>> percentile_of([1.0, 2.0, 4.0], 75)
        3.0
    """
    if not ordered:
        return None
    place = (len(ordered) - 1) * percentile / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(between(ordered[below], ordered[above], place - below))


def smoothed(before: float | None, score: float, smoothing: float) -> float:
    """The next value of an exponential moving average; the first is the score itself.

    Args:
        before: its value so far, None before the first score.
        score: finite.
        smoothing: weight of the past, 0 (none) … below 1.
    """
    return score if before is None else between(score, before, smoothing)
