from __future__ import annotations

import gc
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from raysweep.trials.actions import Finish, Pause, RunTo, Stop
from raysweep.trials.events import Ended
from raysweep.trials.trial import UNBOUNDED
from tests.trainables.tune_trials import (
    WHY,
    MakeRunner,
    failure,
    kinds,
    metrics,
    returning_dict,
    start,
)


def test_a_function_runs_exactly_to_its_grant(make_tune: MakeRunner) -> None:
    reached: list[int] = []

    def train(config: dict[str, Any]) -> None:
        for number in range(5):
            reached.append(number)
            tune.report({"loss": number})
        reached.append(-1)

    runner = make_tune(train)
    events = runner.exchange([start(run_to=2)], 60)
    assert kinds(events) == ["Started", "Reported"]
    assert events[1].metrics["loss"] == [0, 1]
    assert events[1].metrics["training_iteration"] == [1, 2]
    assert reached == [0, 1]
    assert runner.exchange([], 60) == []
    assert reached == [0, 1]
    assert metrics(runner.exchange([RunTo("t000001", 1, "s1", 4, WHY)], 60)) == [2, 3]
    last = runner.exchange([RunTo("t000001", 1, "s1", UNBOUNDED, WHY)], 60)
    assert kinds(last) == ["Reported", "Ended"]
    assert last[-1] == Ended(0.0, "t000001", 1, 5)
    assert reached == [0, 1, 2, 3, 4, -1]


class Odd(BaseException): ...


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no good"), "ValueError: no good"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "the training function raised KeyboardInterrupt"),
        (Odd("very"), "the training function raised Odd: very"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_the_function_raises_is_told_with_its_own_lines(
    make_tune: MakeRunner, error: BaseException, message: str
) -> None:
    def my_own_line(config: dict[str, Any]) -> None:
        tune.report({"loss": 1.0})
        raise error

    events = make_tune(my_own_line).exchange([start()], 60)
    assert metrics(events) == [1.0]
    told = failure(events)
    assert told.message.startswith(message)
    assert "in my_own_line" in told.traceback


@pytest.mark.parametrize("leave", [lambda: sys.exit(0), sys.exit])
def test_leaving_with_zero_is_an_end(make_tune: MakeRunner, leave: Callable[[], None]) -> None:
    def train(config: dict[str, Any]) -> None:
        tune.report({"loss": 1.0})
        leave()

    assert kinds(make_tune(train).exchange([start()], 60)) == ["Started", "Reported", "Ended"]


@pytest.mark.parametrize("leave", [Stop, Pause, Finish])
def test_leaving_unwinds_the_function_and_frees_it(make_tune: MakeRunner, leave: Any) -> None:
    story: list[str] = []
    held: list[weakref.ref[Any]] = []

    class Model: ...

    def train(config: dict[str, Any]) -> None:
        model = Model()
        held.append(weakref.ref(model))
        try:
            with tempfile.TemporaryDirectory() as folder:
                story.append(folder)
                while True:
                    try:
                        tune.report({"loss": 1.0})
                    except Exception:
                        story.append("caught")
        finally:
            story.append("unwound")

    runner = make_tune(train)
    runner.exchange([start(run_to=3)], 60)
    runner.exchange([leave("t000001", 1, "s1", WHY)], 60)
    runner.exchange([], 60)
    gc.collect()
    assert story[1:] == ["unwound"]
    assert not Path(story[0]).exists()
    assert held[0]() is None
    assert not [t for t in threading.enumerate() if t.name == "trial-t000001"]


def test_a_failed_function_is_freed(make_tune: MakeRunner) -> None:
    held: list[weakref.ref[Any]] = []

    class Model: ...

    def train(config: dict[str, Any]) -> None:
        model = Model()
        held.append(weakref.ref(model))
        raise ValueError("no")

    gc.collect()
    gc.disable()  # no cycle may hold what a failed trial had on a GPU
    try:
        assert kinds(make_tune(train).exchange([start()], 60)) == ["Started", "Failed"]
        assert held[0]() is None
    finally:
        gc.enable()


def test_a_function_that_will_not_end_is_left_behind(make_tune: MakeRunner) -> None:
    release, refused = threading.Event(), []

    def stubborn(config: dict[str, Any]) -> None:
        while not release.is_set():
            try:
                tune.report({"loss": -1.0})
            except BaseException as error:
                refused.append(type(error).__name__)
                release.wait(0.01)

    def gentle(config: dict[str, Any]) -> None:
        if config["stubborn"]:
            stubborn(config)
        for number in range(20):
            release.wait(0.01)
            tune.report({"loss": number})

    runner = make_tune(gentle)
    runner.exchange([start(config={"stubborn": True}, run_to=2)], 60)
    events = runner.exchange(
        [Stop("t000001", 1, "s1", WHY), start("t000002", config={"stubborn": False})], 60
    )
    assert {e.trial for e in events} == {"t000002"}
    assert metrics(events) == list(range(20))  # and none of the other's
    assert set(refused) == {"Unwound"}
    (left,) = [t for t in threading.enumerate() if t.name == "trial-t000001"]
    release.set()
    left.join(5)
    assert not left.is_alive()


def test_a_stopped_function_that_spins_is_put_to_sleep(make_tune: MakeRunner) -> None:
    refused: list[int] = []

    def spinning(config: dict[str, Any]) -> None:
        while True:
            try:
                tune.report({"loss": -1.0})
            except BaseException:
                refused.append(1)

    runner = make_tune(spinning)
    runner.exchange([start(run_to=2)], 60)
    runner.exchange([Stop("t000001", 1, "s1", WHY)], 60)
    assert len(refused) <= 101
    make_tune(returning_dict).exchange([start("t000002")], 60)  # takes the session's place


def test_helper_threads_may_report(make_tune: MakeRunner) -> None:
    def train(config: dict[str, Any]) -> None:
        helpers = [
            threading.Thread(target=tune.report, args=({"loss": number},)) for number in range(4)
        ]
        for helper in helpers:
            helper.start()
        for helper in helpers:
            helper.join()

    runner = make_tune(train)
    first = runner.exchange([start(run_to=3)], 60)
    assert len(metrics(first)) == 3
    rest = runner.exchange([RunTo("t000001", 1, "s1", UNBOUNDED, WHY)], 60)
    assert sorted(metrics(first) + metrics(rest)) == [0, 1, 2, 3]
    assert kinds(rest)[-1] == "Ended"


@pytest.mark.ray
@pytest.mark.parametrize("stop_at", [None, 2])
def test_workers_of_ray_train_report_through_tunes_callback(
    ray_cluster: Any, make_tune: MakeRunner, stop_at: int | None
) -> None:
    from ray.tune.integration.ray_train import TuneReportCallback

    def work(callback: Any) -> None:
        for number in range(4):
            callback.after_report(None, [{"loss": number}], None)

    def train(config: dict[str, Any]) -> None:
        ray.get(ray.remote(num_cpus=0)(work).remote(TuneReportCallback()))

    runner = make_tune(train)
    events = runner.exchange([start(run_to=stop_at or UNBOUNDED)], 60)
    if stop_at is None:
        assert metrics(events) == [0, 1, 2, 3]
        assert kinds(events)[-1] == "Ended"
    else:
        assert metrics(events) == [0, 1]
        assert runner.exchange([Stop("t000001", 1, "s1", WHY)], 60) == []


@pytest.mark.ray
def test_a_worker_that_reports_nonsense_fails_the_trial(
    ray_cluster: Any, make_tune: MakeRunner
) -> None:
    from ray.tune.integration.ray_train import TuneReportCallback

    def train(config: dict[str, Any]) -> None:
        TuneReportCallback()._training_actor_item_queue.put(0.5)

    told = failure(make_tune(train).exchange([start()], 60))
    assert "tune.report takes a dict of metrics, got float" in told.message
