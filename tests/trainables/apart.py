"""Runs trials one after another in a process of its own, as a slot does; `run` is the tests' end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from raysweep.trainables.load import ModuleCode
from raysweep.trainables.log import FOLDER as LOGS
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trainables.slot_guard import begin_guarding
from raysweep.trainables.trial_process import TrialProcess
from raysweep.trials.actions import Start
from raysweep.trials.clock import SystemClock
from raysweep.trials.decisions import Reason
from raysweep.trials.events import Failed, Reported
from raysweep.trials.trial import UNBOUNDED

ROOT = Path(__file__).resolve().parents[2]
TOLD = "told.jsonl"


def run(
    folder: Path, text: str, *configs: dict[str, Any], **options: Any
) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """What came of each trial, its last report or `{"failed": [class, message]}`, and the process.

    Each has `worn`, too. A trial that ends the process is not among them.
    """
    (folder / "train.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainables.apart", str(folder), json.dumps(configs)],
        check=False, cwd=ROOT, capture_output=True, text=True, timeout=120, **options,
    )  # fmt: skip
    told = folder / TOLD
    return [json.loads(line) for line in told.read_text().splitlines()], done


def log(folder: Path, number: int) -> str:
    """The text that a trial has printed."""
    return (folder / LOGS / f"t{number:06}-1.txt").read_text()


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / TOLD).touch()
    begin_guarding(folder / LOGS)
    clock = SystemClock()
    host = HostSpec(ModuleCode("train:train", str(folder)), str(folder), ("loss",))
    runner = Runner(host, clock, process=TrialProcess(clock))
    runner.warm()
    for number, config in enumerate(json.loads(sys.argv[2])):
        why = Reason("test")
        start = Start(f"t{number:06}", 1, "s0", config, 7, 0, None, UNBOUNDED, why)
        result: dict[str, Any] = {}
        events = runner.exchange([start], 60.0)
        for event in [*events, *runner.exchange([], 0.0)]:  # which cleans up
            if isinstance(event, Failed):
                result["failed"] = [event.error, event.message]
            elif isinstance(event, Reported):
                result.update({name: values[-1] for name, values in event.metrics.items()})
        result["worn"], runner.worn = runner.worn, ""
        with (folder / TOLD).open("a") as file:
            file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
    os._exit(0)  # without waiting for threads that trials have left
