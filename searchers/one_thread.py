"""Linear algebra on one thread, whatever the machine has.

The matrices here have some hundreds of rows: more threads would mostly wait for each other and for
the trials that run beside them, and they would add up in another order on another machine, so that
a resume might propose something else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import scipy.linalg  # noqa: F401  # its libraries have to be there when they are counted
from threadpoolctl import ThreadpoolController

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")
_LIBRARIES = ThreadpoolController()


def on_one_thread(function: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """`function`, during which numpy and scipy use one thread."""

    @wraps(function)
    def limited(*args: _Given.args, **kwargs: _Given.kwargs) -> _Made:
        with _LIBRARIES.limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
