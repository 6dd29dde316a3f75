"""A process between a trial and its program: it sees to it that no program outlives its trial.

Run as a script by file name, with the standard library only. On standard input it reads one line,
the job; after that the input stays open for as long as the trial lives, and its end, for whatever
reason, ends the program: SIGTERM to all its processes, SIGKILL after `grace_s`. What the program
leaves behind, in sessions of its own too, is ended with it. When that is done it writes one line of JSON, `{"code": ..., "stderr": the end of what it wrote there}`.

It is also the one place of the training code that looks at the environment, since that is where
the program's own environment is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysweep.trainables import descendants
else:
    sys.path.append(str(Path(__file__).parent))
    import descendants

TAIL_BYTES = 4_000
_OUT, _LOG = 1, 2
_MARK = "RAYSWEEP_SESSION"  # cluster.reaper.MARK; no imports here
_SLOT_MARK = (
    "RAYSWEEP_SLOT"  # slot_guard.MARK: by it the slot's guard kills, and this one is gentler
)
_FLUSHES = "wandb-core"
"""What uploads W&B's runs: it ends by itself when it has, and may take `grace_s` for it."""
_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")  # program_command.ENVIRONMENT; no imports here


def main() -> None:
    """Run the job that standard input describes; never returns.

    The job: `command` (words), `cwd`, `folder` (removed at the end), `path` (put first on
    PYTHONPATH), `env` (set), `defaults` (set unless they are set), `grace_s`.
    """
    _unmark()
    descendants.adopt_orphans()
    job = json.loads(_line())
    try:
        answer = _run(job)
    except OSError as error:
        answer = {"code": 127, "stderr": f"{error.strerror}: {error.filename}"}
    shutil.rmtree(job["folder"], ignore_errors=True)
    with contextlib.suppress(OSError):  # nobody is left to be told
        os.write(_OUT, json.dumps(answer).encode() + b"\n")
    os._exit(0)  # a thread may still wait for standard input


def _unmark() -> None:
    """Begin again without the session's mark, by which `cluster.reaper` kills: who cleans up stays."""
    mark = os.environ.pop(_MARK, None)  # noqa: TID251 - see the module
    if mark is not None:
        os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, mark])


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(0, 1 << 16)
        if not read:
            os._exit(0)
        line += read
    return line


def _run(job: dict[str, Any]) -> dict[str, Any]:
    environment = _environment(job)
    program = subprocess.Popen(
        [_VARIABLE.sub(lambda m: environment.get(m[1], m[1]), word) for word in job["command"]],
        cwd=job["cwd"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=_LOG,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    tail = bytearray()
    copying = threading.Thread(target=_copy, args=(program, tail), daemon=True)
    copying.start()
    threading.Thread(target=_watch, args=(program, job["grace_s"]), daemon=True).start()
    code = program.wait()
    _clear(job["grace_s"])  # what it left behind holds memory, perhaps on a GPU
    copying.join(1.0)
    return {"code": code, "stderr": bytes(tail).decode("utf-8", "replace")}


def _environment(job: dict[str, Any]) -> dict[str, str]:
    environment = {**job["defaults"], **os.environ, **job["env"]}  # noqa: TID251 - a program's is made here
    environment.pop(_SLOT_MARK, None)
    if sys.argv[1:]:
        environment[_MARK] = sys.argv[1]  # the program itself may be killed by it
    before = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([job["path"], *([before] if before else [])])
    return environment


def _copy(program: subprocess.Popen[bytes], tail: bytearray) -> None:
    """Pass standard error on to the log, and keep its end."""
    assert program.stderr is not None
    while read := os.read(program.stderr.fileno(), 1 << 16):
        with contextlib.suppress(OSError):  # a full disk must not block the program
            os.write(_LOG, read)
        tail += read
        del tail[:-TAIL_BYTES]


def _watch(program: subprocess.Popen[bytes], grace_s: float) -> None:
    """Wait for the end of standard input, then end the program."""
    while os.read(0, 1 << 16):
        pass
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGTERM)
    try:
        program.wait(grace_s)
    except subprocess.TimeoutExpired:
        program.kill()  # the main thread goes on, and ends the others


def _clear(grace_s: float) -> None:
    """End every process below this one."""
    this = os.getpid()
    descendants.end(lambda: descendants.descendants(this, _flushes))
    descendants.reap()
    end = select.poll()
    for process in descendants.descendants(this):
        with contextlib.suppress(ProcessLookupError):
            end.register(os.pidfd_open(process.pid), select.POLLIN)
            end.poll(grace_s * 1000)
    descendants.end(lambda: descendants.descendants(this))


def _flushes(pid: int) -> bool:
    return descendants.name_of(pid) == _FLUSHES


if __name__ == "__main__":
    main()
