"""A signal at any instant of a command: it says one line, leaves with a known code, and nothing else."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysweep.results.layout import MANIFEST
from raysweep.results.read import read
from tests.orchestrator.cli_sweeps import SLOW, simulated_sweep, write_spec

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CAUGHT = 1 << (signal.SIGTERM - 1)


@pytest.fixture
def temp() -> Iterator[Path]:
    """A short folder for whatever a command puts among temporary files."""
    with tempfile.TemporaryDirectory(prefix="ri-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _caught(pid: int) -> int:
    """The signals for which a process has handlers, as a mask."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return int(line.split()[1], 16)
    return 0


def interrupted(
    words: list[object], number: signal.Signals, delay_s: float, cwd: Path, temp: Path
) -> tuple[int, str]:
    """Exit code and standard error of a command that is sent a signal so long after it took them."""
    process = subprocess.Popen(
        [RAYSWEEP, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        cwd=cwd, start_new_session=True,
        env={**os.environ, "TMPDIR": str(temp)},  # noqa: TID251  # for a child process
    )  # fmt: skip
    try:
        while process.poll() is None and not _caught(process.pid) & _CAUGHT:
            threading.Event().wait(0.002)  # Python itself is starting
        threading.Event().wait(delay_s)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, said


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("command", ["validate", "run", "resume", "status"])
def test_a_command_that_has_not_begun_says_one_line_and_leaves_nothing(
    tmp_path: Path, temp: Path, command: str, number: signal.Signals
) -> None:
    waits = "import threading; threading.Event().wait(60)"  # the import never comes to its end
    spec = write_spec(tmp_path, code="import pathlib\npathlib.Path('here').touch()\n" + waits)
    path = simulated_sweep(tmp_path, name="old", budget={"trials": 2})
    words = {"validate": spec, "run": spec, "resume": path, "status": path}
    for delay_s in (0.01, 0.1, 0.3, 0.6, 1.1):
        code, said = interrupted([command, words[command]], number, delay_s, tmp_path, temp)
        if command == "status" and code == 0:
            continue  # it was quicker
        assert code == 128 + number, said
        assert said == f"interrupted by {number.name}\n"
    assert not (tmp_path / "sweeps" / "small").exists()
    assert list(temp.iterdir()) == []


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_while_the_interpreter_clears_itself_does_not_change_the_exit_code(
    number: signal.Signals,
) -> None:
    code = f"""
import os, sys
from raysweep.orchestrator import interrupts
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, {int(number)})
last = Last()  # a global: cleared after the handlers were put back
interrupts.take()
sys.exit(4)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 4


@pytest.mark.ray
@pytest.mark.parametrize(
    ("number", "delay_s"),
    [
        (signal.SIGINT, 1.6), (signal.SIGTERM, 2.4), (signal.SIGTERM, 3.3), (signal.SIGHUP, 4.2),
        (signal.SIGTERM, 5.5),
    ],
    ids=str,
)  # fmt: skip
def test_a_sweep_that_is_starting_leaves_with_75_or_nothing(
    tmp_path: Path, temp: Path, number: signal.Signals, delay_s: float
) -> None:
    spec = write_spec(tmp_path, code=SLOW, scheduler="fifo", cluster={"num_cpus": 1})
    code, said = interrupted(["run", spec, "--quiet"], number, delay_s, tmp_path, temp)
    path = tmp_path / "sweeps" / "small"
    assert "Traceback" not in said
    if path.exists():
        assert code == 75
        assert read(path).status()["state"] == "interrupted"
        assert f"interrupted: {number.name}" in read(path).status()["reason"]
    else:
        assert code == 128 + number
        assert said.count("\n") == 1
    assert list(temp.iterdir()) == []


@pytest.mark.ray
def test_a_second_signal_while_ray_starts_leaves_at_once_and_nothing(
    tmp_path: Path, temp: Path
) -> None:
    spec = write_spec(tmp_path, code=SLOW, scheduler="fifo", cluster={"num_cpus": 1})
    process = subprocess.Popen(
        [RAYSWEEP, "run", str(spec), "--quiet"], stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temp)},  # noqa: TID251  # for a child process
    )  # fmt: skip
    while not any(temp.glob("raysweep-*/r/session_*")):
        threading.Event().wait(0.05)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        threading.Event().wait(0.3)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (
        130,
        "error: interrupted by SIGINT before the sweep began\n",
    )
    for _ in range(100):
        if not any(temp.iterdir()):
            break
        threading.Event().wait(0.1)
    assert list(temp.iterdir()) == []
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.ray
def test_a_terminal_that_is_gone_brings_the_sweep_to_rest(tmp_path: Path, temp: Path) -> None:
    """The hang-up comes with a terminal on which nothing can be written any more."""
    spec = write_spec(tmp_path, code=SLOW, scheduler="fifo", cluster={"num_cpus": 1})
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        os.execv(RAYSWEEP, [RAYSWEEP, "run", str(spec)])
    path = tmp_path / "sweeps" / "small"
    while not (path / MANIFEST).exists() or not len(read(path).reports):
        threading.Event().wait(0.2)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    assert read(path).status()["reason"] == "interrupted: SIGHUP"
