"""What training code prints goes to one file per attempt, and to nobody's terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables.load import check_picklable
from raysweep.trainables.log import CEILING_BYTES, HEAD_BYTES, TAIL_BYTES, cut
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trials.actions import Start
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Reason
from raysweep.trials.events import Ended, Event, Reported, Started
from raysweep.trials.trial import UNBOUNDED
from tests.trainables import apart


def chatty(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    print("lr is", config["lr"])
    yield {"loss": 1.0}
    print("odd", file=sys.stderr)
    subprocess.run(["echo", "from a child"], stdout=sys.stdout, check=True)


def silent(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    yield {"loss": 1.0}


def run(train: Any, folder: Path, *trials: str) -> list[Event]:
    runner = Runner(HostSpec(check_picklable(train), str(folder), ("loss",)), ManualClock())
    events: list[Event] = []
    for trial in trials:
        start = Start(trial, 1, "s0", {"lr": 0.5}, 0, 0, None, UNBOUNDED, Reason("test"))
        events += runner.exchange([start], 60)
        events += runner.exchange([], 0)  # which cleans up
    return events


def test_each_attempt_has_its_own_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(chatty, tmp_path, "t000000", "t000001")
    for trial in ("t000000", "t000001"):
        text = (tmp_path / "logs" / f"{trial}-1.txt").read_text()
        assert text == "lr is 0.5\nodd\nfrom a child\n"
    assert capfd.readouterr() == ("", "")


def test_a_trial_that_prints_nothing_costs_no_file(tmp_path: Path) -> None:
    run(silent, tmp_path, "t000000")
    assert not list((tmp_path / "logs").iterdir())


def test_a_log_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    events = run(chatty_without_child, tmp_path, "t000000")
    assert [type(event) for event in events] == [Started, Reported, Ended]


def chatty_without_child(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    print("lost")
    yield {"loss": 1.0}


def test_a_log_is_bounded_and_says_where_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with path.open("ab") as file:
        file.writelines(b"%09d\n" % line for line in range(CEILING_BYTES // 10 + 10_000))
        file.flush()
        cut(path)
        file.write(b"goes on\n")
    text = path.read_text()
    head, cut_at, tail = text.partition("\n... output was left out here: a log holds 16 MiB")
    assert head.startswith("000000000\n000000001\n")
    assert len(head) == HEAD_BYTES
    assert cut_at
    assert tail.endswith(f"{CEILING_BYTES // 10 + 9_999:09}\ngoes on\n")
    assert len(tail) < TAIL_BYTES + 100
    cut(path)
    assert path.read_text() == text


def test_a_log_that_is_something_else_by_now_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"x" * (CEILING_BYTES + 1))
    (tmp_path / "link").symlink_to(other)
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "missing"):
        cut(tmp_path / name)
    assert other.stat().st_size == CEILING_BYTES + 1


STREAMS = """
import faulthandler, os, subprocess, sys

early = sys.stdout
print("imported")

def encoding(): print("bytes of".encode(sys.stdout.encoding), sys.stdout.errors, sys.stdout.isatty())
def buffer(): sys.stdout.buffer.write(b"bytes\\n")
def surrogate(): print("odd \\udcff \u00e9")
def child(): subprocess.run(["sh", "-c", "echo child; echo its error >&2"])
def native(): os.write(1, b"native\\n")
def former(): early.write("by an early reference\\n")
def original(): sys.__stdout__.write("by the original\\n")
def reconfigure(): sys.stdout.reconfigure(encoding="latin-1", errors="ignore", line_buffering=False); print("\u00e9")
def close(): print("last words"); sys.stdout.close(); sys.stderr.detach()
def replaced():
    class Tee:
        def write(self, text): os.write(1, text.upper().encode())
        def flush(self): pass
    sys.stdout = Tee()
def later():
    print("after the first step")
def full():
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    print("lost")
def much():
    for _ in range(30): os.write(2, b"x" * (1 << 20))
    raise ValueError("the end")
def dies(): print("last", end=""); sys.stdout.flush(); faulthandler._sigsegv()

def train(config):
    globals()[config["what"]]()
    yield {"loss": 1.0}
    print("second step of", config["what"])
"""


def test_the_log_is_standard_output_and_error_of_the_whole_process(tmp_path: Path) -> None:
    logs = {
        "encoding": "b'bytes of' backslashreplace False\n",
        "buffer": "bytes\n",
        "surrogate": "odd \\udcff \u00e9\n",
        "child": "child\nits error\n",
        "native": "native\n",
        "former": "by an early reference\n",
        "original": "by the original\n",
        "reconfigure": "\u00e9\n",
        "later": "after the first step\n",
        "replaced": None,
        "full": None,
        "close": "last words\n",
        "surrogate ": "odd \\udcff \u00e9\n",
    }
    told, done = apart.run(tmp_path, STREAMS, *({"what": what.strip()} for what in logs))
    assert [t.get("failed") for t in told[:-2]] == [None] * (len(logs) - 2), told
    for number, (what, text) in enumerate(logs.items()):
        if text is not None:
            (path,) = (tmp_path / "logs").glob(f"t{number:06}-1.txt")
            found = path.read_bytes().decode("latin-1" if what == "reconfigure" else "utf-8")
            ends = "" if what == "close" else f"second step of {what.strip()}\n"
            assert sorted(found.splitlines()) == sorted((text + ends).splitlines())
    assert "SECOND STEP OF REPLACED" in apart.log(tmp_path, list(logs).index("replaced"))
    assert done.stdout == "imported\n", "between trials descriptors lead where they led before"


def test_a_crash_in_native_code_is_in_the_log_and_much_output_is_bounded(tmp_path: Path) -> None:
    script = STREAMS + "faulthandler.enable()\n"
    told, done = apart.run(tmp_path, script, {"what": "much"}, {"what": "dies"}, {"what": "child"})
    assert len(told) == 1
    assert done.returncode == -signal.SIGSEGV
    assert (tmp_path / "logs" / "t000000-1.txt").stat().st_size <= CEILING_BYTES
    assert "lastFatal Python error: Segmentation fault" in apart.log(tmp_path, 1)
