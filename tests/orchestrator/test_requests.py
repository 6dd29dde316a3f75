"""Requests to stop, in a directory in which trials may put anything."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from raysweep.orchestrator.requests import StopRequests, request_stop
from raysweep.trials.errors import StoreError

FILE = "stop.request"


def put(path: Path, what: str) -> None:
    make = {
        "folder": path.mkdir,
        "full folder": lambda: (path / "x").mkdir(parents=True),
        "fifo": lambda: os.mkfifo(path),
        "dangling": lambda: path.symlink_to(path.parent / "nowhere"),
        "link": lambda: path.symlink_to(path.parent / "SWEEP.json"),
        "loop": lambda: path.symlink_to(path),
        "socket": lambda: socket.socket(socket.AF_UNIX).bind(str(path)),
    }
    make[what]()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "SWEEP.json").write_text("{}")
    return tmp_path


def test_a_request_is_heard_once(sweep: Path) -> None:
    requests = StopRequests(sweep)
    assert requests(0.0) == ""
    request_stop(sweep)
    assert requests(0.1) == "", "it looks twice a second"
    assert requests(0.6) == "raysweep stop"
    assert requests(1.2) == ""


def test_a_request_for_an_earlier_driver_is_none(sweep: Path) -> None:
    request_stop(sweep)
    assert StopRequests(sweep)(0.0) == ""


KINDS = ["folder", "full folder", "fifo", "dangling", "link", "loop", "socket"]


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("when", ["before", "while it runs"])
def test_what_a_trial_puts_in_its_place_stops_nothing(sweep: Path, what: str, when: str) -> None:
    """Red before: IsADirectoryError for the folders; the links and the fifo stopped the sweep."""
    if when == "before":
        put(sweep / FILE, what)
        requests = StopRequests(sweep)
    else:
        requests = StopRequests(sweep)
        put(sweep / FILE, what)
    assert requests(0.0) == ""
    assert (sweep / "SWEEP.json").exists()
    request_stop(sweep)
    assert requests(1.0) == "raysweep stop", "a real one is heard all the same"


@pytest.mark.parametrize("what", ["folder", "dangling", "loop"])
def test_a_request_that_cannot_be_written_says_so(sweep: Path, what: str) -> None:
    put(sweep / FILE, what)
    with pytest.raises(StoreError, match=r"remove what stands there, or send the driver SIGTERM"):
        request_stop(sweep)


def test_a_directory_that_is_gone_asks_for_nothing(tmp_path: Path) -> None:
    assert StopRequests(tmp_path / "gone")(0.0) == ""
