"""The program's end of the wire to its trial, and the hooks in its `wandb`.

Runs inside the user's program, in whatever Python that is: a copy of this file and of
`program_standin.py` is put on its path, with the standard library as the only dependency. `log`
follows the rules by which W&B makes history rows (`step`, `commit`); a row that has all of the
sweep's metrics is a step of the trial, and what the rows before it held goes with it.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

MAX_NAMES = 300
MAX_TEXT = 100
_PLAIN = (bool, int, float)


class Link:
    """What a program tells its trial.

    Args:
        path: the trial's socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._pid = 0
        self._socket: socket.socket | None = None
        self._welcome: dict[str, Any] = {"config": {}, "metrics": [], "reports": False}
        self._step = 0
        self._row: dict[str, Any] = {}
        self._gathered: dict[str, Any] = {}
        self._known: set[str] = set()
        self._latest: dict[str, Any] = {}

    def begin(self) -> dict[str, Any]:
        """Say that this process has begun a run, once; gives the config of the trial."""
        with self._lock:
            if self._pid == 0:
                self._pid = os.getpid()
                self._connect()
                atexit.register(self.end)
            return dict(self._welcome["config"])

    def log(
        self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None
    ) -> None:
        """Take what `wandb.log` was given; returns when the trial wants the next step."""
        with self._lock:
            if step is not None and step < self._step:
                return  # W&B drops these too
            if step is not None and step > self._step:
                self._flush()
                self._step = step
            self._row.update(plain(data))
            if commit or (commit is None and step is None):
                self._flush()
                self._step += 1

    def end(self, summary: Mapping[str, Any] | None = None) -> None:
        """Send what no report has carried, and what the program has put into the summary itself."""
        with self._lock:
            self._flush()
            for name, value in plain(summary or {}).items():
                new = (
                    name not in self._known
                    if name not in self._latest
                    else (value != self._latest[name])
                )
                if new and not name.startswith("_"):
                    self._gathered[name] = value
            if self._gathered:
                self._known.update(self._gathered)
                self._latest = {
                    name: self._gathered.get(name, v) for name, v in self._latest.items()
                }
                self._send({"last": {**self._latest, **self._gathered}})
                self._gathered = {}

    def _connect(self) -> None:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(self._path)
        except OSError as error:
            print(f"raysweep: the trial cannot be reached ({error})", file=sys.stderr)
            return
        self._socket = link
        self._send({"pid": self._pid})
        self._welcome = self._heard() or self._welcome
        if not self._welcome["reports"]:
            self._socket = None  # another process of this program reports

    def _flush(self) -> None:
        row, self._row = self._row, {}
        self._known.update(row)
        wanted = self._welcome["metrics"]
        for name, value in row.items():
            if name in wanted or name in self._gathered or len(self._gathered) < MAX_NAMES:
                self._gathered[name] = value
        if not any(name in row for name in wanted) or not self._gathered.keys() >= set(wanted):
            return
        report, self._gathered = self._gathered, {}
        self._latest = {name: report[name] for name in wanted}
        if self._send({"report": report}) and self._heard() is None:
            os.kill(os.getpid(), signal.SIGTERM)  # the trial is over

    def _send(self, message: Mapping[str, Any]) -> bool:
        if self._socket is None or os.getpid() != self._pid:  # a fork does not speak for its parent
            return False
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._socket = None
            return False
        return True

    def _heard(self) -> dict[str, Any] | None:
        assert self._socket is not None
        line = b""
        while not line.endswith(b"\n"):
            try:
                read = self._socket.recv(1 << 20)
            except OSError:
                read = b""
            if not read:
                self._socket = None
                return None
            line += read
        return dict(json.loads(line))


def plain(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The numbers and short texts in `data`, groups joined by "." as W&B does; no media."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(plain(value, f"{name}."))
            continue
        if not isinstance(value, (*_PLAIN, str)):
            value = _item(value)
        if isinstance(value, _PLAIN) or (isinstance(value, str) and len(value) <= MAX_TEXT):
            flat[name] = value
    return flat


def _item(value: Any) -> Any:
    """A numpy scalar or a tensor of one element as a number; anything else is left out."""
    try:
        return value.item()
    except Exception:  # whatever a foreign object raises, it is no number
        return None


def take_over(path: str, folder: str) -> None:
    """Stand aside for the installed `wandb`, hooked, or for the stand-in where there is none.

    Called while `wandb` is being imported from `folder`, the trial's own entry of `sys.path`.
    """
    link = Link(path)
    before = list(sys.path)
    del sys.modules["wandb"]
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    try:
        module = importlib.import_module("wandb")
        if not callable(getattr(module, "init", None)):
            raise ModuleNotFoundError("No module named 'wandb'", name="wandb")
        hook(module, link)
    except ModuleNotFoundError as error:
        if error.name != "wandb":
            raise
        sys.path[:] = before
        module = importlib.import_module("raysweep_standin")
        module.join(link)
        sys.modules["wandb"] = module
    finally:
        sys.path[:] = before


def hook(wandb: Any, link: Link) -> None:
    """Let `init`, `log` and the end of a run of the real W&B also speak to the trial."""
    original = wandb.init
    linked: list[Any] = []

    @functools.wraps(original)
    def init(*args: Any, **kwargs: Any) -> Any:
        link.begin()
        run = original(*args, **kwargs)
        if not any(run is known for known in linked):  # a second init may give the same run
            linked.append(run)
            _attach(wandb, run, link)
        return run

    wandb.init = init
    leave = wandb.Run.__exit__

    def leaving(run: Any, *error: Any) -> Any:
        link.end(_summary(run))
        return leave(run, *error)

    wandb.Run.__exit__ = leaving


def _attach(wandb: Any, run: Any, link: Link) -> None:
    written, finished = run.log, run.finish

    @functools.wraps(written)
    def log(data: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        result = written(data, *args, **kwargs)
        step, commit = (*args, None, None)[:2]
        link.log(data, kwargs.get("step", step), kwargs.get("commit", commit))
        return result

    @functools.wraps(finished)
    def finish(*args: Any, **kwargs: Any) -> Any:
        link.end(_summary(run))
        return finished(*args, **kwargs)

    run.log, run.finish = log, finish
    if getattr(wandb, "run", None) is run:
        wandb.log = log


def _summary(run: Any) -> dict[str, Any]:
    try:
        return {name: run.summary[name] for name in run.summary.keys()}  # noqa: SIM118 - no Mapping
    except Exception:  # a finished run has none any more
        return {}
