"""What every pool must do, whatever its trials really run on.

A subclass gives `make_pool(behaviour)`, which makes a pool with at least two slots whose trials
behave as told. A trial reports the metric "loss" at each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from raysweep.cluster.pool import Pool
from raysweep.trials.actions import Finish, Pause, RunTo, Start, Stop
from raysweep.trials.decisions import Reason
from raysweep.trials.events import (
    Ended,
    ErrorClass,
    Failed,
    Finished,
    Paused,
    Reported,
    SlotUp,
    Started,
)
from raysweep.trials.trial import UNBOUNDED

WHY = Reason("test")
POLLS = 400
POLL_S = 0.25


class Behaviour(NamedTuple):
    """How the trials of a pool behave; None: never."""

    ends_at: int | None = None
    """Nothing is left to train after this step."""
    raises_at: int | None = None
    """Raises when it should train this step."""
    saves: bool = True
    """Whether it can write checkpoints."""


MakePool = Callable[[Behaviour], Pool]


class Watched:
    """A pool, and everything that it has told so far."""

    def __init__(self, pool: Pool):
        self.pool = pool
        self.told: list[Any] = []

    def until(self, kind: type[Any], trial: str | None = None, count: int = 1) -> Any:
        """Poll until `count` events of `kind` (of `trial`) have been told; gives the last one."""
        for _ in range(POLLS):
            found = [e for e in self.told if isinstance(e, kind) and _is_of(e, trial)]
            if len(found) >= count:
                return found[-1]
            self.told.extend(self.pool.poll(POLL_S))
        raise AssertionError(f"no {kind.__name__} of {trial}; told: {self.told[-20:]}")

    def until_step(self, trial: str, step: int) -> None:
        """Poll until `trial` has reported `step`."""
        for _ in range(POLLS):
            if self.steps(trial)[-1:] >= [step]:
                return
            self.told.extend(self.pool.poll(POLL_S))
        raise AssertionError(f"{trial} never reported step {step}; told: {self.told[-20:]}")

    def quiet(self, polls: int = 3) -> None:
        """Poll a few times more, to hear what should not be said."""
        for _ in range(polls):
            self.told.extend(self.pool.poll(0.1))

    def of(self, trial: str) -> list[Any]:
        """All that was told of one trial."""
        return [event for event in self.told if getattr(event, "trial", None) == trial]

    def steps(self, trial: str) -> list[int]:
        """The steps that one trial reported."""
        return [s for e in self.of(trial) if isinstance(e, Reported) for s in e.steps]

    def slot(self, number: int = 0) -> str:
        """The name of the `number`-th slot."""
        self.until(SlotUp, count=number + 1)
        name: str = [e.slot for e in self.told if isinstance(e, SlotUp)][number]
        return name

    def start(self, trial: str, run_to: int, slot: int = 0, **changes: Any) -> Start:
        """Start `trial`'s first attempt from scratch, but for `changes`."""
        start = Start(trial, 1, self.slot(slot), {"lr": 0.1}, 7, 0, None, run_to, WHY)
        start = start._replace(**changes)
        self.pool.do(start)
        return start


def _is_of(event: Any, trial: str | None) -> bool:
    return trial is None or getattr(event, "trial", None) == trial


class PoolContract:
    """Inherit, and give `make_pool`; the fixture should also close what it made."""

    @pytest.fixture
    def make_pool(self) -> MakePool:
        raise NotImplementedError

    def test_announces_slots_by_different_names(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        watched.until(SlotUp, count=2)
        names = [e.slot for e in watched.told if isinstance(e, SlotUp)]
        assert len(set(names)) == len(names)

    def test_a_trial_runs_to_its_grant_and_waits_there(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        start = watched.start("t000001", 3)
        watched.until_step("t000001", 3)
        watched.quiet()
        kinds = [type(e) for e in watched.of("t000001")]
        assert kinds[0] is Started
        assert set(kinds[1:]) == {Reported}
        assert watched.steps("t000001") == [1, 2, 3]
        assert watched.of("t000001")[0][1:5] == ("t000001", 1, 0, start.slot)

    def test_a_report_has_a_value_and_a_time_per_step(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        watched.start("t000001", 5)
        watched.until_step("t000001", 5)
        elapsed: list[float] = []
        for event in watched.of("t000001"):
            if isinstance(event, Reported):
                assert len(event.steps) == len(event.elapsed_s) == len(event.metrics["loss"])
                elapsed.extend(event.elapsed_s)
        assert elapsed == sorted(elapsed)
        assert elapsed[0] >= 0

    def test_a_further_grant_lets_it_go_on(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        start = watched.start("t000001", 2)
        watched.until_step("t000001", 2)
        watched.pool.do(RunTo("t000001", 1, start.slot, 5, WHY))
        watched.until_step("t000001", 5)
        watched.quiet()
        assert watched.steps("t000001") == [1, 2, 3, 4, 5]

    def test_it_ends_when_nothing_is_left_to_train(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour(ends_at=4)))
        watched.start("t000001", UNBOUNDED)
        ended = watched.until(Ended, "t000001")
        assert ended.step == 4
        assert watched.steps("t000001") == [1, 2, 3, 4]
        assert watched.of("t000001")[-1] is ended

    def test_after_the_end_the_slot_takes_the_next(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour(ends_at=2)))
        for number in range(5):
            watched.start(f"t00000{number}", UNBOUNDED)
            watched.until(Ended, f"t00000{number}")
        assert [watched.steps(f"t00000{n}") for n in range(5)] == [[1, 2]] * 5

    def test_an_exception_is_told_after_the_reports_before_it(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour(raises_at=3)))
        watched.start("t000001", UNBOUNDED)
        failed = watched.until(Failed, "t000001")
        assert failed.error == ErrorClass.ERROR
        assert failed.message
        assert watched.steps("t000001") == [1, 2]
        assert watched.of("t000001")[-1] is failed
        watched.start("t000002", 2)
        watched.until_step("t000002", 2)

    def test_slots_do_not_disturb_one_another(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour(ends_at=6)))
        watched.start("t000001", UNBOUNDED, slot=0)
        watched.start("t000002", UNBOUNDED, slot=1)
        watched.until(Ended, "t000001")
        watched.until(Ended, "t000002")
        assert watched.steps("t000001") == watched.steps("t000002") == [1, 2, 3, 4, 5, 6]

    def test_pause_writes_a_checkpoint_from_which_it_resumes(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        start = watched.start("t000001", 3)
        watched.until_step("t000001", 3)
        watched.pool.do(Pause("t000001", 1, start.slot, WHY))
        paused = watched.until(Paused, "t000001")
        assert paused.step == 3
        assert paused.path is not None
        watched.start("t000001", 5, slot=1, attempt=2, step=paused.step, checkpoint=paused.path)
        watched.until_step("t000001", 5)
        assert watched.until(Started, "t000001", count=2).step == 3
        assert watched.steps("t000001") == [1, 2, 3, 4, 5]

    def test_pause_before_the_grant_comes_at_a_step(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        start = watched.start("t000001", UNBOUNDED)
        watched.until_step("t000001", 1)
        watched.pool.do(Pause("t000001", 1, start.slot, WHY))
        paused = watched.until(Paused, "t000001")
        watched.quiet()
        assert watched.of("t000001")[-1] is paused
        assert watched.steps("t000001") == list(range(1, paused.step + 1))

    def test_what_cannot_save_pauses_without_a_path(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour(saves=False)))
        start = watched.start("t000001", 2)
        watched.until_step("t000001", 2)
        watched.pool.do(Pause("t000001", 1, start.slot, WHY))
        assert watched.until(Paused, "t000001").path is None

    def test_stop_frees_the_slot_in_the_same_breath(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        start = watched.start("t000001", 2)
        watched.until_step("t000001", 2)
        watched.pool.do(Stop("t000001", 1, start.slot, WHY))
        watched.start("t000002", 2)
        watched.until_step("t000002", 2)
        watched.quiet()
        assert watched.steps("t000001") == [1, 2]
        assert not any(isinstance(e, Ended | Failed | Paused) for e in watched.of("t000001"))

    def test_stop_before_the_grant_silences_the_trial(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        start = watched.start("t000001", UNBOUNDED)
        watched.until_step("t000001", 1)
        watched.pool.do(Stop("t000001", 1, start.slot, WHY))
        said = len(watched.of("t000001"))
        watched.start("t000002", 3)
        watched.until_step("t000002", 3)
        watched.quiet()
        assert len(watched.of("t000001")) == said
        assert watched.steps("t000002") == [1, 2, 3]

    def test_finish_writes_a_last_checkpoint(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        start = watched.start("t000001", 3)
        watched.until_step("t000001", 3)
        watched.pool.do(Finish("t000001", 1, start.slot, WHY))
        watched.start("t000002", 1)
        written = watched.until(Finished, "t000001")
        assert written.step == 3
        assert written.path is not None
        watched.until_step("t000002", 1)
        assert watched.of("t000001")[-1] is written

    def test_commands_for_whom_it_does_not_host_change_nothing(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        start = watched.start("t000001", 2)
        watched.until_step("t000001", 2)
        for command in (
            RunTo("t000009", 1, start.slot, 9, WHY),
            Pause("t000001", 9, start.slot, WHY),
            Stop("t000009", 1, start.slot, WHY),
            Stop("t000001", 1, "no such slot", WHY),
        ):
            watched.pool.do(command)
        watched.quiet()
        watched.pool.do(RunTo("t000001", 1, start.slot, 3, WHY))
        watched.until_step("t000001", 3)
        assert watched.steps("t000001") == [1, 2, 3]
        assert not watched.of("t000009")

    def test_time_never_goes_back(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour(ends_at=3)))
        for number in range(3):
            watched.start(f"t00000{number}", UNBOUNDED)
            watched.until(Ended, f"t00000{number}")
        times = [event.at for event in watched.told]
        assert times == sorted(times)
        assert times[0] >= 0

    def test_a_poll_without_news_is_empty(self, make_pool: MakePool) -> None:
        watched = Watched(make_pool(Behaviour()))
        watched.start("t000001", 1)
        watched.until_step("t000001", 1)
        watched.quiet()
        assert watched.pool.poll(0.0) == []
