"""A trial finds its process as the first one found it, or another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables.failures import TERMINATED
from tests.trainables.apart import log, run

LOOK = """
import gc, locale, logging, multiprocessing, os, random, resource, signal, socket, sys
import threading, time, warnings
import numpy as np, torch

def handled(*_): pass

def logger(name):
    found = logging.getLogger(name)
    return len(found.handlers), found.level, found.propagate

def look():
    return dict(
        cwd=os.getcwd(), flag=os.environ.get("FLAG"), home=os.environ.get("HOME"),
        environ=type(os.environ).__name__, path=sys.path[:1] + sys.path[-1:], argv=sys.argv[1:2],
        umask=[os.umask(0o77), os.umask(0o22)][0], alarm=signal.getitimer(signal.ITIMER_REAL)[0],
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        mask=sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        handlers=[str(signal.getsignal(s)) for s in (signal.SIGUSR1, signal.SIGALRM, signal.SIGTERM)],
        stdin=type(sys.stdin).__name__, out=type(sys.stdout).__name__,
        depth=sys.getrecursionlimit(), hook=sys.excepthook.__name__, trace=sys.gettrace() is None,
        gc=gc.isenabled(), filters=list(map(str, warnings.filters)), locale=locale.setlocale(locale.LC_ALL),
        timeout=socket.getdefaulttimeout(), errors=np.geterr()["all"[:0] or "over"],
        method=multiprocessing.get_start_method(allow_none=True), nice=os.nice(0),
        cores=len(os.sched_getaffinity(0)), root=logger(None), mine=logger("mine"),
        early=logger("early"), dtype=str(torch.get_default_dtype()), grad=torch.is_grad_enabled(),
        device=str(torch.get_default_device()), threads=torch.get_num_threads(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        drawn=torch.rand(1).item(),
    )

def spoil():
    os.environ["FLAG"] = "1"; del os.environ["HOME"]
    sys.argv = ["x", "y"]
    signal.setitimer(signal.ITIMER_REAL, 99)
    resource.setrlimit(resource.RLIMIT_NOFILE, (30, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    signal.signal(signal.SIGUSR1, handled); signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL); signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    sys.stdin = None; sys.stdout = open(os.devnull, "w")
    sys.setrecursionlimit(300)
    sys.excepthook = handled; sys.settrace(handled); gc.disable()
    warnings.simplefilter("error"); socket.setdefaulttimeout(1); np.seterr(over="raise")
    multiprocessing.set_start_method("spawn"); os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    logging.basicConfig(level="DEBUG"); logging.getLogger("mine").addHandler(logging.StreamHandler())
    logging.getLogger("early").setLevel("ERROR"); logging.getLogger("early").propagate = False
    torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True); torch.set_default_device("meta")
    own = __import__("tempfile").mkdtemp(); os.chdir(own); os.rmdir(os.getcwd()); os.umask(0o777)
    sys.path[:] = ["elsewhere"]; sys.path = list(sys.path)

logging.getLogger("early").setLevel("INFO")
torch.set_default_device("meta"); torch.set_default_device(None); look()  # torch imports some late

def train(config):
    if config.get("look"):
        yield {"loss": 1.0, "seen": repr(look())}
    else:
        eval(config["does"])
        yield {"loss": 1.0}
"""


def test_the_next_trial_finds_what_the_first_one_found(tmp_path: Path) -> None:
    look: dict[str, Any] = {"look": True}
    told, _ = run(tmp_path, LOOK, look, {"does": "spoil()"}, look)
    assert told[1] == {"loss": 1.0, "worn": ""}
    assert told[2] == told[0]
    assert "'mine': (0, 0, True), 'early': (0, 20, True)" in told[0]["seen"]


def test_a_timer_ends_with_its_trial(tmp_path: Path) -> None:
    told, done = run(
        tmp_path, LOOK, {"does": "signal.alarm(1)"}, {"does": "time.sleep(1.2)"}
    )  # fmt: skip
    assert told == [{"loss": 1.0, "worn": ""}] * 2
    assert done.returncode == 0


POOL = "globals().update(pool=futures.ThreadPoolExecutor(1)) or pool.submit(int).result()"
BUSY = "pool.submit(time.sleep, 90)"
GROUP = "torch.distributed.init_process_group('gloo', store=torch.distributed.HashStore(), rank=0, world_size=1)"
LIMIT = "resource.setrlimit(resource.RLIMIT_NOFILE, (900, 900))"
THREAD = "threading.Thread(target=time.sleep, args=(90,), name='ticker').start()"
MAY_RAISE_LIMITS = int(Path("/proc/self/status").read_text().split("CapEff:")[1][:17], 16) >> 24 & 1


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ([POOL, BUSY], "its thread ThreadPoolExecutor-0_0 still runs"),
        ([THREAD], "its thread ticker still runs"),
        (
            [LIMIT],
            "" if MAY_RAISE_LIMITS else "it changed the resource limits, which cannot be put",
        ),
        ([GROUP], "it left torch.distributed initialized"),
    ],
    ids=["executor", "thread", "limit", "group"],
)
def test_what_cannot_be_put_back_wears_the_process_out(
    tmp_path: Path, does: list[str], why: str
) -> None:
    text = "from concurrent import futures\nimport torch.distributed\n" + LOOK
    told, _ = run(tmp_path, text, *({"does": each} for each in does))
    assert [t["loss"] for t in told] == [1.0] * len(does)
    assert [t["worn"] for t in told[:-1]] == [""] * (len(does) - 1)
    assert told[-1]["worn"].startswith(why)
    assert bool(told[-1]["worn"]) == bool(why)


DRAWS = """
import random
import numpy as np

def train(config):
    if "seed" in config:
        random.seed(config["seed"]); np.random.seed(config["seed"])
    yield {"loss": 1.0, "drawn": [random.random(), np.random.rand()]}
"""


def test_chance_is_not_what_the_last_trial_left(tmp_path: Path) -> None:
    told, _ = run(tmp_path, DRAWS, {"seed": 3}, {}, {"seed": 3}, {})
    drawn = [tuple(t["drawn"]) for t in told]
    assert drawn[0] == drawn[2]
    assert len({*drawn}) == 3, "two draws of 53 bits from the system's entropy differ"


def test_code_that_seeds_when_it_is_imported_seeds_each_trial(tmp_path: Path) -> None:
    seeds = "\nrandom.seed(7); np.random.seed(7); import torch; torch.manual_seed(7)\n"
    text = DRAWS.replace("np.random.rand()]", "np.random.rand(), torch.rand(1).item()]") + seeds
    told, _ = run(tmp_path, text, {}, {})
    assert told[0] == told[1]


CYCLES = """
import resource

class Node:
    pass

def train(config):
    node = Node()
    node.itself, node.data = node, bytearray(128 << 20)
    yield {"loss": 1.0, "resident": int(open("/proc/self/statm").read().split()[1]) * 4096}
"""


def test_cycles_of_large_things_are_collected(tmp_path: Path) -> None:
    told, _ = run(tmp_path, CYCLES, *[{}] * 5)
    assert told[-1]["resident"] - told[0]["resident"] < 32 << 20


def test_small_trials_pay_little(tmp_path: Path) -> None:
    """Processor time of this process for 300 trials of nothing, the guards' excluded."""
    text = """
import time

def train(config):
    yield {"loss": time.process_time()}
"""
    told, _ = run(tmp_path, text, *[{}] * 300)
    assert (told[-1]["loss"] - told[0]["loss"]) / 299 < 0.01


LOGS = """
import logging

def train(config):
    log = logging.getLogger("training")
    log.addHandler(logging.StreamHandler())
    log.warning("one line")
    yield {"loss": 1.0}
"""


def test_a_line_is_logged_once_however_many_trials_came_before(tmp_path: Path) -> None:
    run(tmp_path, LOGS, {}, {}, {})
    assert [log(tmp_path, number) for number in range(3)] == ["one line\n"] * 3


SIGTERM = """
import contextlib, multiprocessing, os, signal, sys, time

if sys.argv[1:]:  # as Ray's handler in a slot's process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

def raises(*_):
    raise ValueError("preempted")

def train(config):
    if config["how"] == "own":
        signal.signal(signal.SIGTERM, raises)
    if config["how"] == "flag":
        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    if config["how"] == "child":
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(9,))
        child.start()
        child.terminate()
        child.join()
        sys.exit("of its own accord")
    yield {"loss": 1.0}
    os.kill(os.getpid(), signal.SIGTERM)
    if config["how"] == "flag":
        sys.exit(0)
    raise AssertionError("not reached")
"""


@pytest.mark.parametrize("how", ["", "own", "flag"])
def test_what_sigterm_brings_about_is_no_failure_of_the_code(tmp_path: Path, how: str) -> None:
    (told,), _ = run(tmp_path, SIGTERM, {"how": how})
    assert told["failed"] == ["infra", TERMINATED]
    assert told["worn"] == "it was told to end (SIGTERM)"


def test_an_exit_of_its_own_is_one_and_so_is_what_a_child_is_told(tmp_path: Path) -> None:
    (told,), _ = run(tmp_path, SIGTERM, {"how": "child"})
    assert told == {"failed": ["error", "SystemExit: of its own accord"], "worn": ""}
