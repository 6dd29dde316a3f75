"""The searcher behind every method that learns: a memory, and a function from it to a proposal.

Since the memory holds what the journal told and nothing else, a method that keeps no state of its
own gives the same proposal after a resume. What it computes on the way (a fitted model) it may keep
for the next proposal, so long as the same history gives the same again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import Any, Protocol

import numpy as np

from raysweep.searchers.base import Answer, Proposal
from raysweep.searchers.history import Bools, Floats, History, key_of
from raysweep.searchers.setting import Setting
from raysweep.searchers.sobol import SobolSequence
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId

_TRIES = 10
"""Proposals that are refused before the trial's config is drawn at random."""
_DRAWS = 100
"""Random configs among which one that is new is looked for."""
_SMALL = 10_000
"""Spaces of more configs are not searched for the last ones that are new."""


class Known(History):
    """A history together with the proposals that are on their way into it.

    `busy` is what methods mean by pending: whoever proposes next should not go there.
    """

    def __init__(self, setting: Setting, watch: Sequence[str] = ()) -> None:
        super().__init__(setting.space, setting.goal, setting.levels, watch)
        self.held: dict[TrialId, Proposal] = {}

    @property
    def issued(self) -> int:
        """How many trials have been suggested, those on their way included."""
        return len(self) + len(self.held)

    @property
    def busy(self) -> Floats:
        """The points of all trials without a result, shape (b, d)."""
        held = [self.space.encode(proposal.config) for proposal in self.held.values()]
        pending = self.points[self.pending]
        return np.vstack([pending, *held]) if held else pending

    @property
    def silent(self) -> Floats:
        """The points of all trials that have shown nothing at any level yet, shape (b, d)."""
        held = [self.space.encode(proposal.config) for proposal in self.held.values()]
        rows = self.pending[np.isnan(self.rungs[self.pending]).all(axis=1)]
        return np.vstack([self.points[rows], *held]) if held else self.points[rows]

    def untried(self, points: Floats) -> Bools:
        """Which of some settled points, shape (k, d), are nobody's yet, shape (k,)."""
        held = {key_of(self.space.encode(p.config)) for p in self.held.values()}
        keys = [key_of(point) for point in points]
        return np.array([not (key in self._seen or key in held) for key in keys], dtype=bool)

    def tried(self, config: Config) -> bool:
        """Whether `config` is some trial's, or about to be."""
        return self.seen(config) or any(config == p.config for p in self.held.values())


class Method(Protocol):
    """How a searcher that learns proposes."""

    def propose(self, known: Known, stream: Stream) -> Proposal:
        """A config for one more trial.

        It may lie outside the constraints or have been tried before; the learner then asks again
        with the stream gone on, and draws at random in the end. The same `known` and `stream` give
        the same proposal, in any process.
        """
        ...


class Learner:
    """A searcher made of a memory and a method.

    Args:
        setting: the sweep.
        method: proposes from what is known.
        watch: metrics besides the goal's that the method looks at.
    """

    def __init__(self, setting: Setting, method: Method, watch: Sequence[str] = ()) -> None:
        self.known, self._method = Known(setting, watch), method
        self._space, self._used_up = setting.space, False

    def ask(self, trial: TrialId, stream: Stream) -> Answer:
        """A config that keeps the constraints and is new; None once a finite space is used up."""
        held = self.known.held
        if trial not in held:
            proposal = self._new(stream)
            if proposal is None:
                return None
            held[trial] = proposal
        return held[trial]

    def suggested(self, trial: TrialId, config: Config) -> None:
        """`config` is pending."""
        self.known.held.pop(trial, None)
        self.known.suggested(trial, config)

    def tell(self, report: Report) -> None:
        """A trial reported a step."""
        self.known.tell(report)

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """A trial ended for good."""
        self.known.end(trial, outcome)

    def state(self) -> dict[str, Any]:
        """What was told; proposals on their way are not part of it."""
        return self.known.state()

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.known.held.clear()
        self._used_up = False
        self.known.load(state)

    def _new(self, stream: Stream) -> Proposal | None:
        if self._used_up or (not self._space.dims and self.known.issued):
            return None
        for _ in range(_TRIES):
            proposal = self._method.propose(self.known, stream)
            if not self._space.allows(proposal.config):
                continue
            if proposal.repeat or not self.known.tried(proposal.config):
                return proposal
        config = self._draw(stream)
        if config is None:
            self._used_up = True  # what has been tried stays so
            return None
        return Proposal(config, {"model": "random", "note": "the model found no more"})

    def _draw(self, stream: Stream) -> dict[str, Any] | None:
        """A random config; in a small finite space a new one, or None where none is left."""
        small = self._space.size is not None and self._space.size <= _SMALL
        for _ in range(_DRAWS if small else 1):
            config = self._space.sample(stream)
            if not (small and self.known.tried(config)):
                return config
        left = [config for config in self._all if not self.known.tried(config)]
        return stream.choice(left) if left else None

    @cached_property
    def _all(self) -> list[dict[str, Any]]:
        """Every config of a small finite space, once."""
        domains = [self._space.parameters[name].domain for name in self._space.dims]
        axes = [[d.encode(d.at(i)) for i in range(d.size or 0)] for d in domains]
        found = [self._space.decode(np.array(point)) for point in product(*axes)]
        kept = [config for config in found if self._space.allows(config)]
        return list({key_of(self._space.encode(config)): config for config in kept}.values())


class Design:
    """The configs of a scrambled Sobol sequence, for trials about which nothing is known yet.

    Args:
        space: what to cover.
        seed: the sweep's.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed
        self._points = SobolSequence(space, seed)

    def propose(self, index: int) -> Proposal:
        """The `index`-th config; one that violates a constraint is replaced by a random one."""
        config = self._points.entry(index)
        if config is None:
            config = self._space.sample(Stream(self._seed, "design", index))
        return Proposal(config, {"model": "sobol", "note": f"initial design, point {index}"})
