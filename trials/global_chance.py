"""The process-wide random generators, lent to code that we do not write and that draws from them.

Tune's schedulers, and users' `sample_from` functions, searchers and schedulers, draw from `random`
and `numpy.random`. While they run, both give what one keyed stream says; afterwards both go on as
if nothing had been drawn. So a resumed sweep draws what an uninterrupted one draws, and a driver
whose user has seeded them is not disturbed.
"""

from __future__ import annotations

import random  # noqa: TID251 - its state is set and put back, nothing is drawn here
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

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
        self._at_first = self._at_start = _state()

    def imported(self) -> None:
        """The training code is imported now."""
        self._at_start = _state()

    def restore(self) -> None:
        """Make them as the next trial should find them."""
        if _same(self._at_first, self._at_start):
            random.seed()
            np.random.seed()  # noqa: NPY002, TID251 - nothing is drawn here
            return
        random.setstate(self._at_start[0])
        np.random.set_state(self._at_start[1])  # noqa: NPY002, TID251 - as it was


def _state() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state()  # noqa: NPY002, TID251 - nothing is drawn


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return one[0] == other[0] and all(
        np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True)
    )
