from __future__ import annotations

import collections
import math
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.ray_pool import RayPool
from raysweep.cluster.resources import Resources
from raysweep.trainables.load import ModuleCode, check_picklable
from raysweep.trainables.runner import HostSpec
from raysweep.trials.actions import Finish, Pause, Reshape, Start, Stop
from raysweep.trials.clock import SystemClock
from raysweep.trials.events import (
    Ended,
    ErrorClass,
    Failed,
    Paused,
    Reported,
    SlotDown,
    SlotUp,
    Started,
)
from raysweep.trials.trial import UNBOUNDED
from tests.contracts.pool import WHY, Behaviour, MakePool, PoolContract, Watched

pytestmark = pytest.mark.ray
PROGRAMS = str(Path(__file__).parent)


class _Configured:
    """A pool whose starts carry the behaviour that its trials should show."""

    def __init__(self, pool: RayPool, behaviour: Behaviour):
        self._pool, self._config = pool, behaviour._asdict()
        self.poll, self.close = pool.poll, pool.close

    def do(self, action: Any) -> None:
        if isinstance(action, Start):
            action = action._replace(config={**action.config, **self._config})
        self._pool.do(action)


MakeRayPool = Callable[..., RayPool]


@pytest.fixture
def ray_pool(ray_cluster: object, tmp_path: Path) -> Iterator[MakeRayPool]:
    made: list[RayPool] = []

    def make(
        target: Any = "programs:behave", gpu: float = 0.5, cpu: float = 1.0, **options: Any
    ) -> RayPool:
        clock = SystemClock()
        code = ModuleCode(target, PROGRAMS) if isinstance(target, str) else check_picklable(target)
        host = HostSpec(code, str(tmp_path), ("loss",))
        host = host._replace(pulse_s=1.0, cleanup_s=options.get("cleanup_s", 45.0))
        pool = RayPool(
            host, Resources(cpu, gpu), clock=clock, origin_s=clock.now(),
            **{"max_slots": 2, **options},
        )  # fmt: skip
        made.append(pool)
        return pool

    yield make
    for pool in made:
        pool.close()


class TestRayPool(PoolContract):
    @pytest.fixture
    def make_pool(self, ray_pool: MakeRayPool) -> MakePool:
        return lambda behaviour: _Configured(ray_pool(), behaviour)


DIES_AT_ONCE = ("exit", "sigkill", "helpers")
"""Before what it has reported has left its process."""


@pytest.mark.parametrize(
    ("does", "error", "message"),
    [
        ("huge", ErrorClass.REPORT, "'blob' of type str; report a summary"),
        ("object", ErrorClass.REPORT, "metric 'model' is of type _thread.lock"),
        ("exit", ErrorClass.CRASH, "process died on node .*, which lives on"),
        ("sigkill", ErrorClass.CRASH, "process died on node .*, which lives on"),
        ("sigterm", ErrorClass.INFRA, r"told to end \(SIGTERM\)"),
        ("helpers", ErrorClass.CRASH, "process died on node .*, which lives on"),
        (
            "hang",
            ErrorClass.STUCK,
            "no report for [0-9]+ s, over timeouts.stuck: 3s; its process (was idle|used) .*; "
            "(or )?raise timeouts.stuck or set it to null",
        ),
        ("systemexit", ErrorClass.ERROR, "SystemExit: bye"),
        ("unpicklable", ErrorClass.ERROR, "Unpicklable: holds a lock"),
    ],
)
def test_a_bad_trial_costs_itself_alone(
    ray_pool: MakeRayPool, does: str, error: ErrorClass, message: str
) -> None:
    watched = Watched(ray_pool(stuck_s=3.0))
    watched.slot(1)
    steps = 300 if does == "hang" else 100
    good = {"ends_at": steps, "step_s": 0.01}
    watched.start("t000001", UNBOUNDED, slot=1, config=good)
    watched.start("t000002", UNBOUNDED, slot=0, config={"does": does})
    failed = watched.until(Failed, "t000002")
    assert failed.error == error
    assert re.search(message, failed.message)
    assert watched.steps("t000002") == ([] if does in DIES_AT_ONCE else [1])
    watched.until(Ended, "t000001")
    assert watched.steps("t000001") == list(range(1, steps + 1))
    slot = _a_free_slot(watched)
    watched.pool.do(Start("t000003", 1, slot, {"ends_at": 3}, 7, 0, None, UNBOUNDED, WHY))
    watched.until(Ended, "t000003")


def _a_free_slot(watched: Watched) -> str:
    """The newest slot, if the first one went down with its trial; else the first one."""
    if any(isinstance(e, SlotDown) for e in watched.told):
        watched.until(SlotUp, count=3)
        return watched.slot(2)
    return watched.slot(0)


def test_a_dead_process_is_told_of_after_its_trial(ray_pool: MakeRayPool) -> None:
    watched = Watched(ray_pool())
    start = watched.start("t000001", UNBOUNDED, config={"does": "exit"})
    down = watched.until(SlotDown)
    kinds = [type(e) for e in watched.told if isinstance(e, Failed | SlotDown)]
    assert kinds == [Failed, SlotDown]
    assert down.slot == start.slot
    new = watched.until(SlotUp, count=3).slot
    assert new not in (watched.slot(0), watched.slot(1))


def test_a_process_that_outlives_its_sigterm_is_told_of_as_gone(ray_pool: MakeRayPool) -> None:
    """Who hears of a failure of the infrastructure waits for word of the slot's end."""
    watched = Watched(ray_pool(max_slots=1))
    start = watched.start("t000001", UNBOUNDED, config={"does": "sigterm"})
    watched.until(Failed, "t000001")
    assert watched.until(SlotDown).slot == start.slot
    watched.start("t000002", UNBOUNDED, slot=1, config={"ends_at": 3})
    watched.until(Ended, "t000002")


def test_nan_is_a_report_like_any_other(ray_pool: MakeRayPool) -> None:
    watched = Watched(ray_pool())
    watched.start("t000001", UNBOUNDED, config={"does": "nan", "ends_at": 3})
    watched.until(Ended, "t000001")
    losses = [
        v for e in watched.of("t000001") if isinstance(e, Reported) for v in e.metrics["loss"]
    ]
    assert losses[0] == 1.0
    assert math.isnan(losses[1])


def test_a_missing_metric_is_told_at_the_first_report(ray_pool: MakeRayPool) -> None:
    watched = Watched(ray_pool("programs:nameless"))
    watched.start("t000001", UNBOUNDED)
    failed = watched.until(Failed, "t000001")
    assert failed.error == ErrorClass.REPORT
    assert "lacks metric 'loss' (did you mean 'los'?); it has: accuracy, los" in failed.message


def test_a_config_value_that_looks_like_a_path_stays_a_value(
    ray_pool: MakeRayPool, tmp_path: Path
) -> None:
    watched = Watched(ray_pool())
    start = watched.start("t000001", 2, config={"name": "../x", "../y": "/etc/passwd"})
    watched.until_step("t000001", 2)
    watched.pool.do(Pause("t000001", 1, start.slot, WHY))
    assert watched.until(Paused).path == "checkpoints/t000001/1-2"
    assert {p.name for p in tmp_path.iterdir()} <= {"checkpoints", "logs"}
    assert not (tmp_path.parent / "x").exists()


def test_training_code_that_cannot_be_imported_fails_its_trial(ray_pool: MakeRayPool) -> None:
    watched = Watched(ray_pool("programs:behav"))
    watched.start("t000001", UNBOUNDED)
    failed = watched.until(Failed, "t000001")
    assert failed.error == ErrorClass.ERROR
    assert "did you mean behave?" in failed.message


def test_a_function_of_a_session_runs(ray_pool: MakeRayPool) -> None:
    factor = 3.0

    def train(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": factor * config["lr"]}

    watched = Watched(ray_pool(train))
    watched.start("t000001", UNBOUNDED, config={"lr": 2.0})
    watched.until(Ended, "t000001")
    (report,) = (e for e in watched.told if isinstance(e, Reported))
    assert report.metrics == {"loss": [6.0]}


def test_trials_share_devices_without_overbooking(ray_pool: MakeRayPool) -> None:
    watched = Watched(ray_pool(gpu=0.5, max_slots=None))
    watched.until(SlotUp, count=4)
    watched.quiet(15)
    shares = collections.Counter(e.device for e in watched.told if isinstance(e, SlotUp))
    assert shares == {"0": 2, "1": 2}


def test_slots_are_joined_and_parted_on_their_device(ray_pool: MakeRayPool) -> None:
    watched = Watched(ray_pool(gpu=0.5, max_slots=None, cpu=0.5))
    watched.until(SlotUp, count=4)
    device_0 = [e.slot for e in watched.told if isinstance(e, SlotUp) and e.device == "0"]
    watched.pool.do(Reshape(tuple(device_0), (2,)))
    large = watched.until(SlotUp, count=5)
    assert (large.device, large.size) == ("0", 2)
    assert [e.slot for e in watched.told if isinstance(e, SlotDown)] == device_0
    watched.start("t000001", 1, slot=4)
    assert watched.until(Started)[-2:] == (1.0, 1.0)
    watched.pool.do(Stop("t000001", 1, large.slot, WHY))
    watched.pool.do(Reshape((large.slot,), (1, 1)))
    assert watched.until(SlotUp, count=7).device == "0"
    assert [e.size for e in watched.told if isinstance(e, SlotUp)] == [1, 1, 1, 1, 2, 1, 1]
    watched.pool.do(Reshape((large.slot, watched.slot(5)), (3,)))
    back = watched.until(SlotUp, count=8)
    assert (back.slot, back.size) == (watched.slot(5), 1), "one of them is gone: the other stays"
    watched.pool.do(Reshape((back.slot,), ()))
    watched.quiet(20)
    ups, downs = ([e.slot for e in watched.told if isinstance(e, k)] for k in (SlotUp, SlotDown))
    assert (downs[-1], len(ups)) == (back.slot, 8), "its room is given back, and stays free"


def test_a_process_is_kept_or_fresh_as_told(ray_pool: MakeRayPool) -> None:
    warm, fresh = Watched(ray_pool(max_slots=1)), Watched(ray_pool(max_slots=1, fresh_process=True))
    assert len(set(_pids(warm))) == 1
    assert len(set(_pids(fresh))) == 4
    assert len({e.slot for e in fresh.told if isinstance(e, SlotUp)}) == 1
    assert not any(isinstance(e, SlotDown) for e in fresh.told)


def test_the_device_of_a_slot_is_that_of_its_present_process(ray_pool: MakeRayPool) -> None:
    watched = Watched(ray_pool(gpu=0.25, cpu=0.5, max_slots=1, fresh_process=True))
    for number in range(1, 7):
        trial = f"t{number:06d}"
        watched.start(trial, UNBOUNDED, config={"ends_at": 1})
        watched.until(Ended, trial)
        (seen,) = (e.metrics["gpu"][0] for e in watched.told if _reported(e, trial))
        begun = next(i for i, e in enumerate(watched.told) if _reported(e, trial))
        said = [e.device for e in watched.told[:begun] if isinstance(e, SlotUp)]
        assert said[-1] == str(int(seen))


def _reported(event: Any, trial: str) -> bool:
    return isinstance(event, Reported) and event.trial == trial


def _pids(watched: Watched) -> list[int]:
    """The process of each of four trials, which leave by Ended, Stop, Finish and Ended."""
    start = watched.start("t000001", UNBOUNDED, config={"ends_at": 1})
    watched.until(Ended, "t000001")
    watched.start("t000002", 1)
    watched.until_step("t000002", 1)
    watched.pool.do(Stop("t000002", 1, start.slot, WHY))
    watched.start("t000003", 1)
    watched.until_step("t000003", 1)
    watched.pool.do(Finish("t000003", 1, start.slot, WHY))
    watched.start("t000004", UNBOUNDED, config={"ends_at": 1})
    watched.until(Ended, "t000004")
    assert (watched.steps("t000003"), watched.steps("t000004")) == ([1], [1])
    return [e.metrics["pid"][0] for e in watched.told if isinstance(e, Reported)]


def test_close_is_quick_and_frees_what_was_held(ray_pool: MakeRayPool) -> None:
    clock = SystemClock()
    pool = ray_pool(gpu=1)
    watched = Watched(pool)
    watched.start("t000001", UNBOUNDED, slot=0)
    watched.start("t000002", UNBOUNDED, slot=1, config={"does": "hang"})
    watched.until_step("t000001", 3)
    began_s = clock.now()
    pool.close()
    assert clock.now() - began_s < 5
    again = Watched(ray_pool(gpu=1))
    again.slot(1)  # the same two devices, so the first pool holds them no more


def test_a_poll_with_nothing_to_tell_ends_when_it_is_woken(ray_pool: MakeRayPool) -> None:
    clock, pool = SystemClock(), ray_pool(max_slots=1)
    Watched(pool).until(SlotUp)
    waker = threading.Timer(0.3, pool.wake)
    began_s = clock.now()
    waker.start()
    assert pool.poll(30.0) == []
    assert clock.now() - began_s < 10.0
