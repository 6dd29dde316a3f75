"""What leaves a trial's process, and when: on real Ray, with training code that misbehaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.ray_pool import RayPool
from raysweep.cluster.resources import Resources
from raysweep.trainables.load import ModuleCode
from raysweep.trainables.runner import HostSpec
from raysweep.trials.actions import Finish, Pause, Start, Stop
from raysweep.trials.clock import SystemClock
from raysweep.trials.events import (
    Checkpointed,
    Ended,
    ErrorClass,
    Failed,
    Finished,
    Paused,
    Reported,
    Silent,
    SlotDown,
    Started,
)
from raysweep.trials.trial import UNBOUNDED
from tests.contracts.pool import WHY, Watched

pytestmark = pytest.mark.ray
CLOCK = SystemClock()
MakeWatched = Callable[..., Watched]


@pytest.fixture
def watch(ray_cluster: object, tmp_path: Path) -> Iterator[MakeWatched]:
    """Makes a pool of one slot whose trials have a temper."""
    made: list[RayPool] = []

    def make(
        target: str = "train", pulse_s: float = 30.0, cleanup_s: float = 45.0, **options: Any
    ) -> Watched:
        code = ModuleCode(f"tempers:{target}", str(Path(__file__).parent))
        every = {"every_steps": options.pop("every_steps", None)}
        host = HostSpec(
            code, str(tmp_path), ("loss",), pulse_s=pulse_s, cleanup_s=cleanup_s, **every
        )
        options = {"max_slots": 1, "cleanup_s": cleanup_s, **options}
        made.append(RayPool(host, Resources(), clock=CLOCK, origin_s=CLOCK.now(), **options))
        return Watched(made[-1])

    yield make
    for pool in made:
        pool.close()


def test_a_report_is_told_while_the_next_step_runs(watch: MakeWatched) -> None:
    watched = watch()
    watched.slot()
    watched.start("t000001", UNBOUNDED, config={"does": "wait", "does_at": 3, "wait_s": 3600})
    began_s = CLOCK.now()
    watched.until_step("t000001", 3)
    assert CLOCK.now() - began_s < 10  # 0.2 s and what a busy machine adds
    pid = watched.of("t000001")[-1].metrics["pid"][-1]
    os.kill(pid, signal.SIGKILL)  # what was handed over stands
    assert watched.until(Failed).error == ErrorClass.CRASH
    assert watched.steps("t000001") == [1, 2, 3]


def test_a_checkpoint_is_told_while_the_next_step_runs(watch: MakeWatched) -> None:
    watched = watch(every_steps=2)
    config = {"does": "wait", "does_at": 2, "wait_s": 3600, "saves": "write"}
    watched.start("t000001", UNBOUNDED, config=config)
    assert watched.until(Checkpointed).step == 2


def test_what_is_handed_over_is_told_before_the_death(watch: MakeWatched) -> None:
    """It dies 0.3 s after its report, of which word and that of the death come close together."""
    watched = watch()
    watched.slot()
    for number in range(3):
        trial = f"t00000{number}"
        watched.start(trial, UNBOUNDED, config={"does": "die", "does_at": 2, "wait_s": 0.3},
                      slot=number)  # fmt: skip
        watched.until(Failed, trial)
        assert watched.steps(trial) == [1, 2]


def test_quick_steps_send_nothing_by_the_mailbox(watch: MakeWatched) -> None:
    pool: Any = watch().pool
    watched, letters = Watched(pool), list[Any]()
    mailed = pool._mailed
    pool._mailed = lambda mail, events: (letters.append(mail.content), mailed(mail, events))
    for number in range(5):
        watched.start(f"t00000{number}", UNBOUNDED, config={"ends_at": 50})
        watched.until(Ended, f"t00000{number}")
    assert b"".join(letters) in (b"", b"0")  # it may be there, and has nothing


def test_a_mailbox_that_dies_loses_nothing(watch: MakeWatched, ray_cluster: object) -> None:
    import ray

    watched = watch()
    pool: Any = watched.pool
    watched.slot()
    ray.kill(pool._post.handle, no_restart=False)
    watched.start("t000001", UNBOUNDED, config={"does": "wait", "does_at": 2, "wait_s": 3600})
    watched.until_step("t000001", 2)
    assert watched.steps("t000001") == [1, 2]


@pytest.mark.parametrize(
    ("target", "cleans"), [("Untidy", "wait"), ("Untidy", "die"), ("train", "die")]
)
def test_a_cleanup_that_hangs_or_kills_costs_no_trial_anything(
    watch: MakeWatched, target: str, cleans: str
) -> None:
    watched = watch(target, pulse_s=1.0, cleanup_s=2.0)
    wait_s = 3600 if cleans == "wait" else 0
    config = {"ends_at": 3, "cleans": cleans, "wait_s": wait_s}
    if target == "Untidy":
        watched.start("t000001", UNBOUNDED, config=config)
        watched.until(Ended, "t000001")
    else:
        start = watched.start("t000001", 3, config=config | {"ends_at": 9})
        watched.until_step("t000001", 3)
        watched.pool.do(Stop("t000001", 1, start.slot, WHY))
    assert watched.steps("t000001") == [1, 2, 3]
    watched.start("t000002", UNBOUNDED, config={"ends_at": 2})
    down = watched.until(SlotDown)
    if cleans == "wait":
        assert down.cause.startswith("the cleanup of t000001 took longer than 2 s (timeouts.clea")
    assert not watched.of("t000002")  # the next trial goes back to the queue
    watched.start("t000002", UNBOUNDED, slot=1, attempt=2, config={"ends_at": 2})
    watched.until(Ended, "t000002")
    assert not any(isinstance(event, Failed) for event in watched.told)


def test_a_process_that_a_trial_has_worn_out_is_replaced_before_the_next(
    watch: MakeWatched,
) -> None:
    """Whether the next waits already when that shows, or comes later; and it costs no trial anything."""
    watched = watch()
    slot = watched.slot()
    pids = list[int]()
    for number, leaves in enumerate(["thread", "thread", "", ""]):
        trial = f"t00000{number}"
        does = {"does": leaves, "does_at": 1} if leaves else {}
        watched.start(trial, UNBOUNDED, config={"ends_at": 2, **does})
        watched.until(Ended, trial)
        assert watched.steps(trial) == [1, 2]
        pids.append(watched.of(trial)[-2].metrics["pid"][-1])
        if number == 1:
            watched.quiet()
    assert len(set(pids[:3])) == 3
    assert pids[2] == pids[3]
    assert {event.slot for event in watched.told if isinstance(event, Started)} == {slot}
    assert not any(isinstance(event, Failed | SlotDown) for event in watched.told)


def test_a_trial_whose_own_setup_kills_pays_at_its_second_attempt(watch: MakeWatched) -> None:
    """Once it may have been the one before; the second time no doubt is left."""
    watched = watch()
    watched.start("t000001", UNBOUNDED, config={"ends_at": 1})
    watched.until(Ended, "t000001")
    watched.start("t000002", UNBOUNDED, config={"begins": "die"})
    watched.until(SlotDown)
    watched.start("t000003", UNBOUNDED, slot=1, config={"ends_at": 1})
    watched.until(Ended, "t000003")
    watched.start("t000002", UNBOUNDED, slot=1, attempt=2, config={"begins": "die"})
    assert watched.until(Failed).trial == "t000002"


@pytest.mark.parametrize("leaves", ["ends", "finish", "pause"])
def test_a_last_save_that_kills_costs_that_checkpoint(watch: MakeWatched, leaves: str) -> None:
    watched = watch()
    config = {"saves": "die", "ends_at": 3 if leaves == "ends" else 100}
    start = watched.start("t000001", 9 if leaves == "ends" else 3, config=config)
    watched.until_step("t000001", 3)
    if leaves == "ends":
        assert watched.until(Ended).saving
    else:
        leave = {"finish": Finish, "pause": Pause}[leaves]
        watched.pool.do(leave("t000001", 1, start.slot, WHY))
    if leaves != "pause":
        watched.pool.do(Start("t000002", 1, start.slot, {}, 7, 0, None, 1, WHY))
    watched.until(SlotDown)
    assert watched.steps("t000001") == [1, 2, 3]
    failed = [e.trial for e in watched.told if isinstance(e, Failed)]
    assert failed == (["t000001"] if leaves == "pause" else [])  # one that pauses goes to the last
    assert not any(isinstance(e, Paused | Finished) for e in watched.told)


def test_what_has_ended_is_cleaned_up_before_the_pool_is_gone(
    watch: MakeWatched, tmp_path: Path
) -> None:
    watched = watch()
    mark = tmp_path / "mark"
    watched.start("t000001", UNBOUNDED, config={"ends_at": 1, "cleans": "mark", "path": str(mark)})
    watched.until(Ended)
    watched.pool.close()
    assert mark.exists()


def test_a_long_step_shows_what_its_process_does(watch: MakeWatched) -> None:
    watched = watch(pulse_s=1.5)
    watched.start("t000001", UNBOUNDED, config={"does": "wait", "does_at": 1, "wait_s": 3600})
    silent = watched.until(Silent)
    assert (silent.trial, silent.attempt, silent.doing) == ("t000001", 1, "train")
    assert 1.5 <= silent.silent_s < 15
    assert silent.cores < 0.05
    assert not any(isinstance(event, Failed) for event in watched.told)


@pytest.mark.parametrize("begins", ["raise", "patch"])
def test_nothing_that_a_process_pickles_runs_in_the_driver(
    watch: MakeWatched, tmp_path: Path, begins: str
) -> None:
    watched, ran = watch(), tmp_path / "ran"
    config = {"begins": begins, "path": str(ran), "ends_at": 2}
    watched.start("t000001", UNBOUNDED, config=config)
    if begins == "raise":
        assert watched.until(Failed).message == "Rude: rude"
    else:
        watched.until(Ended)
        assert watched.steps("t000001") == [1, 2]
    watched.quiet()
    assert not ran.exists() or ran.read_text() != str(os.getpid())


def test_an_answer_that_cannot_be_true_is_a_crash_of_that_attempt(watch: MakeWatched) -> None:
    watched = watch()
    pool: Any = watched.pool
    start = watched.start("t000001", 2)
    watched.until_step("t000001", 2)
    slot = pool._slots[start.slot][1]
    letter = b'[2, [["Reported", "t000001", 1, [1], [0.1], {"loss": [NaN]}]], null, null]'
    pool._post.handle.put.remote(slot.key, letter)
    failed = watched.until(Failed, "t000001")
    assert failed.error == ErrorClass.CRASH
    assert "sent what it should not, and was ended: it reports steps 1 to 1" in failed.message
    watched.until(SlotDown)


def test_reports_come_in_order_and_once_when_both_ways_are_busy(watch: MakeWatched) -> None:
    watched = watch()
    watched.start("t000001", UNBOUNDED, config={"ends_at": 30, "does": "wait", "does_at": 7, "wait_s": 0.6})  # fmt: skip
    watched.until(Ended)
    assert watched.steps("t000001") == list(range(1, 31))
    kinds = [type(event) for event in watched.of("t000001")]
    assert kinds[0] is Started
    assert set(kinds[1:-1]) == {Reported}
