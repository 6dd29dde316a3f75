"""What a scheduler answers to a report, and why."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

_T = TypeVar("_T", bound=tuple[Any, ...])


def equal_by_class(cls: type[_T]) -> type[_T]:
    """Let records of a named tuple equal records of the same class only.

    Plain tuples equal each other whatever they stand for: `Pause(reason)` would equal
    `Stop(reason)`. The hash stays that of a tuple.
    """

    def equal(self: tuple[Any, ...], other: object) -> bool:
        return type(self) is type(other) and tuple.__eq__(self, other)

    def unequal(self: tuple[Any, ...], other: object) -> bool:
        return not equal(self, other)

    cls.__eq__, cls.__ne__ = equal, unequal  # type: ignore[method-assign, assignment]
    return cls


class Reason(NamedTuple):
    """Why a decision was taken, in numbers that can be stored and explained later.

    `score`, `cutoff` are lower-is-better scores; `rank` counts from 1 among `peers` trials that
    have reached the rung, this one included. `model` is a short text, of a rule that fits one:
    which version of it, and what it said. What a rule does not use stays None.
    """

    rule: str
    rung: int | None = None
    score: float | None = None
    cutoff: float | None = None
    rank: int | None = None
    peers: int | None = None
    model: str | None = None


@equal_by_class
class Continue(NamedTuple):
    """Nothing to decide: the trial has not reached the step it was granted."""


@equal_by_class
class RunTo(NamedTuple):
    """Go on to `step`, keeping the slot."""

    step: int
    reason: Reason


@equal_by_class
class Pause(NamedTuple):
    """Write a checkpoint and yield the slot; `next_paused` may call the trial back."""

    reason: Reason


@equal_by_class
class Stop(NamedTuple):
    """End the trial early: it has lost."""

    reason: Reason


@equal_by_class
class Finish(NamedTuple):
    """End the trial: it ran as far as any trial may."""

    reason: Reason


Decision = Continue | RunTo | Pause | Stop | Finish
CONTINUE = Continue()


class Verdict(NamedTuple):
    """A decision as it is recorded: who, when in its life, what, and why.

    `verb` is one of start, resume, run_to, pause, stop, finish; `value` and `cutoff` are in the
    metric's own direction.
    """

    trial: str
    attempt: int
    step: int
    verb: str
    rule: str
    to_step: int | None = None
    rung: int | None = None
    value: float | None = None
    cutoff: float | None = None
    rank: int | None = None
    peers: int | None = None
    model: str | None = None
