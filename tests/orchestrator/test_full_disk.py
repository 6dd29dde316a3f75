"""A full disk costs time and no trial."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.session import Session
from raysweep.orchestrator.live_trial import LiveTrial
from raysweep.orchestrator.retries import DEFAULT_RETRIES, has_room, retry_delay_s
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.results.read import read
from raysweep.results.verify import verify
from raysweep.trainables import checkpoint
from raysweep.trainables.checkpoint import write_checkpoint
from raysweep.trainables.failures import error_class
from raysweep.trials import actions, events
from raysweep.trials.errors import NoRoom
from raysweep.trials.events import ErrorClass
from raysweep.trials.trial import Status
from tests.orchestrator.harness import Hand, make_state


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_save_that_fails_while_the_disk_refuses_is_for_want_of_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Whatever the library raised: torch says RuntimeError."""
    monkeypatch.setattr(
        checkpoint, "refuses_writes", lambda folder: OSError(code, os.strerror(code))
    )

    def save(folder: Path) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file")

    with pytest.raises(NoRoom, match=r"on the file system at /.* make room there") as raised:
        write_checkpoint(tmp_path, "t000001", 1, 1, save)
    assert os.strerror(code) in str(raised.value)
    assert error_class(raised.value) == ErrorClass.STORAGE


def test_training_code_that_meets_a_full_disk_is_not_at_fault() -> None:
    assert error_class(OSError(errno.ENOSPC, "no space")) == ErrorClass.STORAGE
    assert error_class(PermissionError(errno.EACCES, "no")) == ErrorClass.ERROR


def test_full_disks_are_free_until_ten_on_end() -> None:
    trial, retries = LiveTrial("t000000", {}), dict.fromkeys(DEFAULT_RETRIES, 0)
    delays = [retry_delay_s(trial, ErrorClass.STORAGE, retries) for _ in range(11)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, None]
    has_room(trial)
    assert retry_delay_s(trial, ErrorClass.STORAGE, retries) == 1


def test_a_trial_that_cannot_pause_for_want_of_room_goes_on_from_the_checkpoint_before() -> None:
    state = make_state(
        {"name": "asha", "max_t": 9, "form": "promotion"}, retries=dict.fromkeys(DEFAULT_RETRIES, 0)
    )
    hand = Hand(state)
    hand.report("t000000", 1, 0.1)
    assert hand.state.live["t000000"].status is Status.PAUSING
    hand.give(events.Failed(0.0, "t000000", 1, ErrorClass.STORAGE, "no space", ""))
    assert hand.state.live["t000000"].status is Status.PAUSED
    assert hand.state.live["t000000"].charged == {}
    assert hand.last(actions.Start).slot == "s0", "its slot is usable"


def train(config: Mapping[str, Any], trial: Any) -> Iterator[dict[str, float]]:
    trial.on_save(lambda folder: (folder / "w").write_bytes(bytes(20_000)))
    for step in range(trial.step + 1, 31):
        threading.Event().wait(0.1)
        yield {"loss": 1.0 / step}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """1.5 MB of memory as a disk; what needs no mount is tested above with faults put in."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "none", str(tmp_path)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.ray
def test_a_sweep_waits_for_room_and_goes_on(small_disk: Path, ray_cluster: Session) -> None:
    """Red before: exit code 1 with "No space left on device: None", trials charged."""
    spec = SweepSpec.from_dict(
        {"name": "s", "trainable": train, "space": {"x": {"uniform": [0, 1]}}, "metric": "loss", "mode": "min",
         "budget": {"trials": 4}, "storage": str(small_disk), "cluster": {"max_slots": 2},
         "checkpoint": {"every_steps": 1, "every_s": None}}
    )  # fmt: skip
    sweep, fill, said = Sweep.create(spec, train=train), small_disk / "fill", list[str]()
    full = threading.Event()

    def observe(event: Any, verdicts: Any) -> None:
        if isinstance(event, events.Warned):
            said.append(event.message)
        if isinstance(event, events.Checkpointed) and event.step >= 3 and not full.is_set():
            full.set()
            until_full = ["dd", "if=/dev/zero", f"of={fill}", "bs=512"]
            subprocess.run(until_full, check=False, capture_output=True)
            threading.Timer(4.0, fill.unlink).start()

    closed = sweep.run(observe=observe, handle_signals=False)
    assert full.is_set()
    assert closed.exit_code == 0
    attempts = read(sweep.path).arrow("attempts").to_pylist()
    assert {row["error_class"] for row in attempts} <= {None, "storage"}
    assert set(read(sweep.path).trials["status"]) == {"COMPLETED"}
    assert verify(sweep.path) == []
    assert any(str(small_disk) in message and "No space left" in message for message in said)
