"""Answers of a scheduler as plain data: each function gives a whole answer, or says what is wrong.

A plug-in may answer with numpy scalars where a journal needs numbers; those are made plain. What is
no answer at all raises `WrongAnswer` with the rule that it breaks.
"""

from __future__ import annotations

import json
from operator import index
from typing import Any

from raysweep.schedulers.base import Fork, Promotion
from raysweep.trials.decisions import (
    CONTINUE,
    Continue,
    Decision,
    Finish,
    Pause,
    Reason,
    RunTo,
    Stop,
)
from raysweep.trials.trial import UNBOUNDED

_LONGEST = 300
_INT64 = 1 << 63


class WrongAnswer(ValueError):
    """What a scheduler answered is none of what its call allows; the message says why."""


def whole_step(value: Any, beyond: int, rule: str) -> int:
    """`value` as a step after `beyond`.

    Raises:
        WrongAnswer: it is none, for the reason `rule`.
    """
    try:
        step = None if isinstance(value, bool) else index(value)
    except TypeError:
        step = None
    if step is None or not beyond < step <= UNBOUNDED:
        raise WrongAnswer(rule)
    return step


def whole_decision(answer: Any, step: int, run_to: int) -> Decision:
    """The answer to the report of `step` of a trial that was granted `run_to`.

    Raises:
        WrongAnswer: it is no decision, or one that this trial cannot follow.
    """
    if isinstance(answer, Continue):
        if step >= run_to:
            raise WrongAnswer("the scheduler gave no decision at its own grant")
        return CONTINUE
    if isinstance(answer, RunTo):
        further = whole_step(answer.step, step, f"the trial has reported step {step} already")
        return RunTo(further, whole_reason(answer.reason))
    if isinstance(answer, Pause):
        return Pause(whole_reason(answer.reason))
    if isinstance(answer, Stop):
        return Stop(whole_reason(answer.reason))
    if isinstance(answer, Finish):
        return Finish(whole_reason(answer.reason))
    raise WrongAnswer("it must be a Continue, RunTo, Pause, Stop or Finish")


def whole_promotion(answer: Any) -> Promotion:
    """What `next_paused` answered, if it is not None.

    Raises:
        WrongAnswer: it is no promotion.
    """
    if not isinstance(answer, Promotion) or not isinstance(answer.trial, str):
        raise WrongAnswer("it must be None or a Promotion of a trial to a later step")
    step = whole_step(answer.step, 0, "a promotion is to a whole number of steps, 1 or more")
    return Promotion(answer.trial, step, whole_reason(answer.reason))


def whole_fork(answer: Any) -> Fork:
    """What `next_fork` answered, if it is not None.

    Raises:
        WrongAnswer: it is no fork, or holds what no journal can carry.
    """
    if not isinstance(answer, Fork) or not isinstance(answer.parent, str):
        raise WrongAnswer("it must be None or a Fork of a trial")
    try:
        plain = json.loads(json.dumps([answer.config, answer.why], allow_nan=False))
    except (TypeError, ValueError) as error:
        raise WrongAnswer(f"its config and why must be plain data: {error}") from None
    if not all(isinstance(part, dict) for part in plain):
        raise WrongAnswer("its config and its why must be mappings")
    return Fork(answer.parent, *plain)


def whole_reason(reason: Any) -> Reason:
    """The reason of a decision.

    Raises:
        WrongAnswer: it is none, or one of its fields cannot be stored.
    """
    if not isinstance(reason, Reason):
        raise WrongAnswer("its reason must be a Reason")
    if not isinstance(reason.rule, str) or not isinstance(reason.model, str | None):
        raise WrongAnswer("the rule of a Reason is text; so is its model, if it has one")
    return Reason(
        reason.rule[:_LONGEST],
        _whole(reason.rung, "rung"),
        _number(reason.score, "score"),
        _number(reason.cutoff, "cutoff"),
        _whole(reason.rank, "rank"),
        _whole(reason.peers, "peers"),
        reason.model if reason.model is None else reason.model[:_LONGEST],
    )


def _whole(value: Any, name: str) -> int | None:
    if value is None:
        return None
    try:
        number = index(value)
    except TypeError:
        number = _INT64
    if not -_INT64 <= number < _INT64:
        raise WrongAnswer(f"{name} of its Reason must be a whole number or None")
    return number


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise WrongAnswer(f"{name} of its Reason must be a number or None") from None


def said(error: BaseException) -> str:
    """Class and message of an error, whatever its `__str__` does."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def shown(answer: Any) -> str:
    """An answer in words, whatever its `__repr__` does."""
    try:
        text = repr(answer)
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = f"a {type(answer).__name__}"
    return text if len(text) <= 120 else f"{text[:117]}..."
