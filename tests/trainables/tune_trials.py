"""What the tests of Tune trainables share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ray import tune

from raysweep.trainables.base import Factory
from raysweep.trainables.runner import Runner
from raysweep.trials.actions import Start
from raysweep.trials.decisions import Reason
from raysweep.trials.events import Failed, Reported
from raysweep.trials.trial import UNBOUNDED

WHY = Reason("test")
MakeRunner = Callable[..., Runner]


class Here:
    """Code of this very process; what travels is tested apart."""

    def __init__(self, factory: Factory):
        self._factory = factory

    def load(self) -> Factory:
        return self._factory


def start(trial: str = "t000001", run_to: int = UNBOUNDED, **changes: Any) -> Start:
    return Start(trial, 1, "s1", {}, 7, 0, None, run_to, WHY)._replace(**changes)


def metrics(events: list[Any], name: str = "loss") -> list[Any]:
    return [v for e in events if isinstance(e, Reported) for v in e.metrics[name]]


def kinds(events: list[Any]) -> list[str]:
    return [type(e).__name__ for e in events]


def failure(events: list[Any]) -> Failed:
    assert isinstance(events[-1], Failed), events
    return events[-1]


def returning_dict(config: dict[str, Any]) -> dict[str, float]:
    return {"loss": 0.5}


def yielding(config: dict[str, Any]) -> Iterator[Any]:
    yield {"_metric": 1.5}
    yield 0.5


def with_more(config: dict[str, Any], loss: float) -> dict[str, float]:
    return {"_metric": loss}


class Bare(tune.Trainable):
    """Nothing but step."""

    def step(self) -> Any:
        return self.config.get("row", {"loss": 1.0, "should_checkpoint": True})
