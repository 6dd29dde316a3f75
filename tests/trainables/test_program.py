from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables.program import Program, ProgramCode
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trials.actions import RunTo, Start, Stop
from raysweep.trials.clock import SystemClock
from raysweep.trials.decisions import Reason
from raysweep.trials.errors import RaysweepError, TrainableError
from raysweep.trials.events import Ended, Failed, Reported
from tests.trainables.programs import TRAIN, make, started

LOOP = """
import wandb
wandb.init()
for step in range({steps}):
    wandb.log({{"loss": 1 / (step + 1)}})
"""


@pytest.fixture
def begin() -> Iterator[Callable[..., Program]]:
    """Starts programs, and ends them after the test."""
    programs: list[Program] = []

    def start(code: ProgramCode, **config: Any) -> Program:
        programs.append(started(code, **config))
        return programs[-1]

    yield start
    for program in programs:
        program.cleanup()


def standin(folder: Path, code: ProgramCode) -> ProgramCode:
    """The same program in a Python that has no W&B: `-S` leaves the installed packages out."""
    return code._replace(command=("${env}", "${interpreter}", "-S", "${program}", "${args}"))


def reports(program: Program) -> list[dict[str, Any]]:
    found = []
    while (report := program.step()) is not None:
        found.append(dict(report))
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pid: int) -> bool:
    for _ in range(100):
        if not alive(pid):
            return True
        threading.Event().wait(0.1)
    return False


@pytest.mark.parametrize("installed", [True, False])
def test_a_program_that_logs_by_wandb_runs_as_it_is(
    begin: Callable[..., Program], tmp_path: Path, installed: bool
) -> None:
    code = make(tmp_path)
    program = begin(code if installed else standin(tmp_path, code), lr=1e-5)

    assert reports(program) == [
        {"train": 0, "loss": 1e-5, "seen.batches": 0},
        {"train": 1, "loss": 5e-6, "seen.batches": 10},
        {"train": 2, "loss": pytest.approx(1e-5 / 3), "seen.batches": 20},
        {"loss": pytest.approx(1e-5 / 3), "test": 7, "best": 0.25},
    ]
    assert program.step() is None
    assert not program.can_save


def test_offline_runs_leave_what_wandb_leaves(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    program = begin(make(tmp_path, environment={"WANDB_MODE": "offline"}), lr=0.5)

    assert [report["loss"] for report in reports(program)][:3] == [0.5, 0.25, pytest.approx(1 / 6)]
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))


def test_a_log_waits_until_the_next_step_is_wanted(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    text = TRAIN.replace('    print("epoch"', '    open(f"after-{epoch}", "w")\n    print("epoch"')
    program = begin(make(tmp_path, text), lr=1.0)

    assert program.step() is not None
    threading.Event().wait(0.3)
    assert not (tmp_path / "after-0").exists()
    assert program.step() is not None
    assert (tmp_path / "after-0").exists()
    assert not (tmp_path / "after-1").exists()


def test_rows_are_merged_as_wandb_does(begin: Callable[..., Program], tmp_path: Path) -> None:
    """docs.wandb.ai/models/track/log: `commit=False`, and calls with the same `step`, make one row."""
    text = """
import wandb
wandb.init()
wandb.log({"loss": 3.0}, commit=False)
wandb.log({"accuracy": 0.1})
wandb.log({"loss": 2.0}, step=5)
wandb.log({"accuracy": 0.2}, step=5)
wandb.log({"loss": 99.0}, step=2)   # the past: dropped
wandb.log({"loss": 1.0}, step=6)
"""
    for code in (make(tmp_path, text), standin(tmp_path, make(tmp_path, text))):
        assert reports(begin(code)) == [
            {"loss": 3.0, "accuracy": 0.1},
            {"loss": 2.0, "accuracy": 0.2},
            {"loss": 1.0},
        ]


def test_a_metric_that_is_in_the_summary_only_is_one_report(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    text = "import wandb\nwith wandb.init() as run:\n    run.summary['loss'] = 0.5\n"
    for code in (make(tmp_path, text), standin(tmp_path, make(tmp_path, text))):
        assert reports(begin(code)) == [{"loss": 0.5}]


def test_what_cannot_be_a_metric_is_left_to_wandb(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    text = """
import numpy as np, wandb
wandb.init()
wandb.log({"loss": np.float32(0.5), "table": wandb.Table(columns=["a"], data=[[1]]),
           "histogram": wandb.Histogram([1, 2]), "list": [1, 2], "note": "fine", "none": None})
"""
    assert reports(begin(make(tmp_path, text))) == [{"loss": 0.5, "note": "fine"}]


def test_the_config_wins_over_the_defaults_of_the_program_and_keeps_its_types(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    text = """
import argparse, json, wandb
run = wandb.init(config=argparse.Namespace(lr=5, other="kept", flag=False))
wandb.config.update({"lr": 7}, allow_val_change=True)
json.dump(dict(wandb.config), open("seen.json", "w"))
wandb.log({"loss": 1})
"""
    offline = make(tmp_path, text, environment={"WANDB_MODE": "offline"})
    config = {"lr": 1e-05, "model": {"width": 3}, "flag": True, "name": "no", "nothing": None}
    for code in (offline, standin(tmp_path, offline)):
        reports(begin(code._replace(names={"model/width": ("model.width",)}), **config))
        seen = json.loads((tmp_path / "seen.json").read_text())
        wanted = {"lr": 1e-05, "model.width": 3, "flag": True, "name": "no", "nothing": None}
        assert {name: seen[name] for name in wanted} == wanted
        assert seen["other"] == "kept"


def test_a_failing_program_tells_the_end_of_its_standard_error(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    program = begin(make(tmp_path, "print('begun')\nraise ValueError('too angry to go on')\n"))

    with pytest.raises(RaysweepError, match=r"exit code 1; its standard error ends with:\n(.|\n)*"
                       r"ValueError: too angry to go on"):  # fmt: skip
        program.step()


def test_a_program_that_runs_out_of_gpu_memory_is_known_for_it(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    text = "raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')\n"
    with pytest.raises(MemoryError, match="CUDA out of memory"):
        begin(make(tmp_path, text)).step()


def test_a_killed_program_names_the_signal(begin: Callable[..., Program], tmp_path: Path) -> None:
    text = "import os\nos.kill(os.getpid(), 9)\n"
    with pytest.raises(RaysweepError, match="killed by SIGKILL; it wrote no error message"):
        begin(make(tmp_path, text)).step()


def test_a_command_that_does_not_exist_is_told(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    with pytest.raises(RaysweepError, match="No such file or directory: no-such-python"):
        begin(make(tmp_path)._replace(command=("no-such-python", "${program}"))).step()


def test_a_program_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TrainableError, match=r"no program 'trian.py' in .*; did you mean train.py"):
        make(tmp_path)._replace(file="trian.py").load()


STUBBORN = """
import os, signal, subprocess, sys, wandb
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
wandb.init()
wandb.log({"loss": 1})
wandb.log({"loss": 2})
"""


def test_a_stop_ends_the_program_and_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raysweep.trainables.program._GRACE_S", 0.5)
    program = started(make(tmp_path, STUBBORN))
    program.step()
    folder = program._folder
    program.cleanup()

    for pid in (tmp_path / "pids").read_text().split():
        assert gone(int(pid))
    assert folder is not None
    assert not folder.exists()


RANKS = """
import os, subprocess, sys, wandb
sleep = [sys.executable, "-c", "import signal; signal.pthread_sigmask(0, {15}); signal.pause()"]
rank = subprocess.Popen(sleep, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("daemon", "w").write(str(os.getpid()))
        os.execv(sleep[0], sleep)
    os._exit(0)
os.wait()
while not os.path.exists("daemon") or not open("daemon").read():
    pass
open("pids", "w").write(f"{os.getpid()} {rank.pid} " + open("daemon").read())
wandb.init()
wandb.log({"loss": 1})
"""


@pytest.mark.parametrize("steps", [1, 2])
def test_ranks_in_sessions_of_their_own_end_with_their_program(tmp_path: Path, steps: int) -> None:
    """As torchrun starts them; one step: stopped while it waits; two: it has ended by itself."""
    program = started(standin(tmp_path, make(tmp_path, RANKS)))
    for _ in range(steps):
        program.step()
    program.cleanup()
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3
    assert not any(alive(pid) for pid in pids), "before the next trial begins"


def test_a_program_does_not_outlive_the_process_of_its_trial(tmp_path: Path) -> None:
    make(tmp_path, STUBBORN)
    host = f"""
import pathlib, signal
from raysweep.trainables import program as module
from tests.trainables.programs import make, started
module._GRACE_S = 0.5
program = started(make(pathlib.Path({str(tmp_path)!r}), {STUBBORN!r}))
program.step()
print(program._folder, flush=True)
signal.pause()
"""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", host]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as trial:
        assert trial.stdout is not None
        folder = Path(trial.stdout.readline().strip())
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(alive(pid) for pid in pids)
        trial.send_signal(signal.SIGKILL)
    assert all(gone(pid) for pid in pids)
    for _ in range(50):
        if not folder.exists():
            break
        threading.Event().wait(0.1)
    assert not folder.exists()


def test_a_program_that_has_come_to_the_last_step_may_save_its_model(tmp_path: Path) -> None:
    text = LOOP.format(steps=2) + "open('model', 'w').write('saved')\n"
    program = started(make(tmp_path, text)._replace(ends_at=2))
    for step in (1, 2):
        program.step()
        program.step_number = step
    program.cleanup()
    assert (tmp_path / "model").read_text() == "saved"

    (tmp_path / "model").unlink()
    longer = started(make(tmp_path, text.replace("range(2)", "range(9)"))._replace(ends_at=2))
    for step in (1, 2):
        longer.step()
        longer.step_number = step
    longer.cleanup()
    assert not (tmp_path / "model").exists()


def test_of_several_processes_one_reports_and_none_waits(
    begin: Callable[..., Program], tmp_path: Path
) -> None:
    """As under torchrun: each rank calls init and log; W&B makes a run of each."""
    text = """
import subprocess, sys, wandb
wandb.init()
if len(sys.argv) == 1:
    wandb.log({"loss": 1})
    subprocess.run([sys.executable, "-S", "train.py", "rank1"], check=True)
    wandb.log({"loss": 2})
else:
    for _ in range(5):
        wandb.log({"loss": 99})
"""
    code = standin(tmp_path, make(tmp_path, text))
    program = begin(code._replace(command=code.command[:-1]))
    assert reports(program) == [{"loss": 1}, {"loss": 2}]


def test_the_runner_drives_a_program_up_to_its_grants(tmp_path: Path) -> None:
    code = standin(tmp_path, make(tmp_path, "print('hello')\n" + LOOP.format(steps=5)))
    runner = Runner(HostSpec(code, str(tmp_path / "sweep"), ("loss",)), SystemClock())
    why = Reason("test")

    first = Start("t000000", 0, "slot", {"lr": 1.0}, 3, 0, None, 2, why)
    events = runner.exchange([first], 30.0)
    steps = [step for event in events if isinstance(event, Reported) for step in event.steps]
    assert steps == [1, 2]
    assert runner.exchange([], 1.0) == []
    events = runner.exchange([RunTo("t000000", 0, "slot", 100, why)], 30.0)
    steps = [step for event in events if isinstance(event, Reported) for step in event.steps]
    assert steps == [3, 4, 5]
    assert isinstance(events[-1], Ended)
    assert "hello" in (tmp_path / "sweep" / "logs" / "t000000-0.txt").read_text()

    runner.exchange([first._replace(trial="t000001")], 30.0)
    assert runner.exchange([Stop("t000001", 0, "slot", why)], 1.0) == []


def test_a_program_without_a_report_fails_its_trial_alone(tmp_path: Path) -> None:
    code = make(tmp_path, "import wandb\nwandb.init()\nwandb.log({'lose': 1})\n")
    runner = Runner(HostSpec(code, str(tmp_path / "sweep"), ("loss",)), SystemClock())
    start = Start("t000000", 0, "slot", {}, 3, 0, None, 9, Reason("test"))

    failed = [e for e in runner.exchange([start], 60.0) if isinstance(e, Failed)]
    assert re.search("lacks metric 'loss' .did you mean 'lose'", failed[0].message)
