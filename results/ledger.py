"""The trials and the attempts of a sweep as columns: what a finished trial costs the driver.

A trial is a row number everywhere in here; a row is some hundred bytes, whatever it reported.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from raysweep.results.codec import canonical
from raysweep.results.columns import Column, column_name, fitting, nullable, text
from raysweep.trials.trial import Status

STATUSES: Final = tuple(Status)
CODE: Final = {status: number for number, status in enumerate(STATUSES)}
ENDS: Final = (None, "paused", "ended", "failed", "stopped", "finished", "driver")
END: Final = {end: number for number, end in enumerate(ENDS)}
_NO_RUNG: Final = -1
_MESSAGE_LIMIT = 500
_NAN = math.nan
_NO_REASON: Final[Mapping[str, Any]] = {}

_TRIAL_NUMBERS: Final = {
    "steps": "q",
    "attempts": "q",
    "best_value": "d",
    "best_step": "q",
    "last_value": "d",
    "created_at": "d",
    "started_at": "d",
    "ended_at": "d",
    "busy_s": "d",
    "stop_rung": "q",
    "parent_step": "q",
}
_ATTEMPT_NUMBERS: Final = {
    "trial": "q",
    "attempt": "q",
    "start_step": "q",
    "end_step": "q",
    "started_at": "d",
    "ended_at": "d",
    "setup_s": "d",
    "reports": "q",
    "gpu": "d",
    "cpu": "d",
}
_NEW_NUMBERS: Final = frozenset({"gpu", "cpu"})  # tables of 0.1 have them not
TRIAL_COLUMNS: Final = frozenset(
    {
        "trial_id", "status", "checkpoint", "best_checkpoint", "best_saved", "error_class", "error", "stop_rule", "parent",
        "replicate_of", "config_json", "why",
    }
) | set(_TRIAL_NUMBERS)  # fmt: skip


class Attempts:
    """One row per attempt, in the order in which they began."""

    def __init__(self) -> None:
        self.trial, self.attempt = array("q"), array("q")
        self.start_step, self.end_step, self.reports = array("q"), array("q"), array("q")
        self.started_at, self.ended_at, self.setup_s = array("d"), array("d"), array("d")
        self.gpu, self.cpu = array("d"), array("d")
        self.end = bytearray()
        self.slot: list[str | None] = []
        self.node: list[str | None] = []
        self.code: list[str | None] = []
        self.errors: dict[int, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self.trial)

    def open(self, trial: int, attempt: int, step: int, at: float, code: str | None = None) -> int:
        """A new row for an attempt that begins, with the hash of what it trains; its number."""
        self.trial.append(trial)
        self.attempt.append(attempt)
        self.start_step.append(step)
        self.end_step.append(step)
        self.reports.append(0)
        self.started_at.append(at)
        for unknown in (self.ended_at, self.setup_s, self.gpu, self.cpu):
            unknown.append(_NAN)
        self.end.append(0)
        self.slot.append(None)
        self.node.append(None)
        self.code.append(code)
        return len(self.trial) - 1

    def fail(self, row: int, error: str, message: str) -> None:
        """Note why an attempt failed; the full text is in `events`."""
        self.errors[row] = (error, text(message[:_MESSAGE_LIMIT]))

    def table(self, ids: list[str]) -> pa.Table:
        """The public table."""
        classes, messages = _sparse(self.errors, len(self))
        names = pa.array(ids, pa.string()).take(pa.array(_numbers(self.trial)))
        return pa.table(
            {
                "trial_id": names,
                "attempt": _numbers(self.attempt),
                "start_step": _numbers(self.start_step),
                "end_step": _numbers(self.end_step),
                "slot": pa.array(self.slot, pa.string()),
                "node": pa.array(self.node, pa.string()),
                "started_at": nullable(self.started_at),
                "ended_at": nullable(self.ended_at),
                "end": _words(self.end, ENDS),
                "error_class": classes,
                "message": messages,
                "setup_s": nullable(self.setup_s),
                "reports": _numbers(self.reports),
                "gpu": nullable(self.gpu),
                "cpu": nullable(self.cpu),
                "code": pa.array(self.code, pa.string()),
            }
        )

    @classmethod
    def of(cls, table: pa.Table, index: Mapping[str, int]) -> Attempts:
        """What `table` was made from."""
        self = cls()
        self.trial = array("q", [index[name] for name in table["trial_id"].to_pylist()])
        for name, code in _ATTEMPT_NUMBERS.items():
            if name in _NEW_NUMBERS and name not in table.column_names:
                setattr(self, name, array(code, [_NAN]) * table.num_rows)
            elif name != "trial":
                setattr(self, name, _array(table[name], code))
        self.end = bytearray(END[word] for word in table["end"].to_pylist())
        self.slot, self.node = _interned(table["slot"]), _interned(table["node"])
        known = "code" in table.column_names  # not in tables of 0.1
        self.code = _interned(table["code"]) if known else [None] * table.num_rows
        self.errors = _gathered(table["error_class"], table["message"])
        return self


class Trials:
    """One row per trial, in the order of their configs' arrival.

    Args:
        configs: type of each flat config name, as the manifest fixes them.
        metrics: the goal's metrics, first the one that ranks.
    """

    def __init__(self, configs: Mapping[str, str], metrics: tuple[str, ...]) -> None:
        self.ids: list[str] = []
        self.index: dict[str, int] = {}
        self.status = bytearray()
        self.steps, self.attempts, self.best_step = array("q"), array("q"), array("q")
        self.best_value, self.last_value = array("d"), array("d")
        self.created_at, self.started_at, self.ended_at = array("d"), array("d"), array("d")
        self.busy_s, self.stop_rung = array("d"), array("q")
        self.parent, self.parent_step = list[str | None](), array("q")
        self.replicate_of = list[str | None]()
        self.children = 0
        self.open_row = array("q")
        self.checkpoint: list[str | None] = []
        self.best_checkpoint: list[str | None] = []
        self.best_saved = array("d")
        self.stop_rule: list[str | None] = []
        self.config_json: list[str] = []
        self.why: list[str | None] = []
        self.errors: dict[int, tuple[str, str]] = {}
        self.valued = bytearray()
        self.configs = {name: Column(kind) for name, kind in configs.items()}
        self.goals = {name: array("d") for name in metrics}
        self.columns = column_names((*metrics, *("config/" + name for name in configs)))

    def __len__(self) -> int:
        return len(self.ids)

    def add(
        self,
        trial: str,
        config: Mapping[str, Any],
        at: float,
        why: Mapping[str, Any] = _NO_REASON,
        origin: tuple[str | None, int | None] = (None, None),
        replicate_of: str | None = None,
    ) -> int:
        """A new row for a trial that has been given its config, and why; its number.

        A child's `origin` is its parent, and the step at which it goes on from there; a replicate
        has the id of its original.
        """
        row = self.index[trial] = len(self.ids)
        self.ids.append(trial)
        self.status.append(CODE[Status.PENDING])
        for zero in (self.steps, self.attempts, self.busy_s):
            zero.append(0)
        for none in (self.best_value, self.last_value, self.started_at, self.ended_at):
            none.append(_NAN)
        for goal in self.goals.values():
            goal.append(_NAN)
        for absent in (self.best_step, self.open_row, self.stop_rung):
            absent.append(-1)
        parent, step = origin
        self.parent.append(parent)
        self.parent_step.append(-1 if step is None else step)
        self.replicate_of.append(replicate_of)
        self.children += (parent or replicate_of) is not None
        self.created_at.append(at)
        self.checkpoint.append(None)
        self.best_checkpoint.append(None)
        self.best_saved.append(_NAN)
        self.stop_rule.append(None)
        self.valued.append(0)
        self.config_json.append(canonical(config))
        self.why.append(canonical(why) if why else None)
        for name, column in self.configs.items():
            present = name in config
            column.append(fitting(config[name], column.kind, canonical) if present else None)
        return row

    def table(self) -> pa.Table:
        """The public table."""
        classes, messages = _sparse(self.errors, len(self))
        columns: dict[str, Any] = {
            "trial_id": pa.array(self.ids, pa.string()),
            "status": _words(self.status, STATUSES),
            "steps": _numbers(self.steps),
            "attempts": _numbers(self.attempts),
            "best_value": nullable(self.best_value),
            "best_step": nullable(self.best_step, "int64"),
            "last_value": pa.array(_numbers(self.last_value), mask=_numbers(self.valued) == 0),
        }
        for name, goal in self.goals.items():
            columns[self.columns[name]] = nullable(goal)
        columns |= {
            "created_at": nullable(self.created_at),
            "started_at": nullable(self.started_at),
            "ended_at": nullable(self.ended_at),
            "busy_s": _numbers(self.busy_s),
            "checkpoint": pa.array(self.checkpoint, pa.string()),
            "best_checkpoint": pa.array(self.best_checkpoint, pa.string()),
            "best_saved": nullable(self.best_saved),
            "error_class": classes,
            "error": messages,
            "stop_rule": pa.array(self.stop_rule, pa.string()),
            "stop_rung": nullable(self.stop_rung, "int64"),
            "parent": pa.array(self.parent, pa.string()),
            "parent_step": nullable(self.parent_step, "int64"),
            "replicate_of": pa.array(self.replicate_of, pa.string()),
        }
        for name, column in self.configs.items():
            columns[self.columns["config/" + name]] = column.arrow()
        columns["config_json"] = pa.array(self.config_json, pa.string())
        columns["why"] = pa.array(self.why, pa.string())
        return pa.table(columns)

    @classmethod
    def of(cls, table: pa.Table, configs: Mapping[str, str], metrics: tuple[str, ...]) -> Trials:
        """What `table` was made from; which attempts are open is for the caller to say."""
        self = cls(configs, metrics)
        self.ids = table["trial_id"].to_pylist()
        self.index = {name: row for row, name in enumerate(self.ids)}
        self.status = bytearray(CODE[Status(word)] for word in table["status"].to_pylist())
        absent = array("q", [-1]) * len(self.ids)
        there = set(table.column_names)
        for name, code in _TRIAL_NUMBERS.items():
            setattr(self, name, _array(table[name], code) if name in there else absent[:])
        self.open_row = array("q", [-1]) * len(self.ids)
        self.valued = bytearray(
            table["last_value"].is_valid().to_numpy().astype(np.uint8).tobytes()
        )
        self.checkpoint = table["checkpoint"].to_pylist()
        known = "best_checkpoint" in there  # tables of 0.1 have none of these
        none: list[Any] = [None] * len(self.ids)
        self.best_checkpoint = table["best_checkpoint"].to_pylist() if known else none[:]
        self.best_saved = (
            _array(table["best_saved"], "d") if known else array("d", [_NAN]) * len(self.ids)
        )
        self.stop_rule = _interned(table["stop_rule"])
        self.config_json = table["config_json"].to_pylist()
        self.why, self.parent, self.replicate_of = (  # tables of 0.1 have none of these
            table[name].to_pylist() if name in there else none[:]
            for name in ("why", "parent", "replicate_of")
        )
        made_of = zip(self.parent, self.replicate_of, strict=True)
        self.children = sum((parent or of) is not None for parent, of in made_of)
        self.errors = _gathered(table["error_class"], table["error"])
        for name in self.goals:
            self.goals[name] = _array(table[self.columns[name]], "d")
        for name, kind in configs.items():
            self.configs[name] = Column.of(kind, table[self.columns["config/" + name]])
        return self


def column_names(names: Iterable[str]) -> dict[str, str]:
    """The column of `trials` for each goal metric and each "config/" + parameter."""
    taken: set[str] = set()
    columns: dict[str, str] = {}
    for name in names:
        columns[name] = column_name(name, taken, TRIAL_COLUMNS)
        taken.add(columns[name].casefold())
    return columns


def _numbers(values: array[Any] | bytearray) -> np.ndarray[Any, Any]:
    """The values as numpy, copied, so that the array can grow on."""
    code = values.typecode if isinstance(values, array) else np.uint8
    return np.frombuffer(bytes(values), dtype=code)


def _array(column: pa.ChunkedArray, code: str) -> array[Any]:
    """A column as the array that it came from; null is NaN or -1."""
    filled = column.fill_null(_NAN if code == "d" else -1)
    return array(code, filled.to_numpy().tobytes())


def _words(codes: bytearray, words: tuple[Any, ...]) -> pa.Array:
    """Codes as the words that they stand for."""
    plain = pa.array([None if word is None else str(word) for word in words], pa.string())
    return plain.take(pa.array(_numbers(codes)))


def _interned(column: pa.ChunkedArray) -> list[str | None]:
    """A column of few distinct strings, each kept once."""
    encoded = column.combine_chunks().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    return [None if i is None else words[i] for i in encoded.indices.to_pylist()]


def _sparse(rows: Mapping[int, tuple[str, str]], count: int) -> tuple[pa.Array, pa.Array]:
    """Two string columns that are null but for a few rows."""
    first: list[str | None] = [None] * count
    second: list[str | None] = [None] * count
    for row, (one, two) in rows.items():
        first[row], second[row] = one, two
    return pa.array(first, pa.string()), pa.array(second, pa.string())


def _gathered(first: pa.ChunkedArray, second: pa.ChunkedArray) -> dict[int, tuple[str, str]]:
    """The rows that `_sparse` spread out."""
    pairs = zip(first.to_pylist(), second.to_pylist(), strict=True)
    return {row: (one, two) for row, (one, two) in enumerate(pairs) if one is not None}
