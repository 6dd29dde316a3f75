from __future__ import annotations

import os
import subprocess
import sys

import pytest

from raysweep.cluster.silence import silence, stuck
from raysweep.trainables.busy import processor_s
from raysweep.trainables.wire import Pulse
from raysweep.trials.events import Silent


@pytest.mark.parametrize(
    ("cores", "full", "says"),
    [
        (0.98, False, "t000003 silent 12 min, computing (98 % of a core)"),
        (3.96, False, "t000003 silent 12 min, computing (4.0 cores)"),
        (0.0, False, "t000003 silent 12 min, idle (0 % CPU): hung?"),
        (None, False, "t000003 silent 12 min, computing"),
        (
            0.01,
            True,
            "t000003 silent 12 min, idle (0 % CPU): hung?; no core of the cluster is free: a Ray "
            "task that it waits for needs one (cluster.max_slots, or num_cpus=0 for the task)",
        ),
    ],
)
def test_a_silent_trial_is_told_from_a_hung_one(cores: float | None, full: bool, says: str) -> None:
    assert silence(Silent(0.0, "t000003", 1, "train", 720.0, cores, full)) == says


def test_what_a_killed_trial_did_and_which_key_says_so() -> None:
    text = stuck(600.4, 600.0, Pulse("train", "t000001", 1, 600.0, 0.98), full=True)
    assert text == (
        "no report for 600 s, over timeouts.stuck: 600s; its process used 98 % of a core; raise "
        "timeouts.stuck or set it to null"
    )
    idle = Pulse("train", "t", 1, 1, 0.0)
    assert "its process was idle (0 % of a core); raise" in stuck(60.0, 50.0, idle, full=False)
    assert (
        "(0 % of a core); no core of the cluster is free: a Ray task that it waits for needs one "
        "(cluster.max_slots, or num_cpus=0 for the task); or raise timeouts.stuck"
    ) in stuck(60.0, 50.0, idle, full=True)


def test_processor_time_is_that_of_the_process_and_of_what_it_started() -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass\nprint(1, flush=True)\ninput()"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        used_s = processor_s(parent.pid)
        parent.communicate(b"\n")
    assert used_s is not None
    assert 0.4 < used_s < 5.0
    assert processor_s(os.getpid())
    assert processor_s(1 << 30) is None
