"""What values one parameter can take, and how they lie on the unit interval.

Every domain maps its values to [0, 1] and back so that equal lengths are equally likely under
`sample`: a log domain is uniform in the logarithm, and each of the n values of a finite domain
owns one n-th (under log: what its neighbours leave it). `decode(encode(v)) == v` for every value
of a finite domain, up to rounding for a continuous one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

from raysweep.trials.errors import SpaceError
from raysweep.trials.streams import Stream
from raysweep.trials.values import finite, key, plain, whole

_EXACT = float(1 << 53)


class Domain(Protocol):
    """The values that a parameter can take."""

    @property
    def size(self) -> int | None:
        """How many values there are; None: it is continuous."""
        ...

    @property
    def column(self) -> str:
        """The type of the values in a table: float64, int64, string, bool or json."""
        ...

    def sample(self, stream: Stream) -> Any:
        """One value, drawn from `stream`."""
        ...

    def encode(self, value: Any) -> float:
        """Where `value`, which the domain contains, lies in [0, 1]."""
        ...

    def decode(self, u: float) -> Any:
        """The value at `u`; what is outside [0, 1] counts as its nearer end."""
        ...

    def contains(self, value: Any) -> bool:
        """Whether a config may give the parameter this value."""
        ...

    def at(self, index: int) -> Any:
        """The `index`-th value of a finite domain, in ascending order or as listed."""
        ...

    def describe(self) -> str:
        """The domain as an error message shows it."""
        ...


def grid(domain: Domain, points: int | None = None) -> Sequence[Any]:
    """The values of a domain for a grid, enumerated lazily.

    Args:
        domain: the domain.
        points: how many values, evenly spaced on the unit interval with both ends among them. None,
            or as many as there are: all of them. The options of a choice are never thinned.

    Raises:
        SpaceError: for a continuous domain without `points`.
    """
    size = domain.size
    if size is not None and (points is None or points >= size or isinstance(domain, Choice)):
        return _All(domain, size)
    if points is None:
        raise SpaceError(
            f"{domain.describe()} is continuous and has no finite grid; say how many points, or "
            f"give it a step (quniform) or a list (choice)"
        )
    return _Spaced(domain, points)


class _Lazy(Sequence[Any]):
    """Values of a domain, without a list of them."""

    def __init__(self, domain: Domain, size: int) -> None:
        self._domain, self._size = domain, size

    def _at(self, index: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._size))]
        if not -self._size <= index < self._size:
            raise IndexError(index)
        return self._at(index % self._size)


class _All(_Lazy):
    """All values of a finite domain."""

    def _at(self, index: int) -> Any:
        return self._domain.at(index)


class _Spaced(_Lazy):
    """Evenly spaced values, both ends among them; a single one is the middle."""

    def _at(self, index: int) -> Any:
        return self._domain.decode(index / (self._size - 1) if self._size > 1 else 0.5)


class Float:
    """Floats in [low, high], uniform or, with `log`, uniform in the logarithm.

    Args:
        low: the least value.
        high: the greatest value; with `step`, the last of low + k·step that does not exceed it.
        log: whether the logarithm is uniform; `low` must then be positive.
        step: the distance between neighbouring values; None: continuous.

    Raises:
        SpaceError: for a range that is empty, inverted or not finite, or a log of what is not
            positive.
    """

    column = "float64"

    def __init__(
        self, low: float, high: float, log: bool = False, step: float | None = None
    ) -> None:
        self.low, self.high = finite("low", low), finite("high", high)
        self.log = log
        self.step = None if step is None else finite("step", step)
        _check_range(self)
        self.size: int | None = None
        start, end = self.low, self.high
        if self.step is not None:
            self.size = math.floor((self.high - self.low) / self.step + 1e-6) + 1
            self._digits = max(_decimals(self.low), _decimals(self.step))
            start, end = _edges(self.low, self.at(self.size - 1), self.step)
        self._start, self._end = start, end
        self._offset = math.log(start) if log else start
        self._width = (math.log(end) if log else end) - self._offset

    def sample(self, stream: Stream) -> float:
        """One value."""
        return self.decode(stream.uniform())

    def encode(self, value: float) -> float:
        """Where `value` lies in [0, 1]."""
        if self.size is not None and not self.log:
            return (self._nearest(value) + 0.5) / self.size
        x = math.log(value) if self.log else value
        return min(1.0, max(0.0, (x - self._offset) / self._width))

    def decode(self, u: float) -> float:
        """The value at `u`."""
        if self.size is not None and not self.log:
            return self.at(min(self.size - 1, max(0, int(u * self.size))))
        x = self._offset + u * self._width
        if self.log:
            x = math.exp(x)
        if self.size is not None:
            return self.at(self._nearest(x))
        if u <= 0.0:  # the ends exactly, whatever exp and log make of them
            return self.low
        return self.high if u >= 1.0 else min(self.high, max(self.low, x))

    def contains(self, value: Any) -> bool:
        """Whether `value` is a number in range and, with a step, on it."""
        if not isinstance(value, (float, int)) or isinstance(value, bool):
            return False
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        return abs(self.at(self._nearest(value)) - value) <= 1e-6 * self.step

    def at(self, index: int) -> float:
        """The value `index` steps above `low`."""
        assert self.step is not None, "only a stepped domain can be indexed"
        value = round(self.low + index * self.step, self._digits)
        return min(self.high, max(self.low, value))  # rounding may leave the range by a hair

    def _nearest(self, value: float) -> int:
        assert self.step is not None
        assert self.size is not None
        return min(self.size - 1, max(0, round((value - self.low) / self.step)))

    def describe(self) -> str:
        """The domain as an error message shows it."""
        return _describe("numbers", self)


class Int:
    """Integers low, low + step, ..., both bounds inclusive, uniform or uniform in the logarithm.

    Raises:
        SpaceError: for a range that is empty, inverted or beyond 64 bits, or a log of what is not
            positive.
    """

    column = "int64"

    def __init__(self, low: int, high: int, log: bool = False, step: int = 1) -> None:
        self.low, self.high, self.step = whole("low", low), whole("high", high), whole("q", step)
        self.log = log
        _check_range(self)
        self.size: int = (self.high - self.low) // self.step + 1
        start, end = _edges(self.low, self.at(self.size - 1), self.step)
        self._offset = math.log(start) if log else 0.0
        self._width = math.log(end) - self._offset if log else 0.0

    def sample(self, stream: Stream) -> int:
        """One value."""
        if self.log:
            return self.decode(stream.uniform())
        return self.low + self.step * stream.integer(0, self.size)

    def encode(self, value: int) -> float:
        """Where `value` lies in [0, 1]; exact for up to 2**52 values, under log 2**40."""
        if self.log:
            return (math.log(value) - self._offset) / self._width
        return ((value - self.low) // self.step + 0.5) / self.size

    def decode(self, u: float) -> int:
        """The value at `u`."""
        if self.log:
            u = min(1.0, max(0.0, u))
            index = round((math.exp(self._offset + u * self._width) - self.low) / self.step)
        else:
            index = int(u * self.size)
        return self.low + self.step * min(self.size - 1, max(0, index))

    def contains(self, value: Any) -> bool:
        """Whether `value` is an integer in range and on the step."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    def at(self, index: int) -> int:
        """The value `index` steps above `low`."""
        return self.low + index * self.step

    def describe(self) -> str:
        """The domain as an error message shows it."""
        return _describe("integers", self)


class Choice:
    """One of a list of options, each equally likely.

    Args:
        options: plain JSON values; lists and mappings are allowed, functions and objects are not.
        ordered: whether neighbours in the list are alike, which model-based searchers use.

    Raises:
        SpaceError: for no options, the same option twice, or one that JSON cannot hold.
    """

    def __init__(self, options: Sequence[Any], ordered: bool = False) -> None:
        if isinstance(options, (str, bytes)) or not isinstance(options, Sequence):
            raise SpaceError(f"options must be a list, got {options!r}; write choice: [a, b, c]")
        self.options: tuple[Any, ...] = tuple(plain(option) for option in options)
        if not self.options:
            raise SpaceError("a choice has no options; list at least one")
        self.ordered = ordered
        self.size: int = len(self.options)
        self.column = _column(self.options)
        self._index: dict[Any, int] = {}
        for index, option in enumerate(self.options):
            if self._index.setdefault(key(option), index) != index:
                raise SpaceError(f"a choice lists {option!r} twice; each option may stand once")

    def sample(self, stream: Stream) -> Any:
        """One option."""
        return self.options[stream.integer(0, self.size)]

    def encode(self, value: Any) -> float:
        """The middle of the option's share of [0, 1]."""
        return (self._index[key(value)] + 0.5) / self.size

    def decode(self, u: float) -> Any:
        """The option whose share of [0, 1] holds `u`."""
        return self.options[min(self.size - 1, max(0, int(u * self.size)))]

    def contains(self, value: Any) -> bool:
        """Whether `value` is one of the options."""
        try:
            return key(value) in self._index
        except (SpaceError, TypeError):
            return False

    def at(self, index: int) -> Any:
        """The `index`-th option."""
        return self.options[index]

    def describe(self) -> str:
        """The domain as an error message shows it."""
        shown = ", ".join(map(repr, self.options[:12])) + (", ..." if self.size > 12 else "")
        return f"one of {shown}"


class Fixed(Choice):
    """A value that never varies; it takes no place in the unit cube."""

    def __init__(self, value: Any) -> None:
        super().__init__([value])
        self.value: Any = self.options[0]

    def describe(self) -> str:
        """The domain as an error message shows it."""
        return f"always {self.value!r}"


def _column(options: Sequence[Any]) -> str:
    kinds = {type(option) for option in options}
    if kinds == {int, float}:
        return "float64"
    if len(kinds) > 1:
        return "json"
    return {str: "string", bool: "bool", int: "int64", float: "float64"}.get(kinds.pop(), "json")


def _check_range(domain: Float | Int) -> None:
    low, high, step = domain.low, domain.high, domain.step
    if low > high:
        raise SpaceError(f"the range [{low!r}, {high!r}] is inverted; write the lower bound first")
    if low == high:
        raise SpaceError(
            f"the range [{low!r}, {high!r}] holds one value only; write the value itself to fix it"
        )
    if domain.log and low <= 0:
        raise SpaceError(
            f"a log range must begin above 0, got [{low!r}, {high!r}]; raise the lower bound or "
            f"drop the log"
        )
    if step is not None and not 0 < step <= high - low:
        raise SpaceError(
            f"a step must be above 0 and at most the range's width {high - low!r}, got {step!r}"
        )
    if not math.isfinite(high - low) or (step is not None and (high - low) / step > _EXACT):
        raise SpaceError(f"the range [{low!r}, {high!r}] is too wide for 64-bit floats; narrow it")


def _edges(first: float, last: float, step: float) -> tuple[float, float]:
    """Where the shares of a stepped domain's first and last value end, half a step outside."""
    return max(first - step / 2, first / 2), last + step / 2


def _decimals(number: float) -> int:
    """How many decimals the shortest text that gives `number` back has."""
    return max(0, -int(Decimal(repr(number)).as_tuple().exponent))


def _describe(noun: str, domain: Float | Int) -> str:
    step = "" if domain.step in (None, 1) else f" in steps of {domain.step!r}"
    log = " (log)" if domain.log else ""
    return f"{noun} from {domain.low!r} to {domain.high!r}{step}{log}"
