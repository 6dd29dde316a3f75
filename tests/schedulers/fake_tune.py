"""A controller that calls a scheduler in the order in which Ray Tune's own does, without Ray.

After ray.tune.execution.tune_controller of Ray 2.60: one event a turn, a retry that adds a trial
again, a last result that reaches `on_trial_complete` only, restored trials that are all PENDING.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pyarrow.fs import LocalFileSystem

from raysweep.schedulers.tune_file import StateFile
from raysweep.trials.clock import ManualClock
from raysweep.trials.streams import Stream

Train = Callable[[int, int], Mapping[str, Any]]
"""(number of the trial, its iteration) → what it reports."""


class FakeTrial:
    """As much of ray.tune.experiment.Trial as a scheduler may look at."""

    PENDING, RUNNING, PAUSED, TERMINATED, ERROR = (
        "PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR",
    )  # fmt: skip

    def __init__(self, number: int, storage: Any) -> None:
        self.number, self.trial_id, self.storage = number, f"run_{number:05d}", storage
        self.status = self.PENDING
        self.evaluated_params = {"number": number}
        self.run_metadata = SimpleNamespace(last_result={})
        self.iteration = self.checkpoint = 0
        self.saving = False

    def __str__(self) -> str:
        return self.trial_id

    @property
    def is_saving(self) -> bool:
        return self.saving

    def is_finished(self) -> bool:
        return self.status in (self.TERMINATED, self.ERROR)

    def set_status(self, status: str) -> None:
        self.status = status


class FakeSearch:
    """A search algorithm that gives `total` trials, at most `max_concurrent` at a time (0: any)."""

    def __init__(self, total: int, max_concurrent: int = 0) -> None:
        self.left, self.max_concurrent = total, max_concurrent
        self.live_trials: set[str] = set()
        self.gives = True
        self.completed: list[str] = []

    def may_give(self) -> bool:
        room = not self.max_concurrent or len(self.live_trials) < self.max_concurrent
        return self.gives and self.left > 0 and room

    def is_finished(self) -> bool:
        return self.left == 0

    def on_trial_complete(self, trial: str) -> None:
        self.completed.append(trial)
        self.live_trials.discard(trial)


class FakeTune:
    """Runs trials on `slots` slots under a scheduler.

    Args:
        scheduler: what is tested.
        train: what a trial reports at each iteration; raise RuntimeError to fail.
        total, max_concurrent: of the search algorithm.
        slots: how many trials run at once.
        length: iterations after which training code ends by itself, with a done result.
        checkpoints: whether a paused trial goes on where it was, or starts from scratch.
        max_failures: how often a failed trial is tried again.
        folder: the experiment's folder.
        turn_s: how long a turn takes; short ones leave no time to write each decision down.
    """

    def __init__(
        self,
        scheduler: Any,
        train: Train,
        *,
        folder: Path,
        total: int = 9,
        slots: int = 2,
        length: int = 1000,
        max_concurrent: int = 0,
        checkpoints: bool = True,
        max_failures: int = 0,
        seed: int = 0,
        turn_s: float = 1.0,
    ) -> None:
        self.train, self.length = train, length
        self.clock, self.turn_s = ManualClock(), turn_s
        self.adopt(scheduler)
        self.search_alg = FakeSearch(total, max_concurrent)
        self.slots, self.checkpoints, self.max_failures = slots, checkpoints, max_failures
        self.trials: list[FakeTrial] = []
        self.failures: dict[str, int] = {}
        self.stream = Stream(seed, "fake tune")
        self.reports: list[tuple[int, int, str]] = []  # trial, iteration, answer
        self.storage = SimpleNamespace(
            storage_filesystem=LocalFileSystem(),
            experiment_fs_path=str(folder),
            experiment_driver_staging_path=str(folder / "staging"),
        )
        self.kill_after: int | None = None

    def adopt(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        scheduler._file = StateFile(self.clock)

    # What schedulers call.
    def get_trials(self) -> list[FakeTrial]:
        return self.trials

    def get_live_trials(self) -> list[FakeTrial]:
        return [trial for trial in self.trials if not trial.is_finished()]

    def stop_trial(self, trial: FakeTrial) -> None:
        if trial.is_finished():
            return
        if trial.status == FakeTrial.RUNNING:
            self.scheduler.on_trial_complete(self, trial, trial.run_metadata.last_result)
        else:
            self.scheduler.on_trial_remove(self, trial)
        self.search_alg.on_trial_complete(trial.trial_id)
        trial.status = FakeTrial.TERMINATED

    # The loop.
    def fit(self, most: int = 20_000) -> FakeTune:
        for _ in range(most):
            if self.search_alg.is_finished() and all(t.is_finished() for t in self.trials):
                return self
            self.turn()
            if self.kill_after is not None and len(self.reports) >= self.kill_after:
                return self
        raise AssertionError(f"fit() hangs: {[(t.number, t.status) for t in self.trials]}")

    def turn(self) -> None:
        self.clock.sleep(self.turn_s)
        while self.search_alg.may_give():
            self.search_alg.left -= 1
            trial = FakeTrial(len(self.trials), self.storage)
            self.search_alg.live_trials.add(trial.trial_id)
            self.add(trial)
        chosen = self.scheduler.choose_trial_to_run(self)
        again = self.scheduler.choose_trial_to_run(self)
        assert chosen in (None, again), "choose_trial_to_run must be idempotent"
        chosen = again
        if chosen is not None:
            assert chosen.status in (FakeTrial.PENDING, FakeTrial.PAUSED)
            chosen.status = FakeTrial.PENDING
        self.start([chosen] if chosen else [])
        self.start([trial for trial in self.trials if trial.status == FakeTrial.PENDING])
        running = [trial for trial in self.trials if trial.status == FakeTrial.RUNNING]
        if running:
            self.event(self.stream.choice(running))

    def add(self, trial: FakeTrial) -> None:
        self.trials.append(trial)
        self.scheduler.on_trial_add(self, trial)

    def start(self, trials: Iterable[FakeTrial]) -> None:
        for trial in trials:
            busy = sum(t.status == FakeTrial.RUNNING for t in self.trials)
            if busy < self.slots and trial.status == FakeTrial.PENDING:
                trial.status, trial.iteration = FakeTrial.RUNNING, trial.checkpoint

    def event(self, trial: FakeTrial) -> None:
        if trial.saving:
            trial.saving, trial.status = False, FakeTrial.PAUSED
            trial.checkpoint = trial.iteration if self.checkpoints else 0
            return
        trial.iteration += 1
        try:
            result = dict(self.train(trial.number, trial.iteration))
        except RuntimeError:
            self.fail(trial)
            return
        result = {"training_iteration": trial.iteration, **result}
        if trial.iteration >= self.length:
            trial.run_metadata.last_result = result | {"done": True}
            self.reports.append((trial.number, trial.iteration, "done"))
            self.stop_trial(trial)
            return
        answer = self.scheduler.on_trial_result(self, trial, result)
        trial.run_metadata.last_result = result
        self.reports.append((trial.number, trial.iteration, answer))
        if answer == "STOP":
            self.stop_trial(trial)
        elif answer == "PAUSE":
            trial.saving = True

    def fail(self, trial: FakeTrial) -> None:
        failures = self.failures[trial.trial_id] = self.failures.get(trial.trial_id, 0) + 1
        self.scheduler.on_trial_error(self, trial)
        if failures <= self.max_failures:
            trial.status = FakeTrial.PENDING
            self.scheduler.on_trial_add(self, trial)
        else:
            self.search_alg.on_trial_complete(trial.trial_id)
            trial.status = FakeTrial.ERROR

    # Crash and restore.
    def snapshot(self) -> list[FakeTrial]:
        """The trials as Tune's own record has them now."""
        record = [copy.copy(trial) for trial in self.trials]
        for trial in record:
            trial.run_metadata = copy.copy(trial.run_metadata)
        return record

    def restore(self, scheduler: Any, record: list[FakeTrial]) -> FakeTune:
        """The same experiment in a new process: a scheduler that knows nothing, and the record."""
        after = copy.copy(self)
        after.trials, after.reports = [], []
        after.adopt(scheduler)
        after.kill_after = None
        after.search_alg = FakeSearch(
            len(self.trials) - len(record) + self.search_alg.left, self.search_alg.max_concurrent
        )
        for trial in record:
            trial = copy.copy(trial)
            trial.saving = False
            if not trial.is_finished():
                trial.status = FakeTrial.PENDING
                after.search_alg.live_trials.add(trial.trial_id)
            after.add(trial)
        return after
