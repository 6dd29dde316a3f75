"""Ray itself is lost: noticed in time, in our own words, and the sweep can be resumed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from raysweep.cluster.outage import OutageWatcher, Server
from raysweep.results.layout import MANIFEST
from raysweep.results.read import read
from raysweep.trials.errors import ClusterLost
from tests.cluster.process_tree import descendants, wait_until_gone
from tests.orchestrator.cli_sweeps import SLOW, write_spec

RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
_PERIOD_S = 0.02


@pytest.fixture
def listener() -> socket.socket:
    """A server that takes connections until it is closed."""
    return socket.create_server(("127.0.0.1", 0), backlog=1000)


def test_a_server_that_listens_is_no_outage_and_one_that_is_gone_is_told_once(
    listener: socket.socket,
) -> None:
    told = SimpleQueue[ClusterLost]()
    server = Server("the GCS at 127.0.0.1:1", "127.0.0.1", listener.getsockname()[1], 0.06)
    watcher = OutageWatcher(told.put, [server], _PERIOD_S)
    try:
        with pytest.raises(Empty):
            told.get(timeout=0.3)
        listener.close()
        assert "Ray is gone: the GCS at 127.0.0.1:1 has taken no connection for 0.06 s" in str(
            told.get(timeout=10.0)
        )
        with pytest.raises(Empty):
            told.get(timeout=0.3)
    finally:
        watcher.close()


def test_a_server_that_comes_back_in_time_is_no_outage(listener: socket.socket) -> None:
    told = SimpleQueue[ClusterLost]()
    port = listener.getsockname()[1]
    watcher = OutageWatcher(told.put, [Server("it", "127.0.0.1", port, 100 * _PERIOD_S)], _PERIOD_S)
    try:
        for _ in range(3):  # its tries fail in turns, never a hundred in a row
            listener.close()
            threading.Event().wait(5 * _PERIOD_S)
            listener = socket.create_server(("127.0.0.1", port), backlog=1000)
            threading.Event().wait(5 * _PERIOD_S)
        assert told.empty()
    finally:
        watcher.close()
        listener.close()


@pytest.mark.ray
@pytest.mark.parametrize("lost", ["raylet", pytest.param("gcs_server", marks=pytest.mark.slow)])
def test_a_sweep_whose_ray_is_lost_leaves_with_75_and_goes_on(tmp_path: Path, lost: str) -> None:
    spec = write_spec(
        tmp_path, code=SLOW.replace("1000", "100"), scheduler="fifo", cluster={"num_cpus": 1}
    )
    driver = subprocess.Popen(
        [RAYSWEEP, "run", str(spec), "--quiet"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    path = tmp_path / "sweeps" / "small"
    while not (path / MANIFEST).exists() or not len(read(path).reports):
        assert driver.poll() is None
        threading.Event().wait(0.2)
    children = descendants(driver.pid)
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
    (killed,) = [pid for pid, name in names.items() if name == lost]
    os.kill(killed, signal.SIGKILL)
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 75, said
    assert "error: Ray is gone: the " in said
    assert "`raysweep resume` goes on" in said
    assert "Traceback" not in said
    assert wait_until_gone(children) == []
    done = subprocess.run(
        [RAYSWEEP, "resume", str(path), "--quiet", "--set", "budget.trials=1"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
