"""Keyed random streams: what trial 17 draws depends on (seed, 17, purpose), never on what ran before.

A stream is BLAKE2b in counter mode. It costs about a microsecond to make, which a sweep that
starts a thousand trials a second needs, and gives the same numbers on every platform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from statistics import NormalDist
from struct import Struct
from typing import TypeVar

import numpy as np

Generator = np.random.Generator
"""Numpy's generator, as `Stream.generator` makes it."""
_T = TypeVar("_T")
_TWO53 = float(1 << 53)
_NORMAL = NormalDist()
_WORDS = Struct("<8Q")


class Stream:
    """Random numbers for one purpose of one trial.

    Args:
        seed: the sweep's seed.
        key: whatever names the purpose, e.g. `("t000017", "ask")`.
    """

    __slots__ = ("_count", "_key", "_words")

    def __init__(self, seed: int, *key: str | int) -> None:
        self._key = blake2b("\x1f".join(map(str, (seed, *key))).encode(), digest_size=32).digest()
        self._count = 0
        self._words: list[int] = []

    def _word(self) -> int:
        """The next 64 uniform bits."""
        if not self._words:
            block = blake2b(self._count.to_bytes(8, "little"), key=self._key).digest()
            self._count += 1
            self._words = list(_WORDS.unpack(block))
        return self._words.pop()

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A float in [low, high)."""
        return low + (high - low) * ((self._word() >> 11) / _TWO53)

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high), unbiased up to 2**-64 of the range."""
        return low + (self._word() * (high - low) >> 64)

    def choice(self, options: Sequence[_T]) -> _T:
        """One of `options`, each as likely as the others."""
        return options[self.integer(0, len(options))]

    def normal(self, mean: float = 0.0, sd: float = 1.0) -> float:
        """A normally distributed float (inverse of the distribution function)."""
        return mean + sd * _NORMAL.inv_cdf(((self._word() >> 11) + 0.5) / _TWO53)

    def lognormal(self, median: float, sigma: float) -> float:
        """exp(N(ln median, sigma²))."""
        return median * math.exp(self.normal(0.0, sigma))

    def generator(self) -> np.random.Generator:
        """A numpy generator seeded from this stream, for draws by the array."""
        key = (self._word() << 64) | self._word()
        return np.random.Generator(np.random.Philox(key=key))
