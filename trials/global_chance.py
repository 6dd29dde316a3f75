"""The process-wide random generators, lent to code that we do not write and that draws from them.

Tune's schedulers, and users' `sample_from` functions, searchers and schedulers, draw from `random`
and `numpy.random`. While they run, both give what one keyed stream says; afterwards both go on as
if nothing had been drawn. So a resumed sweep draws what an uninterrupted one draws, and a driver
whose user has seeded them is not disturbed.
"""

from __future__ import annotations

import ctypes
import random  # noqa: TID251 - its state is set and put back, nothing is drawn here
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.random import MT19937, mtrand  # noqa: TID251 - whether something was drawn

from raysweep.trials.streams import Stream


@contextmanager
def lent(stream: Stream) -> Iterator[None]:
    """Within this context both global generators draw from `stream`."""
    plain, array = random.getstate(), np.random.get_state()  # noqa: NPY002, TID251 - put back below
    random.seed(stream.integer(0, 1 << 62))
    np.random.seed(stream.integer(0, 1 << 32))  # noqa: NPY002, TID251 - others draw from it
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(array)  # noqa: NPY002, TID251 - as it was before


class Generators:
    """The global generators of a process that runs one trial after another.

    A trial finds them as a new process would have them: seeded, if the training code seeds them
    when it is imported, and otherwise from the operating system's entropy, not as the trial before
    left them.
    """

    def __init__(self) -> None:
        self._first = _plain(), _words()
        self.imported()

    def imported(self) -> None:
        """The training code is imported now."""
        plain, words = _plain(), _words()
        self._plain = None if plain == self._first[0] else plain
        self._array = None
        if words != self._first[1]:
            self._array = np.random.get_state()  # noqa: NPY002, TID251 - nothing is drawn
        self._found = words

    def restore(self) -> None:
        """Make them as the next trial should find them."""
        if self._plain is None:
            random.seed()
        else:
            random.setstate(self._plain)
        if _words() == self._found:
            return  # nothing was drawn: seeding would take a hundred times as long
        if self._array is None:
            np.random.seed()  # noqa: NPY002, TID251 - nothing is drawn here
        else:
            np.random.set_state(self._array)  # noqa: NPY002, TID251 - as it was
        self._found = _words()


def _plain() -> Any:
    return random.getstate()


def _words() -> bytes:
    """The state of numpy's global generator as it lies in memory; each draw changes it."""
    bits = mtrand.get_bit_generator()
    size = 624 * 4 + 4  # a key and a position, if it is a Mersenne twister, as it is at first
    address: int = bits.ctypes.state_address
    return ctypes.string_at(address, size) if type(bits) is MT19937 else b""
