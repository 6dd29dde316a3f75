"""Sessions in processes of their own, so that these can be killed and looked at afterwards."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysweep.trials.errors import ClusterError
from tests.cluster.process_tree import descendants, wait_until_gone

pytestmark = pytest.mark.ray
DRIVERS = str(Path(__file__).with_name("drivers.py"))


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def _driver(
    started: list[subprocess.Popen[str]], name: str, cwd: Path, **env: str
) -> subprocess.Popen[str]:
    """Start a driver in a process group, and a folder, of its own."""
    process = subprocess.Popen(
        [sys.executable, DRIVERS, name], stdout=subprocess.PIPE, text=True, cwd=cwd,
        start_new_session=True, env={**os.environ, **env},  # noqa: TID251  # for a child process
    )  # fmt: skip
    started.append(process)
    return process


def _words(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def test_nothing_outlives_a_driver_that_is_killed(
    drive: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = _driver(drive, "run_for_ever", tmp_path)
    word, folder = _words(process)
    assert word == "running"
    children = descendants(process.pid)
    assert len(children) >= 3  # GCS, raylet and a worker at least
    process.kill()
    assert wait_until_gone(children) == []
    assert not Path(folder).exists()


def test_ctrl_c_lets_trials_save_and_leaves_nothing(
    drive: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = _driver(drive, "pause_on_ctrl_c", tmp_path)
    word, folder = _words(process)
    assert word == "running"
    children = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    word, path = _words(process)
    assert (word, path.partition("-")[0]) == ("paused", "checkpoints/t000001/1")
    assert process.wait(30) == 0
    assert wait_until_gone(children, 10) == []
    assert not Path(folder).exists()


def test_slots_come_and_go_with_nodes(drive: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="rt", ignore_cleanup_errors=True) as short:
        process = _driver(
            drive, "nodes_come_and_go", tmp_path, RAY_TMPDIR=short, RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_health_check_initial_delay_ms="1000",
            RAY_health_check_period_ms="500", RAY_health_check_timeout_ms="1500",
            RAY_health_check_failure_threshold="3",
        )  # fmt: skip
        output, _ = process.communicate(timeout=120)
    told = [line for line in output.splitlines() if line.startswith(("new", "told", "again"))]
    assert told == [
        "new slot True", "told ['Failed', 'SlotDown'] infra True", "again True"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "there is no Ray that answers at '127.0.0.1:1'"),
        ("ray://here:10001", "cannot attach to 'ray://here:10001': give host:port"),
        ("head", "cannot attach to 'head': give host:port"),
    ],
)
def test_an_address_where_no_ray_can_be_is_refused_at_once(address: str, message: str) -> None:
    """In a process of its own, as one that is connected already stays with what it has."""
    code = f"from raysweep.cluster.session import connect\nwith connect({address!r}): pass"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert f"{ClusterError.__name__}: {message}" in process.stderr
