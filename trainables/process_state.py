"""What a process has besides its memory, and how it is put back between two trials.

Each kind of state is read when the training code has been imported, and written back after each
trial that changed it. What cannot be written back (a hard limit that was lowered, another user) is
a reason to replace the process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import locale
import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from raysweep.trainables.patches import Patches

_get_handler = importlib.import_module("_signal").getsignal
"""As `signal.getsignal`, which makes an enum of what it finds: ten times as long."""
OWN = "raysweep-"
"""How the names of this package's threads begin."""
_SIGNALS = sorted(
    {s for s in signal.Signals if s < signal.SIGRTMIN} - {signal.SIGKILL, signal.SIGSTOP}
)
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})


class _Kind(NamedTuple):
    """One kind of state: its name, how it is read and how a former value is written back."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]


def _attribute(owner: Any, name: str) -> _Kind:
    """The object that stands under a name, as it is: not what is in it."""
    return _Kind(
        f"{owner.__name__}.{name}",
        lambda: _Same(getattr(owner, name)),
        lambda same: setattr(owner, name, same.value),
    )


class _Same:
    """Equal to itself and to whatever has the same object."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value


def _handlers() -> dict[int, Any]:
    return {number: _get_handler(number) for number in _SIGNALS}


def _handle(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        now = _get_handler(number)
        of_torch = getattr(now, "__module__", "").startswith("torch.")  # it sets one only once
        if handler is not None and now is not handler and not of_torch:
            signal.signal(number, handler)


def _stop_timers(before: object) -> None:
    for timer in _TIMERS:
        signal.setitimer(timer, 0.0)


def _unblock(before: set[signal.Signals]) -> None:
    """Signals that came while they were blocked were meant for the trial: they come to nothing."""
    while signal.sigpending() - before:
        signal.sigtimedwait(signal.sigpending() - before, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _limit(before: dict[int, tuple[int, int]]) -> None:
    for limit, pair in before.items():
        if resource.getrlimit(limit) != pair:
            resource.setrlimit(limit, pair)


def _set_environment(before: dict[bytes, bytes]) -> None:
    for name in os.environb.keys() - before.keys():
        del os.environb[name]
    for name, value in before.items():
        if os.environb.get(name) != value:
            os.environb[name] = value


def _data_of(environment: Any) -> dict[bytes, bytes]:
    """The dictionary behind `os.environb`: reading it by name takes ten times as long."""
    data: dict[bytes, bytes] = vars(environment)["_data"]
    return data


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _warn_as(before: list[Any]) -> None:
    warnings.filters[:] = before  # type: ignore[index]  # a list, as it is documented
    with warnings.catch_warnings():  # leaving it makes the filters known to the interpreter
        pass


def _write_path(before: tuple[_Same, list[str]]) -> None:
    sys.path = before[0].value
    sys.path[:] = before[1]


def _set_gc(before: tuple[bool, tuple[int, int, int]]) -> None:
    (gc.enable if before[0] else gc.disable)()
    gc.set_threshold(*before[1])


_KINDS = (
    _Kind("timers", lambda: all(signal.getitimer(t)[0] == 0.0 for t in _TIMERS), _stop_timers),
    _Kind("signal mask", lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()), _unblock),
    _Kind("signal handlers", _handlers, _handle),
    _attribute(os, "environ"),
    _Kind("environment", lambda: dict(_data_of(os.environb)), _set_environment),
    _Kind("resource limits", lambda: {n: resource.getrlimit(n) for n in _LIMITS}, _limit),
    _Kind("umask", _read_umask, os.umask),
    _Kind(
        "priority",
        lambda: os.getpriority(os.PRIO_PROCESS, 0),
        lambda nice: os.setpriority(os.PRIO_PROCESS, 0, nice),
    ),
    _Kind(
        "CPU affinity",
        lambda: os.sched_getaffinity(0),
        lambda cores: os.sched_setaffinity(0, cores),
    ),
    _Kind("sys.path", lambda: (_Same(sys.path), list(sys.path)), _write_path),
    _Kind("sys.argv", lambda: list(sys.argv), lambda words: setattr(sys, "argv", words)),
    _attribute(sys, "stdin"),
    _attribute(sys, "excepthook"),
    _attribute(sys, "unraisablehook"),
    _attribute(sys, "displayhook"),
    _attribute(threading, "excepthook"),
    _Kind("trace function", lambda: _Same(sys.gettrace()), lambda same: sys.settrace(same.value)),
    _Kind("profiler", lambda: _Same(sys.getprofile()), lambda same: sys.setprofile(same.value)),
    _Kind("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Kind("switch interval", sys.getswitchinterval, sys.setswitchinterval),
    _Kind("garbage collection", lambda: (gc.isenabled(), gc.get_threshold()), _set_gc),
    _Kind("warnings filters", lambda: list(warnings.filters), _warn_as),
    _Kind(
        "locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda name: locale.setlocale(locale.LC_ALL, name),
    ),
    _Kind("socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
    _Kind("numpy's error handling", np.geterr, lambda how: np.seterr(**how)),
    _Kind(
        "multiprocessing's start method",
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda method: multiprocessing.set_start_method(method, force=True),
    ),
)


class _Folder:
    """The working directory, which may be renamed meanwhile."""

    def __init__(self) -> None:
        self._path = os.getcwd()  # noqa: PTH109 - text is compared
        self._descriptor = os.open(".", os.O_PATH | os.O_CLOEXEC)

    def restore(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # the trial's own was removed
            if os.getcwd() == self._path:  # noqa: PTH109
                return
        try:
            os.fchdir(self._descriptor)
        except OSError:  # training code has closed all descriptors
            os.chdir(self._path)


class _Logs:
    """Handlers and levels of loggers.

    Those of loggers that the training code makes during a trial are taken away, or the next trial
    would write each line twice; but not those of a module that was imported during the trial, since
    it will not be imported again.
    """

    def __init__(self) -> None:
        self._disabled = logging.root.manager.disable
        self._modules = 0
        self._seen: list[_Configured] = []
        self._look()

    def restore(self) -> None:
        if logging.root.manager.disable != self._disabled:
            logging.disable(self._disabled)
        made = len(logging.root.manager.loggerDict)
        if made != self._made or list(map(_set_to, self._loggers)) != self._seen:
            imported = itertools.islice(sys.modules, self._modules, None)
            self._put_back(_configured(), {name.partition(".")[0] for name in imported})
            self._look()
        self._modules = len(sys.modules)

    def _look(self) -> None:
        """Take what is there now for what each trial finds."""
        self._before, self._modules = _configured(), len(sys.modules)
        self._made = len(logging.root.manager.loggerDict)
        self._loggers = [logging.getLogger(name) for name in self._before]
        self._seen = list(self._before.values())

    def _put_back(self, now: dict[str, _Configured], imported: set[str]) -> None:
        for name, configured in now.items():
            before = self._before.get(name, _UNTOUCHED)
            if configured == before or (
                name not in self._before and name.partition(".")[0] in imported
            ):
                continue
            logger = logging.getLogger(name)
            handlers, level, logger.propagate, logger.disabled = before
            logger.handlers[:] = handlers
            logger.setLevel(level)


_set_to = attrgetter("handlers", "level", "propagate", "disabled")
_Configured = tuple[list[logging.Handler], int, bool, bool]
_UNTOUCHED: _Configured = ([], logging.NOTSET, True, False)


def _configured() -> dict[str, _Configured]:
    """Each logger by name with what it is set to; "" is the root."""
    made = [("", logging.root), *logging.root.manager.loggerDict.items()]
    return {
        name: (list(x.handlers), x.level, x.propagate, x.disabled)
        for name, x in made
        if isinstance(x, logging.Logger)
    }


class ProcessState:
    """The state of this process as it is when this is made; `restore` brings it back."""

    def __init__(self) -> None:
        self._before = [(kind, kind.read()) for kind in _KINDS]
        self._folder, self._logs, self._patches = _Folder(), _Logs(), Patches()
        self._threads = set(threading.enumerate())
        self._rights = _rights()

    def restore(self) -> str | None:
        """Bring it back, in the process's main thread.

        Returns:
            What cannot be brought back, in words; None if all is as it was.
        """
        try:
            self._patches.restore()  # first of all, since what follows uses them
        except Exception as error:
            return f"it changed functions or modules, which cannot be put back ({error})"
        if _rights() != self._rights:
            return "it changed the process's user, groups or root directory"
        for kind, before in self._before:
            try:
                if kind.read() != before:
                    kind.write(before)
            except Exception as error:  # a library may have put anything in the place of these
                return f"it changed the {kind.name}, which cannot be put back ({error})"
        try:
            self._folder.restore()
        except OSError as error:
            return f"the working directory cannot be put back ({error})"
        self._logs.restore()
        gone = [t.name for t in self._threads if t.name.startswith(OWN) and not t.is_alive()]
        if gone:
            return f"the thread {gone[0]} has died"
        running = [t.name for t in threading.enumerate() if self._is_left(t)]
        return f"its thread {running[0]} still runs" if running else None

    def _is_left(self, thread: threading.Thread) -> bool:
        if thread.daemon or thread in self._threads or not thread.is_alive():
            return False
        frame = sys._current_frames().get(thread.ident or 0)
        # a worker of an executor that has nothing to do waits in C, called by its loop
        if frame is None:
            return True
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if name != "_worker" or not file.endswith("concurrent/futures/thread.py"):
            return True
        queue = frame.f_locals.get("work_queue")  # or it has just been given something to do
        return queue is None or queue.qsize() > 0 or frame.f_locals.get("work_item") is not None


def _rights() -> tuple[Any, ...]:
    root = os.stat("/")  # noqa: PTH116 - after each trial, and a Path takes longer
    return os.getresuid(), os.getresgid(), os.getgroups(), root.st_dev, root.st_ino
