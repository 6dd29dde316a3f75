"""Whatever a trial's process starts ends with the trial, and with the process if that dies."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from raysweep.trainables import descendants
from tests.trainables.apart import log, run

HELPERS = """
import multiprocessing, os, signal, subprocess, sys, threading, time

def sleep():
    time.sleep(300)

def note(pid):
    with open(os.path.dirname(__file__) + "/pids", "a") as file:
        file.write(f"{pid} ")

def forked():
    process = multiprocessing.get_context("fork").Process(target=sleep, daemon=True)
    process.start()
    note(process.pid)

def spawned():
    process = multiprocessing.get_context("spawn").Process(target=sleep, daemon=True)
    process.start()
    note(process.pid)

def forkserver():
    process = multiprocessing.get_context("forkserver").Process(target=sleep, daemon=True)
    process.start()
    note(process.pid)

def by_a_thread():
    thread = threading.Thread(target=forked)
    thread.start()
    thread.join()

def program():
    note(subprocess.Popen(["sleep", "300"], start_new_session=True).pid)

def of_a_program():
    command = "sleep 300 & echo $! >> " + os.path.dirname(__file__) + "/pids; exec sleep 300"
    note(subprocess.Popen(["sh", "-c", command], start_new_session=True, env={}).pid)

def daemon():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, b"%d" % os.getpid())
            os.closerange(0, 100)
            time.sleep(300)
        os._exit(0)
    note(int(os.read(reading, 20)))
    os.wait()

def loader():
    import torch
    global kept
    kept = iter(torch.utils.data.DataLoader(list(range(9)), num_workers=1, multiprocessing_context="fork"))
    note(kept._workers[0].pid)

def train(config):
    for how in config["how"]:
        globals()[how]()
    open(os.path.dirname(__file__) + "/pids", "a").write(" ")
    yield {"loss": 1.0}
    if config.get("dies"):
        time.sleep(config["dies"])
        os.kill(os.getpid(), signal.SIGKILL)
"""
WAYS = ["forked", "spawned", "forkserver", "by_a_thread", "program", "daemon", "loader"]


def pids(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def gone(pid: int) -> bool:
    for _ in range(60):
        if descendants.process_of(pid) is None:
            return True
        threading.Event().wait(0.05)
    return False


def test_helpers_die_with_the_process_of_their_trial(tmp_path: Path) -> None:
    _, done = run(tmp_path, HELPERS, {"how": WAYS, "dies": 0.01})
    assert done.returncode == -signal.SIGKILL
    assert len(pids(tmp_path)) == len(WAYS)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_a_helper_without_any_mark_is_known_once_it_was_looked_at(tmp_path: Path) -> None:
    """A program without the environment, in a session of its own, and what that has started."""
    _, done = run(tmp_path, HELPERS, {"how": ["of_a_program"], "dies": 1.5})
    assert done.returncode == -signal.SIGKILL
    assert len(pids(tmp_path)) == 2
    assert all(gone(pid) for pid in pids(tmp_path))


def test_helpers_end_with_their_trial_and_the_log_says_so(tmp_path: Path) -> None:
    ways = [*WAYS, "of_a_program"]
    last = ["forked", "outlives"]  # the process lives on while it is looked
    told, _ = run(tmp_path, HELPERS + OUTLIVES, *({"how": [how]} for how in ways), {"how": last})
    assert len(told) == len(ways) + 1
    for number, how in enumerate(ways):
        text = log(tmp_path, number)
        assert "raysweep: ended what the trial had left running" in text, how
        assert "left processes running" in told[number]["worn"]
        assert str(pids(tmp_path)[number]) in text, how
    assert told[-1]["alive"] == []


OUTLIVES = """
def outlives():
    from raysweep.trainables.descendants import process_of
    noted = open(os.path.dirname(__file__) + "/pids").read().split()[:-1]
    global alive
    alive = [pid for pid in noted if process_of(int(pid)) is not None]

def train(config, former=train):
    yield {**next(former(config)), "alive": globals().get("alive", [])}
"""


TIDY = (
    HELPERS
    + """
early = subprocess.Popen(["sleep", "300"])
note(early.pid)

def tidy():
    assert early.poll() is None
    with multiprocessing.Pool(2) as pool:
        pool.map(abs, [1, 2])
    multiprocessing.get_context("spawn").Event()
    import torch
    for _ in torch.utils.data.DataLoader(list(range(9)), num_workers=1, persistent_workers=True):
        pass
"""
)


def test_what_was_there_before_the_trial_stays_and_a_tidy_trial_wears_nothing(
    tmp_path: Path,
) -> None:
    told, _ = run(tmp_path, TIDY, {"how": ["tidy"]}, {"how": ["tidy"]})
    assert told == [{"loss": 1.0, "worn": ""}] * 2
    assert not (tmp_path / "logs").exists() or not list((tmp_path / "logs").iterdir())
    assert all(gone(pid) for pid in pids(tmp_path)), "with the process it goes as well"


def test_a_pid_that_is_used_again_is_another_process() -> None:
    this = descendants.process_of(os.getpid())
    assert this is not None
    assert descendants.process_of(this.pid) == this
    assert descendants.Process(this.pid, this.started + 1) != this
