"""The domain of parameters whose values nothing here can draw: a searcher makes them by itself."""

from __future__ import annotations

from typing import Any

from raysweep.trials.errors import SpaceError
from raysweep.trials.streams import Stream
from raysweep.trials.values import plain


class Free:
    """Any plain value: it has no law, so only a searcher that makes values by itself can fill it.

    Args:
        column: the type of its values in a table: float64, int64, string, bool or json (any).
    """

    size: int | None = None

    def __init__(self, column: str = "json") -> None:
        if not isinstance(column, str) or column not in _KINDS:
            raise SpaceError(f"free: got {column!r}; allowed are {', '.join(_KINDS)}")
        self.column = column

    def sample(self, stream: Stream) -> Any:
        """Refused.

        Raises:
            SpaceError: always.
        """
        return self.decode(0.5)

    def encode(self, value: Any) -> float:
        """It takes no place in the unit cube."""
        return 0.5

    def decode(self, u: float) -> Any:
        """Refused.

        Raises:
            SpaceError: always.
        """
        raise SpaceError("a free parameter has no law to draw from; give it a distribution")

    def contains(self, value: Any) -> bool:
        """Whether `value` is plain and of the column's type."""
        try:
            return isinstance(plain(value), _KINDS[self.column])
        except SpaceError:
            return False

    def at(self, index: int) -> Any:
        """Refused, as `decode`."""
        return self.decode(0.5)

    def describe(self) -> str:
        """The domain as an error message shows it."""
        return "any plain value" if self.column == "json" else f"any value of type {self.column}"


_KINDS: dict[str, tuple[type, ...]] = {
    "float64": (float, int),
    "int64": (int,),
    "string": (str,),
    "bool": (bool,),
    "json": (object,),
}
"""Column type to the Python types of a free parameter's values."""
