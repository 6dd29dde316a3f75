"""Training code that counts, and what runners are told and tell of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from raysweep.trainables.base import Trainable, as_factory
from raysweep.trainables.runner import Runner
from raysweep.trials.actions import Start
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Reason
from raysweep.trials.events import (
    Reported,
)
from raysweep.trials.trial import UNBOUNDED

WHY = Reason("test")
CLOCK = ManualClock()


class Here:
    """Training code of this very process."""

    def __init__(self, target: Any):
        self.target = target

    def load(self) -> Any:
        return as_factory(self.target)


class Counter(Trainable):
    """Trains for a second per step, up to `config["end"]` steps; remembers what happened to it."""

    story: list[str]

    def setup(self, config: dict[str, Any]) -> None:
        self.end = config.get("end", 100)
        self.story = config.get("story", [])
        self.value = 0

    def step(self) -> dict[str, float] | None:
        if self.value >= self.end:
            return None
        CLOCK.sleep(1.0)
        self.value += 1
        return {"loss": 1.0 / self.value, "before": self.step_number}

    def save(self, folder: Path) -> None:
        (folder / "value").write_text(str(self.value))

    def load(self, folder: Path) -> None:
        self.value = int((folder / "value").read_text())

    def cleanup(self) -> None:
        self.story.append("cleaned up")


MakeRunner = Callable[..., Runner]


def start(trial: str = "t000001", run_to: int = UNBOUNDED, **changes: Any) -> Start:
    return Start(trial, 1, "s1", {}, 7, 0, None, run_to, WHY)._replace(**changes)


def steps(events: list[Any]) -> list[int]:
    return [s for e in events if isinstance(e, Reported) for s in e.steps]


def kinds(events: list[Any]) -> list[str]:
    return [type(e).__name__ for e in events]
