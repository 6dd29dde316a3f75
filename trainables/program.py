"""A program as a trial: any script that logs by `wandb`, run in a process of its own."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from raysweep.trainables.base import Factory, Trainable
from raysweep.trainables.program_channel import Channel
from raysweep.trainables.program_command import command_line, renamed
from raysweep.trials.errors import RaysweepError, TrainableError

_HERE = Path(__file__).parent
_BOOTSTRAP = "import raysweep_link\n\nraysweep_link.take_over({socket!r}, {folder!r})\n"
_COPIES = {"program_link.py": "raysweep_link.py", "program_standin.py": "raysweep_standin.py"}
_GRACE_S = 5.0
_ENDING_S = 30.0
"""How long a program that has come to its last step may take to save its model and end."""
_TAIL_CHARS = 1_500
_OUT_OF_MEMORY = ("CUDA out of memory", "OutOfMemoryError")


class ProgramCode(NamedTuple):
    """Training code that is a program.

    Attributes:
        file: the program, relative to `folder`; "" if the command names it by itself.
        command: the words that start it, with W&B's macros; empty: W&B's own default.
        folder: where it runs.
        metrics: a `wandb.log` that has these is a step.
        names: our flat name → the keys under which the program knows the parameter.
        environment: variables that are set for it, unless they are set already.
        ends_at: the step at which a trial is complete, if there is one.
    """

    file: str
    command: tuple[str, ...]
    folder: str
    metrics: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str]
    ends_at: int | None = None

    def load(self) -> Factory:
        """Make sure that the program is there.

        Raises:
            TrainableError: it is not; names the nearest file.
        """
        folder = Path(self.folder)
        used = not self.command or "${program}" in self.command
        if used and not (folder / self.file).is_file():
            beside = [path.name for path in folder.glob("*.py")]
            near = difflib.get_close_matches(Path(self.file).name, beside, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "give a path relative to the spec"
            raise TrainableError(f"there is no program {self.file!r} in {folder}; {hint}")
        return lambda: Program(self)


class Program(Trainable):
    """One run of a program.

    It is started by `setup` and computes until its first report is there; then it waits, inside
    its call of `wandb.log`, for the next `step`. It cannot save: how a program keeps its state is
    its own affair.
    """

    def __init__(self, code: ProgramCode) -> None:
        self._code = code
        self._guard: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._folder: Path | None = None
        self._waits = False
        self._over = False

    def setup(self, config: dict[str, Any]) -> None:
        """Start the program with `config`."""
        called = renamed(config, self._code.names)
        self._folder = folder = _new_folder()
        welcome = {"config": called, "metrics": list(self._code.metrics)}
        self._channel = Channel(folder / "socket", welcome)
        job = self._job(folder, called)
        with _log() as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_HERE / "program_guard.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is meant for the driver
            )
        assert self._guard.stdin is not None
        self._guard.stdin.write(json.dumps(job).encode() + b"\n")
        self._guard.stdin.flush()

    def step(self) -> Mapping[str, Any] | None:
        """Let the program run to its next report; None when it has ended well.

        Raises:
            RaysweepError: it ended with another exit code than 0.
        """
        assert self._channel is not None, "setup comes first"
        assert self._guard is not None
        assert self._guard.stdout is not None
        if self._over:
            return None
        if self._waits:
            self._channel.go()
        said = self._channel.hear(self._guard.stdout.fileno())
        self._waits = not said.ended
        if said.report is not None:
            return said.report
        self._over = True
        self._check(self._guard.stdout.readline())
        return self._channel.last or None

    def cleanup(self) -> None:
        """End the program, if it has not ended, and see it gone.

        One that has come to the step at which its trial is complete may end by itself, as long as
        it does not report again.
        """
        if self._waits and self.step_number >= (self._code.ends_at or sys.maxsize):
            self._let_end()
        if self._guard is not None:
            for stream in (self._guard.stdin, self._guard.stdout):
                with contextlib.suppress(OSError):
                    if stream is not None:
                        stream.close()
            try:
                self._guard.wait(_GRACE_S + 5.0)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
        if self._channel is not None:
            self._channel.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _let_end(self) -> None:
        assert self._channel is not None
        assert self._guard is not None
        assert self._guard.stdout is not None
        self._waits = False
        self._channel.go()
        self._channel.hear(self._guard.stdout.fileno(), _ENDING_S)

    def _job(self, folder: Path, called: dict[str, Any]) -> dict[str, Any]:
        """What the guard is told; the files that the program needs are written."""
        import yaml

        site = folder / "site"
        (site / "wandb").mkdir(parents=True)
        for source, name in _COPIES.items():
            shutil.copyfile(_HERE / source, site / name)
        text = _BOOTSTRAP.format(socket=str(folder / "socket"), folder=str(site))
        (site / "wandb" / "__init__.py").write_text(text)
        parameters = folder / "config.yaml"
        values = {name: {"value": value} for name, value in called.items()}
        parameters.write_text(yaml.safe_dump({"wandb_version": 1, **values}))
        json_file = folder / "config.json"
        json_file.write_text(json.dumps(called))
        code = self._code
        command = command_line(code.command, code.file, called, str(json_file))
        return {
            "command": command,
            "cwd": code.folder,
            "folder": str(folder),
            "path": str(site),
            "env": {
                "WANDB_SWEEP_PARAM_PATH": str(parameters),
                "RAYSWEEP_TRIAL": self.trial_id,
                "RAYSWEEP_ATTEMPT": str(self.attempt),
                "RAYSWEEP_SEED": str(self.seed),
                "RAYSWEEP_GPU": f"{self.gpu:g}",
                "RAYSWEEP_CPU": f"{self.cpu:g}",
            },
            "defaults": {"WANDB_MODE": "offline", **code.environment},
            "grace_s": _GRACE_S,
        }

    def _check(self, answer: bytes) -> None:
        """Raise unless the guard says that the program ended with exit code 0."""
        told: dict[str, Any] = json.loads(answer) if answer else {"code": None, "stderr": ""}
        code, tail = told["code"], told["stderr"].strip()[-_TAIL_CHARS:]
        if code == 0:
            return
        shown = (
            f"; its standard error ends with:\n{tail}" if tail else "; it wrote no error message"
        )
        message = f"the program {_ending(code)}{shown}"
        if any(word in tail for word in _OUT_OF_MEMORY):
            raise MemoryError(message)
        raise RaysweepError(message)


def _new_folder() -> Path:
    """A folder for this run, whose name leaves room for a socket in it (107 bytes in all)."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="raysweep-", dir=usual if len(usual) < 75 else "/tmp"))


def _ending(code: int | None) -> str:
    if code is None:
        return "was lost with the process that watched it"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _log() -> BinaryIO:
    """Where the program's output goes: to the trial's log, if there is one."""
    try:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    except OSError:  # no trial's log, and no standard output either
        return Path(os.devnull).open("wb")
