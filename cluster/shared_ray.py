"""One connection of this process to Ray, shared by all sweeps that run in it, in whatever threads.

Ray knows one connection a process. The first user makes it and the last one ends it, both under a
lock, so that whoever comes meanwhile waits. A thread of its own makes, keeps and ends it, for two reasons: the
kernel ends Ray's servers with the *thread* that started them (PR_SET_PDEATHSIG), which may be that of a
sweep that ends first; and Ray puts its own handler for SIGTERM only when it starts in the main
thread, where a signal would also tear its start apart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Shared(Generic[_T]):
    """Makes one thing for all who use it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._keeper: _Keeper[_T] | None = None

    @contextmanager
    def use(
        self, make: Callable[[], AbstractContextManager[_T]], check: Callable[[_T], None]
    ) -> Iterator[_T]:
        """The thing for as long as the block lasts.

        Args:
            make: makes and ends it; called if nobody else has it, in a thread of its own.
            check: called with that of others; raises if it is not what is wanted here.
        """
        with self._lock:
            value = self._begin(make, check)
            self._users += 1
        try:
            yield value
        finally:
            with self._lock:
                self._users -= 1
                if not self._users and self._keeper is not None:
                    self._keeper.end()
                    self._keeper = None

    def _begin(
        self, make: Callable[[], AbstractContextManager[_T]], check: Callable[[_T], None]
    ) -> _T:
        if self._users and self._keeper is not None:
            value = self._keeper.value()
            check(value)
            return value
        if self._keeper is not None:  # a start that was interrupted
            self._keeper.end()
        self._keeper = _Keeper(make)
        try:
            return self._keeper.value()
        except Exception:
            self._keeper = None
            raise


class _Keeper(Generic[_T]):
    """The thread that makes the thing, keeps it, and ends it."""

    def __init__(self, make: Callable[[], AbstractContextManager[_T]]) -> None:
        self._make = make
        self._made: list[_T] = []
        self._error: BaseException | None = None
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="raysweep-ray", daemon=True)
        self._thread.start()

    def value(self) -> _T:
        """What was made; raises what its making raised."""
        try:
            self._ready.wait()
        except BaseException:  # Ctrl-C: whatever comes of it is not wanted
            self._over.set()
            raise
        if self._error is not None:
            raise self._error
        return self._made[0]

    def end(self) -> None:
        """Let it end; back when it has."""
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            with self._make() as value:
                self._made.append(value)
                self._ready.set()
                self._over.wait()
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()
