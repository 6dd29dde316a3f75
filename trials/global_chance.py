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
