"""Recorded trainings for the simulated pool: what was reported, how long it took, where it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from raysweep.trials.goal import Goal
from raysweep.trials.space import Space

ROW = "recorded/row"
"""The parameter that names a recorded training where only a list of them can be run.

Configs that a list holds twice are told apart by it; no parameter of a space is called so.
"""


_MOST = 5_000
"""Trainings that are kept at hand; a surrogate makes any of them again in milliseconds."""


class Track(NamedTuple):
    """One recorded training: `metrics` by name and `seconds`, a value for each step from 1 on."""

    metrics: Mapping[str, Sequence[float | None]]
    seconds: Sequence[float]


class RecordedCurves:
    """A simulated pool's curve and its pace, both as they were recorded.

    Args:
        track: what was recorded of a config, the same whenever it is asked.
    """

    def __init__(self, track: Callable[[Mapping[str, Any]], Track]) -> None:
        self._track = track
        self._known: dict[tuple[Any, ...], Track] = {}

    def __call__(self, config: Mapping[str, Any], seed: int, step: int) -> dict[str, Any]:
        """What was reported at `step`."""
        metrics = self.track(config).metrics
        return {name: values[step - 1] for name, values in metrics.items()}

    def step_s(self, config: Mapping[str, Any], step: int) -> float:
        """Seconds that `step` took."""
        return float(self.track(config).seconds[step - 1])

    def length(self, config: Mapping[str, Any]) -> int:
        """The last recorded step."""
        return len(self.track(config).seconds)

    def track(self, config: Mapping[str, Any]) -> Track:
        """All of one training."""
        key = (config[ROW],) if ROW in config else tuple(config.items())
        if key not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = self._track(config)
        return self._known[key]


class Recording(NamedTuple):
    """A benchmark of recorded learning curves.

    Attributes:
        name: by which it is asked for.
        space: what was varied.
        goal: what was measured.
        max_t: steps of a full training.
        curves: of every config of the space, or of the rows of `pool`.
        best: the least score known; lower is better, as everywhere.
        median: the score of a median random config after a full training.
        training_s: mean seconds of a random config's full training.
        pool: the configs that were recorded, where nothing is known between them; else None.
    """

    name: str
    space: Space
    goal: Goal
    max_t: int
    curves: RecordedCurves
    best: float
    median: float
    training_s: float
    pool: tuple[dict[str, Any], ...] | None = None

    def regret(self, score: float) -> float:
        """0 is the best known score, 1 that of a median random config, fully trained."""
        return (score - self.best) / (self.median - self.best)
