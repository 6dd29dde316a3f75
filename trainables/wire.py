"""What a trial's process sends to the driver: JSON, checked as data before it is used.

A letter is `[first, events, pulse, wear]`: the number of the first event, the events as
`[kind, *fields]` without their time, a pulse or null, and how worn the process is or null; or
`{"broken": why}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from raysweep.trainables.failures import MESSAGE_CHARS, TRACEBACK_CHARS
from raysweep.trainables.values import MAX_BYTES, MAX_METRICS
from raysweep.trials.errors import AnswerError
from raysweep.trials.events import (
    Checkpointed,
    Ended,
    ErrorClass,
    Event,
    Failed,
    Finished,
    Paused,
    Reported,
    Started,
    Unsaved,
)
from raysweep.trials.plain_json import encode_plain
from raysweep.trials.trial import UNBOUNDED, TrialId

PHASES = ("setup", "train", "save", "cleanup")
"""What a process may be at with a trial."""
MAX_LETTER = 256 << 20
_NUMBER = (float, int)
_TEXT = (str, type(None))
_AMOUNT = (float, int, type(None))
_FIELDS: dict[str, tuple[type[Any], tuple[Any, ...]]] = {
    "Started": (Started, (str, int, int, str, str, _NUMBER, _AMOUNT, _AMOUNT)),
    "Checkpointed": (Checkpointed, (str, int, int, str)),
    "Unsaved": (Unsaved, (str, int, int, str)),
    "Paused": (Paused, (str, int, int, _TEXT)),
    "Finished": (Finished, (str, int, int, _TEXT)),
    "Ended": (Ended, (str, int, int, bool)),
    "Failed": (Failed, (str, int, str, str, str)),
}
_OWN_ERRORS = frozenset(
    {
        ErrorClass.ERROR,
        ErrorClass.OOM,
        ErrorClass.REPORT,
        ErrorClass.CHECKPOINT,
        ErrorClass.STORAGE,
        ErrorClass.INFRA,
    }
)
"""The failures that a process can tell of itself."""
_FITTING = {
    kind: frozenset(product(*(each if isinstance(each, tuple) else (each,) for each in wanted)))
    for kind, (_, wanted) in _FIELDS.items()
}
"""The types that the fields of an event may have, all of them at once."""
_VALUES = frozenset({float, int, bool, str, list, type(None)})
_MOST_BITS = 1024


class Pulse(NamedTuple):
    """A sign of life while a step is long: what the process is at, and how busy it is.

    `since_s` is how long it has been at it; `cores` as of `trials.events.Silent`.
    """

    doing: str
    trial: TrialId
    attempt: int
    since_s: float
    cores: float | None


class Wear(NamedTuple):
    """Why a process can run no further trial, "" while it can, and how many of the last commands of
    the exchange it has therefore not carried out."""

    why: str = ""
    returned: int = 0


class Letter(NamedTuple):
    """Events of one process, the first of them its `first`-th, and perhaps a pulse."""

    first: int
    events: list[Any]
    pulse: Pulse | None = None
    wear: Wear = Wear()


def encode(
    first: int, events: Sequence[Event], pulse: Pulse | None = None, wear: Wear | None = None
) -> bytes:
    """A letter as bytes, on one line."""
    told = [[type(event).__name__, *event[1:]] for event in events]
    return encode_plain([first, told, pulse, wear]).encode()


def encode_broken(why: str) -> bytes:
    """In the place of a letter: the process cannot go on."""
    return encode_plain({"broken": why[:MESSAGE_CHARS]}).encode()


def decode(data: Any) -> Letter:
    """The letter behind `data`.

    Raises:
        AnswerError: saying in what it is none.
    """
    if type(data) is not bytes or len(data) > MAX_LETTER:
        raise AnswerError(f"it is a {type(data).__name__}, not up to {MAX_LETTER:,} bytes of JSON")
    try:
        parts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"it is no JSON: {str(error)[:200]}") from None
    if type(parts) is dict and type(parts.get("broken")) is str:
        raise AnswerError(parts["broken"][:MESSAGE_CHARS])
    if type(parts) is not list or len(parts) != 4 or type(parts[1]) is not list:
        raise AnswerError("it is no list of a number, events, a pulse and its wear")
    first, told, pulse, wear = parts
    _check(_is_count(first), "the number of its first event", first)
    return Letter(first, [_event(fields) for fields in told], _pulse(pulse), _wear(wear))


def _wear(told: Any) -> Wear:
    if told is None:
        return Wear()
    whole = type(told) is list and len(told) == 2 and type(told[0]) is str and _is_count(told[1])
    _check(whole, "its wear", told)
    return Wear(told[0][:MESSAGE_CHARS], told[1])


def _event(told: Any) -> Any:
    if type(told) is not list or not told or type(told[0]) is not str:
        raise AnswerError(f"an event is {_shown(told)}")
    kind, *fields = told
    if kind == "Reported":
        return _reported(fields)
    if kind not in _FIELDS:
        raise AnswerError(f"an event is of kind {_shown(kind)}")
    cls, wanted = _FIELDS[kind]
    if (
        kind != "Failed"
        and tuple(map(type, fields)) in _FITTING[kind]
        and all(map(_is_sane, fields))
    ):
        return cls(0.0, *fields)
    _check(len(fields) == len(wanted), f"{kind} has fields", fields)
    for name, types, value in zip(cls._fields[1:], wanted, fields, strict=True):
        allowed = types if isinstance(types, tuple) else (types,)
        fits = type(value) in allowed and _is_sane(value)
        _check(fits, f"{kind}.{name}", value)
    if kind == "Failed":
        _check(fields[2] in _OWN_ERRORS, "Failed.error", fields[2])
    return cls(0.0, *fields)


def _reported(fields: list[Any]) -> Reported:
    _check(len(fields) == 5, "Reported has fields", fields)
    trial, attempt, steps, elapsed_s, metrics = fields
    _check(type(trial) is str, "Reported.trial", trial)
    _check(_is_count(attempt), "Reported.attempt", attempt)
    _check(type(steps) is list and bool(steps) and _is_count(steps[0]), "Reported.steps", steps)
    count = len(steps)
    in_a_row = steps == list(range(steps[0], steps[0] + count)) and set(map(type, steps)) == {int}
    _check(in_a_row and steps[-1] < UNBOUNDED, "Reported.steps", steps)
    numbers = type(elapsed_s) is list and set(map(type, elapsed_s)) <= {float, int}
    _check(numbers and len(elapsed_s) == count, "Reported.elapsed_s", elapsed_s)
    passes = elapsed_s == sorted(elapsed_s) and elapsed_s[0] >= 0 and math.isfinite(sum(elapsed_s))
    _check(passes, "Reported.elapsed_s", elapsed_s)
    _check(type(metrics) is dict and len(metrics) <= MAX_METRICS, "Reported.metrics", metrics)
    for name, values in metrics.items():
        _check(type(values) is list and len(values) == count, f"metric {name[:100]!r}", values)
        kinds = set(map(type, values))
        _check(kinds <= _VALUES, f"metric {name[:100]!r}", values)
        if not kinds <= {float, type(None)}:
            _check(all(map(_is_value, values)), f"metric {name[:100]!r}", values)
    return Reported(0.0, trial, attempt, steps, elapsed_s, metrics)


def _pulse(told: Any) -> Pulse | None:
    if told is None:
        return None
    shaped = type(told) is list and len(told) == len(Pulse._fields)
    _check(shaped, "its pulse", told)
    doing, trial, attempt, since_s, cores = told
    _check(doing in PHASES and type(trial) is str and _is_count(attempt), "its pulse", told)
    for value in (since_s, 0.0 if cores is None else cores):
        _check(type(value) in _NUMBER and 0 <= value < math.inf, "its pulse", told)
    return Pulse(doing, trial, attempt, since_s, cores)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < UNBOUNDED


def _is_sane(value: Any) -> bool:
    """Neither giant nor negative nor NaN; text as long as a failure's at most."""
    if type(value) is int:
        return _is_count(value)
    if type(value) is float:
        return 0 <= value < math.inf
    return type(value) is not str or len(value) <= MESSAGE_CHARS + TRACEBACK_CHARS


def _is_value(value: Any) -> bool:
    """What `trainables.values.clean` lets through, as far as it may be large."""
    if type(value) is int:
        return value.bit_length() <= _MOST_BITS
    if type(value) is str:
        return len(value) <= MAX_BYTES
    return type(value) is not list or len(encode_plain(value)) <= 2 * MAX_BYTES


def _check(fits: bool, what: str, value: Any) -> None:
    if not fits:
        raise AnswerError(f"{what} is {_shown(value)}")


def _shown(value: Any) -> str:
    return repr(value)[:100]
