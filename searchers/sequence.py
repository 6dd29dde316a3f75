"""A searcher that walks a fixed sequence of configs: the n-th trial gets the n-th of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol

from raysweep.trials.errors import SpaceError
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Config, Outcome, Report, TrialId
from raysweep.trials.values import plain

_SKIPS = 1_000_000
"""Entries in a row that may be left out before one question gives up."""
_LOOK_AHEAD = 1_000
"""How far out of order a replayed proposal may stand in the sequence."""
_LAG = 1_000
"""Entries that may be used up behind one that was asked for, until that one is given up."""


class Sequence(Protocol):
    """Configs by index, the same ones in every process."""

    def entry(self, index: int) -> dict[str, Any] | None:
        """The `index`-th config; None: left out, because it violates a constraint.

        Raises:
            IndexError: behind the end.
        """
        ...


class SequenceSearcher:
    """Proposes the entries of a sequence in their order, each once.

    An entry is held by the trial that asked for it until the proposal is in the journal. A replay
    that has no memory of asking finds a proposal's place by its config, so that what was asked
    ahead and never recorded is proposed again and nothing is proposed twice.

    Args:
        sequence: what to walk.
    """

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self._asked: dict[TrialId, int] = {}
        self._held: set[int] = set()
        self._next = 0  # every index below is used
        self._used: set[int] = set()  # indices at or above `_next`
        self._gaps: dict[int, int] = {}  # where entries are left out: first index -> index behind

    def ask(self, trial: TrialId, stream: Stream) -> dict[str, Any] | None:
        """The first entry that nobody has; None behind the end of the sequence.

        Raises:
            SpaceError: if a million entries in a row violate a constraint.
        """
        if trial in self._asked:
            return self._sequence.entry(self._asked[trial])
        for index, config in self._free():
            self._asked[trial] = index
            self._held.add(index)
            return config
        return None

    def suggested(self, trial: TrialId, config: Config) -> None:
        """`trial` has `config`: its entry is used up. A config from elsewhere uses none."""
        index = self._asked.pop(trial, None)
        if index is None:
            index = self._find(config)
        else:
            self._held.discard(index)
        if index is not None:
            self._use(index)

    def tell(self, report: Report) -> None:
        """Nothing is learnt from reports."""

    def end(self, trial: TrialId, outcome: Outcome) -> None:
        """Nothing is learnt from ends."""

    def state(self) -> dict[str, Any]:
        """Which entries are used up; a few numbers however many trials there are."""
        return {"next": self._next, "used": sorted(self._used)}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`; what had only been asked for is free again."""
        self._next, self._used = int(state["next"]), set(state["used"])
        self._asked.clear()
        self._held.clear()

    def _free(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The entries that nobody has, in order."""
        index = self._next
        try:
            while True:
                if index in self._used or index in self._held:
                    index += 1
                elif index in self._gaps:
                    index = self._gaps[index]
                elif (config := self._sequence.entry(index)) is None:
                    index = self._measure(index)
                else:
                    yield index, config
                    index += 1
        except IndexError:
            return

    def _measure(self, start: int) -> int:
        """The first entry behind the gap at `start` that is not left out."""
        for index in range(start + 1, start + _SKIPS):
            if self._sequence.entry(index) is not None:
                self._gaps[start] = index
                return index
        self._gaps[start] = start + _SKIPS
        raise SpaceError(
            f"{_SKIPS:,} entries in a row violate a constraint; loosen the constraints or use "
            f"the random searcher"
        )

    def _use(self, index: int) -> None:
        if index < self._next:
            return
        self._used.add(index)
        if len(self._used) > _LAG:
            self._next = min(self._used)
        while self._next in self._used or self._next in self._gaps:
            self._used.discard(self._next)
            self._next = self._gaps.pop(self._next, self._next + 1)

    def _find(self, config: Config) -> int | None:
        wanted = plain(dict(config))
        near = islice(self._free(), _LOOK_AHEAD)
        return next((index for index, entry in near if entry == wanted), None)
