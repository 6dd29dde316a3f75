"""Legal histories of small sweeps, drawn from a seed: what the store's tests feed to it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from raysweep.results.store import Store
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import (
    Checkpointed,
    Closed,
    Ended,
    Event,
    Failed,
    Opened,
    Paused,
    Reported,
    SlotUp,
    Started,
    Suggested,
    Ticked,
)
from raysweep.trials.streams import Stream
from raysweep.trials.trial import trial_id

MANIFEST: dict[str, Any] = {
    "name": "world",
    "id": "w0",
    "created": 1000.0,
    "seed": 0,
    "spec": {"budget": {"trials": 1000}, "resources": {"gpu": 0.25}},
    "metrics": {"loss": "min", "acc": "max"},
    "columns": {"lr": "float64", "width": "int64", "opt": "string", "nested": "json", "on": "bool"},
}
Step = tuple[Event, tuple[Verdict, ...]]
ODD = (math.nan, math.inf, -math.inf, None, -0.0, 1e308, 2**70, True, [1, {"a": None}], {"x": {}},
       "text", 3, 5e-324, "\ud800", 2**53 + 1)  # fmt: skip


class Runner:
    """One trial as the world knows it."""

    def __init__(self, name: str) -> None:
        self.id, self.attempt, self.step, self.saved = name, 0, 0, 0
        self.path: str | None = None


class World:
    """A sweep that lives for as long as it is asked to."""

    def __init__(self, seed: int, odd: bool = True) -> None:
        self._stream, self._odd = Stream(seed, "world"), odd
        self.at, self.epoch = 0.0, 0
        self.idle: list[Runner] = []
        self.busy: list[Runner] = []
        self.pausing: list[Runner] = []
        self.done: list[Runner] = []
        self._made = 0

    def open(self) -> Step:
        """A new driver."""
        self.epoch += 1
        self.idle += self.busy + self.pausing
        self.busy, self.pausing = [], []
        return Opened(self.at, self.epoch, 1000.0 + self.at, "host"), ()

    def steps(self, count: int) -> Iterator[Step]:
        """The next `count` records."""
        for _ in range(count):
            self.at += self._stream.uniform(0.0, 0.5)
            yield self._one()

    def close(self) -> Step:
        return Closed(self.at, "done", 0), ()

    def _one(self) -> Step:
        draw = self._stream.uniform()
        if draw < 0.15 or not (self.idle or self.busy or self.pausing):
            return self._suggest()
        if draw < 0.3 and self.idle:
            return self._begin()
        if draw < 0.35 and self.pausing:
            return self._pause()
        if draw < 0.4:
            return (SlotUp(self.at, "s0", "n0", ""), ()) if draw < 0.37 else (Ticked(self.at), ())
        if draw < 0.45 and self.done:
            return self._zombie()
        return self._run() if self.busy else self._suggest()

    def _suggest(self) -> Step:
        runner = Runner(trial_id(self._made))
        self._made += 1
        self.idle.append(runner)
        config: dict[str, Any] = {"lr": self._stream.uniform(), "width": 4, "nested": [1, "a"]}
        if self._made % 2:
            config |= {"opt": "sgd", "on": True}
        return Suggested(self.at, runner.id, config), ()

    def _begin(self) -> Step:
        runner = self.idle.pop(0)
        self.busy.append(runner)
        runner.attempt += 1
        runner.step = runner.saved
        verb = "start" if runner.attempt == 1 else "resume"
        verdict = Verdict(runner.id, runner.attempt, runner.saved, verb, "new", 9)
        if self._stream.uniform() < 0.5:
            return Ticked(self.at), (verdict,)
        started = Started(self.at, runner.id, runner.attempt, runner.step, "s0", "n0", 0.25)
        return started, (verdict,)

    def _run(self) -> Step:
        runner = self._stream.choice(self.busy)
        draw = self._stream.uniform()
        if draw < 0.7:
            return self._report(runner)
        if draw < 0.8:
            runner.saved, runner.path = runner.step, f"checkpoints/{runner.id}/{runner.step}"
            return Checkpointed(self.at, runner.id, runner.attempt, runner.step, runner.path), ()
        self.busy.remove(runner)
        if draw < 0.85:
            self.done.append(runner)
            return Ended(self.at, runner.id, runner.attempt, runner.step), ()
        failed = Failed(self.at, runner.id, runner.attempt, "error", "boom \udcff", "trace")
        if draw < 0.92:
            self.idle.append(runner)
            return failed, (Verdict(runner.id, runner.attempt, runner.step, "retry", "error"),)
        self.done.append(runner)
        return failed, ()

    def _report(self, runner: Runner) -> Step:
        count = self._stream.integer(1, 5)
        first = runner.step + 1
        if self._stream.uniform() < 0.1:
            first = max(1, runner.step - 1)  # a batch sent again
        steps = list(range(first, first + count))
        new = [step for step in steps if step > runner.step]
        runner.step = max(runner.step, steps[-1])
        metrics: dict[str, Any] = {
            "loss": [self._stream.normal() for _ in steps],
            "acc": [self._stream.integer(0, 9) for _ in steps],
        }
        if self._odd:
            metrics["loss"][0] = self._stream.choice((*ODD, 0.5, 0.25))
            metrics[self._stream.choice(("m", "M", "", "step", "a.b"))] = [
                self._stream.choice(ODD) for _ in steps
            ]
        report = Reported(self.at, runner.id, runner.attempt, steps, [0.5] * count, metrics)
        return report, self._decide(runner, new) if new else ()

    def _decide(self, runner: Runner, steps: list[int]) -> tuple[Verdict, ...]:
        draw, at = self._stream.uniform(), self._stream.choice(steps)
        who = (runner.id, runner.attempt)
        if draw < 0.1:
            self.busy.remove(runner)
            self.done.append(runner)
            return (Verdict(*who, at, "stop", "asha", None, 0, 0.5, math.inf, 3, 4),)
        if draw < 0.2:
            self.busy.remove(runner)
            self.pausing.append(runner)
            return (
                Verdict(*who, steps[-1], "pause", "asha", None, 1, 0.5, 0.25, 1, 4, "v1, ei 0.5"),
            )
        return (Verdict(*who, steps[-1], "run_to", "asha", 99),) if draw < 0.3 else ()

    def _pause(self) -> Step:
        runner = self.pausing.pop()
        runner.saved, runner.path = runner.step, f"checkpoints/{runner.id}/{runner.step}"
        self.idle.append(runner)
        return Paused(self.at, runner.id, runner.attempt, runner.step, runner.path), ()

    def _zombie(self) -> Step:
        runner = self._stream.choice(self.done)
        late = Reported(self.at, runner.id, runner.attempt, [99], [0.0], {"loss": [0.0]})
        return late, ()


def history(seed: int, count: int, odd: bool = True) -> list[Step]:
    """The first `count` records of a sweep."""
    world = World(seed, odd)
    return [world.open(), *world.steps(count - 1)]


def feed(store: Store, steps: list[Step]) -> None:
    """Append and commit each record."""
    for event, verdicts in steps:
        store.append(event, verdicts)
        store.commit(durable=False)
