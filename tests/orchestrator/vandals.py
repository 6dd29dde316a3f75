"""What a trial can do to its process; each act is done in the middle of a trial's training."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raysweep.trainables import descendants
from raysweep.trainables.base import Trainable

FAILED, COMPLETED = frozenset({"FAILED"}), frozenset({"COMPLETED"})
EITHER = FAILED | COMPLETED
ACTS: dict[str, tuple[Callable[[], Any], frozenset[str]]] = {}
"""Name → what is done, and how a trial that does it may end. What is returned is reported, too."""
IN_CLEANUP: dict[str, Callable[[], Any]] = {}


def act(name: str, ends: frozenset[str]) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def enter(function: Callable[[], Any]) -> Callable[[], Any]:
        ACTS[name] = function, ends
        return function

    return enter


class Vandal(Trainable):
    """A trial of three steps, in whose second one it does what its kind says; or an honest one."""

    def setup(self, config: dict[str, Any]) -> None:
        """Where to write down the processes."""
        self.kind = config["kind"]
        PIDS[:] = [Path(config["pids"])]
        note(os.getpid())

    def step(self) -> dict[str, Any] | None:
        """Do it."""
        if self.step_number == 3:
            return None
        report = {"loss": 0.5 if self.kind in ACTS else 0.1}
        if self.step_number == 1:
            report |= (ACTS[self.kind][0] if self.kind in ACTS else honest)() or {}
        return report

    def save(self, folder: Path) -> None:
        """One small file."""
        (folder / "weights.json").write_text("[1]")

    def load(self, folder: Path) -> None:
        """Nothing to take back."""

    def cleanup(self) -> None:
        """Do it here."""
        if self.kind in IN_CLEANUP:
            IN_CLEANUP[self.kind]()


PIDS: list[Path] = []
"""The file in which the processes of the sweep are written down."""


def honest() -> None:
    """Use what vandals break."""
    assert json.loads(json.dumps({"a": 1})) == {"a": 1}
    assert pickle.loads(pickle.dumps([1])) == [1]
    time.sleep(0.02)  # noqa: TID251 - what a vandal may have patched
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        assert os.write(file.fileno(), b"1") == 1
    import colorsys  # one that nothing else needs

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    assert subprocess.run(["true"], check=True).returncode == 0
    print("fine", flush=True)


def note(pid: int) -> None:
    """Write down a process, to be looked for in the end."""
    process = descendants.process_of(pid)
    with PIDS[0].open("a") as file:
        file.write(f"{pid} {process.started if process else 0}\n")


def left_of(pids: Path) -> list[int]:
    """Those of the processes written down that still run."""
    noted = {tuple(map(int, line.split())) for line in pids.read_text().splitlines()}
    found = {pid: descendants.process_of(pid) for pid, _ in noted}
    return [pid for pid, started in noted if (p := found[pid]) and p.started == started]


def _discard(*values: object) -> None:
    """Report none of it."""


def _close_output() -> None:
    sys.stdout.close()
    os.close(1)
    os.close(2)


act("exits", FAILED)(lambda: os._exit(7))
act("exits with 0", FAILED)(lambda: os._exit(0))
act("segfaults", FAILED)(lambda: ctypes.string_at(0))
act("aborts", FAILED)(os.abort)
act("kills itself", FAILED)(lambda: os.kill(os.getpid(), signal.SIGKILL))
act("terminates itself", FAILED)(lambda: os.kill(os.getpid(), signal.SIGTERM))
act("closes all descriptors", EITHER)(lambda: os.closerange(3, 256))
act("closes its output", EITHER)(_close_output)
act("reports 10,000 names", FAILED)(lambda: {f"m{n}": 1.0 for n in range(10_000)})
act("reports 10 MB of text", FAILED)(lambda: {"text": "x" * 10_000_000})
act("reports text as its loss", EITHER)(lambda: {"loss": "low"})
act("reports NaN", COMPLETED)(lambda: {"loss": float("nan")})
act("reports infinity", COMPLETED)(lambda: {"loss": float("-inf"), "more": float("inf")})
act("reports 10^400", EITHER)(lambda: {"loss": 10**400, "n": -(10**400)})
act("reports odd names", EITHER)(lambda: {"a\nb": 1.0, "\x1b[31mred": 2.0, "": 3.0, "\ud800": 4.0})
act("reports odd text", EITHER)(lambda: {"note": "\ud800\x00\x1b]0;title\x07"})
act("exits in a thread", COMPLETED)(lambda: threading.Thread(target=sys.exit).start())
act("sets a timer", EITHER)(lambda: _discard(signal.setitimer(signal.ITIMER_REAL, 0.3)))
act("sets an alarm", EITHER)(lambda: _discard(signal.alarm(1)))
act("raises an alarm", FAILED)(lambda: os.kill(os.getpid(), signal.SIGALRM))
act("ignores signals", COMPLETED)(
    lambda: _discard(*(signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGCHLD)))
)
act("clears sys.modules", EITHER)(sys.modules.clear)
act("empties sys.path", EITHER)(sys.path.clear)
act("cleanup hangs", COMPLETED)(lambda: None)
act("cleanup exits", COMPLETED)(lambda: None)
act("cleanup raises", COMPLETED)(lambda: None)
act("cleanup raises what is no Exception", COMPLETED)(lambda: None)
IN_CLEANUP["cleanup hangs"] = lambda: threading.Event().wait()
IN_CLEANUP["cleanup exits"] = lambda: os._exit(1)
IN_CLEANUP["cleanup raises"] = lambda: 1 // 0


@act("prints 50 MB", COMPLETED)
def _print() -> None:
    for _ in range(50):
        print("x" * (1 << 20))


@act("recurses", FAILED)
def _recurse() -> None:
    _recurse()


@act("recurses without limit", FAILED)
def _recurse_on() -> None:
    sys.setrecursionlimit(2**31 - 1)
    nested: Any = []
    for _ in range(10**6):
        nested = [nested]
    repr(nested)


class Stubborn(Exception):
    """Can neither be pickled nor shown."""

    def __init__(self) -> None:
        super().__init__("stubborn")
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Foreign(BaseException):
    """No Exception; a process that unpickles it can be seen to have done so."""

    def __reduce__(self) -> Any:
        return Path.write_text, (PIDS[0].with_name("unpickled"), "code of a trial ran here")


def _raises(error: type[BaseException]) -> Callable[[], Any]:
    def raise_it() -> None:
        raise error

    return raise_it


IN_CLEANUP["cleanup raises what is no Exception"] = _raises(Foreign)

for _error in (Stubborn, Foreign, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration):
    act(f"raises {_error.__name__}", FAILED)(_raises(_error))


def _broken(*arguments: Any, **more: Any) -> Any:
    raise RuntimeError("patched by a trial")


def _patches(module: Any, name: str) -> Callable[[], None]:
    return lambda: setattr(module, name, _broken)


for _module, _name in (
    (json, "dumps"), (json, "loads"), (pickle, "dumps"), (os, "write"), (os, "getpid"),
    (time, "sleep"), (time, "monotonic"), (time, "time"), (threading.Event, "wait"),
):  # fmt: skip
    act(f"patches {_module.__name__}.{_name}", EITHER)(_patches(_module, _name))


@act("puts None for modules", EITHER)
def _poison() -> None:
    for name in ("json", "os", "numpy", "raysweep", "raysweep.trainables.runner", "colorsys"):
        sys.modules[name] = None  # type: ignore[assignment]


@act("removes its working directory", COMPLETED)
def _remove_cwd() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    shutil.rmtree(folder)


@act("threads print on", COMPLETED)
def _print_on() -> None:
    def forever() -> None:
        while True:
            print("still here")
            threading.Event().wait(0.001)

    for daemon in (True, False):
        threading.Thread(target=forever, daemon=daemon).start()


@act("leaves a fork", COMPLETED)
def _fork() -> None:
    if os.fork() == 0:
        note(os.getpid())
        while True:
            signal.pause()


@act("leaves a session", COMPLETED)
def _session() -> None:
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    note(process.pid)


@act("dies beside a fork", FAILED)
def _die_forked() -> None:
    _fork()
    os._exit(3)


@act("lowers RLIMIT_AS", EITHER)
def _starve() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
    bytearray(1 << 24)


@act("lowers RLIMIT_NOFILE", EITHER)
def _no_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
