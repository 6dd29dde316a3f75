"""Numbers kept in ascending order, of which ranks and places are asked after every addition.

    n   how many there are
    B   `_MOST`, how many a block holds at most

They lie in blocks, each with their values and their orders of arrival in two flat arrays: a search
touches a few cache lines and no objects. How many stand before a block is counted in a Fenwick tree
over the blocks (Fenwick, "A new data structure for cumulative frequency tables", Software: Practice
and Experience 24, 1994), so that adding, ranking and looking up cost O(log n), and shifting at most
B numbers of 8 bytes. The tree is built anew when a block is full, once in B/2 additions or less
often.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from math import inf

Key = tuple[float, int]
"""A value, and how many had come before it."""
_MOST = 2048


class Ordered:
    """Numbers in ascending order; equal ones stand in the order in which they came.

    Args:
        values: those that have come so far, in this order.
    """

    def __init__(self, values: Iterable[float] = ()) -> None:
        keys: list[Key] = sorted((value, order) for order, value in enumerate(values))
        half = _MOST // 2
        parts = [keys[at : at + half] for at in range(0, len(keys), half)] or [[]]
        self._values = [array("d", (value for value, _ in part)) for part in parts]
        self._orders = [array("q", (order for _, order in part)) for part in parts]
        self._firsts = [(-inf, -1), *(part[0] for part in parts[1:])]  # whatever is less is in 0
        self._count = len(keys)
        self._plant()

    def _plant(self) -> None:
        """Count the blocks; `_tree[i]` is the size of the i & -i blocks that end with the i-th."""
        sizes = [len(values) for values in self._values]
        self._tree = [0, *sizes]
        for i in range(1, len(self._tree)):
            above = i + (i & -i)
            if above < len(self._tree):
                self._tree[above] += self._tree[i]
        self._widest = 1 << (len(sizes).bit_length() - 1)

    def add(self, value: float) -> int:
        """Enter a number behind its equals; returns its place, counted from 0."""
        block = bisect_right(self._firsts, (value, self._count)) - 1
        values = self._values[block]
        at = bisect_right(values, value)
        values.insert(at, value)
        self._orders[block].insert(at, self._count)
        self._count += 1
        place = self._before(block) + at
        if len(values) > _MOST:
            self._split(block)
        else:
            tree, i, end = self._tree, block + 1, len(self._tree)
            while i < end:
                tree[i] += 1
                i += i & -i
        return place

    def _split(self, block: int) -> None:
        half = _MOST // 2
        values, orders = self._values[block], self._orders[block]
        self._values[block : block + 1] = [values[:half], values[half:]]
        self._orders[block : block + 1] = [orders[:half], orders[half:]]
        self._firsts.insert(block + 1, (values[half], orders[half]))
        self._plant()

    def _before(self, block: int) -> int:
        tree, i, count = self._tree, block, 0
        while i:
            count += tree[i]
            i &= i - 1
        return count

    def place(self, value: float, order: int = -1) -> int:
        """How many stand before the `order`-th that came, `value`; -1: before all equals."""
        block = bisect_right(self._firsts, (value, order)) - 1
        values = self._values[block]
        low = bisect_left(values, value)
        if order >= 0:
            low = bisect_left(self._orders[block], order, low, bisect_right(values, value, low))
        return self._before(block) + low

    def key(self, place: int) -> Key:
        """The number at a place, counted from 0, and its order of arrival."""
        block, at = self._find(place)
        return self._values[block][at], self._orders[block][at]

    def _find(self, place: int) -> tuple[int, int]:
        """The block of a place, and where in it."""
        tree, block, width, end = self._tree, 0, self._widest, len(self._tree)
        while width:
            there = block + width
            if there < end and tree[there] <= place:
                block = there
                place -= tree[there]
            width >>= 1
        return block, place

    def arrivals(self) -> list[float]:
        """All numbers in the order in which they came."""
        came = [0.0] * self._count
        for order, value in zip(chain(*self._orders), chain(*self._values), strict=True):
            came[order] = value
        return came

    def __getitem__(self, place: int) -> float:
        block, at = self._find(place)
        return self._values[block][at]

    def __iter__(self) -> Iterator[float]:
        return chain.from_iterable(self._values)

    def __len__(self) -> int:
        return self._count
