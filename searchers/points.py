"""Configs that the user wants tried first, before a searcher proposes any of its own."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as List
from typing import Any

from raysweep.searchers.base import Answer, Proposal, Searcher
from raysweep.searchers.sequence import Sequence, SequenceSearcher
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.names import nearest
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId

_TRIES = 1_000


class Points(Sequence):
    """A list of configs as a sequence; what one leaves out is drawn, the same in every process.

    Raises:
        SpecError: a point is not of the space.
    """

    def __init__(self, space: Space, points: List[Mapping[str, Any]], seed: int) -> None:
        self._configs = [_completed(space, i, point, seed) for i, point in enumerate(points)]

    def entry(self, index: int) -> dict[str, Any] | None:
        """The `index`-th config."""
        return self._configs[index]


class PointsFirst:
    """`points`, then what `inner` proposes; `inner` learns from all of them."""

    def __init__(self, points: Points, inner: Searcher) -> None:
        self.inner, self._points = inner, SequenceSearcher(points)

    def ask(self, trial: TrialId, stream: Stream) -> Answer:
        """The next point that nobody has, or what the inner searcher proposes."""
        point = self._points.ask(trial, stream)
        if point is None:
            return self.inner.ask(trial, stream)
        return Proposal(point, {"model": "points_to_evaluate"}, repeat=True)

    def suggested(self, trial: TrialId, config: Config) -> None:
        """`trial` has `config`."""
        self._points.suggested(trial, config)
        self.inner.suggested(trial, config)

    def tell(self, report: Report) -> None:
        """Passed on."""
        self.inner.tell(report)

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """Passed on."""
        self.inner.end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """Which points are used up, and what the inner searcher knows."""
        return {"points": self._points.state(), "inner": self.inner.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._points.load(state["points"])
        self.inner.load(state["inner"])


def _completed(space: Space, index: int, point: Mapping[str, Any], seed: int) -> dict[str, Any]:
    where = f"points_to_evaluate[{index}]"
    given = _flat(point)
    try:
        for name, value in given.items():
            if name not in space.parameters:
                raise SpaceError(f"{name}: no such parameter; {nearest(name, space.parameters)}")
            domain = space.parameters[name].domain
            if not domain.contains(value):
                raise SpaceError(f"{name}: got {value!r}; allowed is {domain.describe()}")
        stream = Stream(seed, "points", index)
        for _ in range(_TRIES):
            drawn = space.sample(stream)
            config = space.decode(space.encode({**drawn, **given}))  # conditions anew
            config.update({name: value for name, value in given.items() if name in config})
            if given.keys() <= config.keys() and space.allows(config):
                space.check(config)
                return config
    except SpaceError as error:
        raise SpecError(f"{where}: {error}") from None
    raise SpecError(
        f"{where}: no config of the space has {dict(point)!r}; check conditions and constraints"
    )


def _flat(point: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested groups, dots and slashes as flat names."""
    flat: dict[str, Any] = {}
    for name, value in point.items():
        full = above + name.replace(".", "/")
        flat.update(_flat(value, f"{full}/") if isinstance(value, Mapping) else {full: value})
    return flat
