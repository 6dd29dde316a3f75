"""What training code prints goes to one file per attempt, and to nobody's terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables.load import check_picklable
from raysweep.trainables.log import TrialLog
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trials.actions import Start
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Reason
from raysweep.trials.events import Ended, Event, Reported, Started
from raysweep.trials.trial import UNBOUNDED


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
    return events


def test_each_attempt_has_its_own_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(chatty, tmp_path, "t000000", "t000001")
    for trial in ("t000000", "t000001"):
        text = (tmp_path / "logs" / f"{trial}-1.txt").read_text()
        assert text == "lr is 0.5\nodd\nfrom a child\n"
    assert capfd.readouterr() == ("", "")


def test_a_trial_that_prints_nothing_costs_no_file(tmp_path: Path) -> None:
    run(silent, tmp_path, "t000000")
    assert not (tmp_path / "logs").exists()


def test_a_log_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    events = run(chatty_without_child, tmp_path, "t000000")
    assert [type(event) for event in events] == [Started, Reported, Ended]


def chatty_without_child(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    print("lost")
    yield {"loss": 1.0}


def test_there_is_no_descriptor_while_no_trial_runs() -> None:
    with pytest.raises(OSError, match="no trial is running"):
        TrialLog().fileno()
