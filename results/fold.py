"""The fold: from the journal's records, in order, to the rows of every table.

Live and after a crash the same records go through the same fold, so deduplication lives here: a
report counts once, and only from the attempt that is its trial's current, open one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from operator import lt
from typing import Any, Final, NamedTuple

import pyarrow as pa

from raysweep.results.best import BestSoFar
from raysweep.results.ledger import Attempts, Trials
from raysweep.results.life import CUTS, TERMINAL, Life
from raysweep.results.reports import Registry, ReportBuffer
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Closed, Event, Interrupted, Opened, Reported, Warned
from raysweep.trials.goal import Goal

EVENT_COLUMNS: Final = pa.schema(
    [
        ("lsn", pa.int64()),
        ("at", pa.float64()),
        ("kind", pa.string()),
        ("trial_id", pa.string()),
        ("rows", pa.int64()),
        ("shape", pa.string()),
        ("json", pa.string()),
    ]
)
DECISION_COLUMNS: Final = pa.schema(
    [
        ("lsn", pa.int64()),
        ("at", pa.float64()),
        ("trial_id", pa.string()),
        ("attempt", pa.int64()),
        ("step", pa.int64()),
        ("verb", pa.string()),
        ("rule", pa.string()),
        ("to_step", pa.int64()),
        ("rung", pa.int64()),
        ("value", pa.float64()),
        ("cutoff", pa.float64()),
        ("rank", pa.int64()),
        ("peers", pa.int64()),
        ("model", pa.string()),
    ]
)


class Tables(NamedTuple):
    """Everything that a compaction writes."""

    reports: pa.Table
    events: pa.Table
    decisions: pa.Table
    trials: pa.Table
    attempts: pa.Table


class Fold:
    """What the tables hold after the record `lsn`.

    Args:
        manifest: SWEEP.json; its `metrics` and `columns` are used.
        registry: the metric columns known so far.
        buffer: what keeps the rows since the last compaction.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        registry: Registry | None = None,
        buffer: Callable[[Registry], ReportBuffer] = ReportBuffer,
    ) -> None:
        goal = Goal(tuple(manifest["metrics"].items()))
        self._spec: Mapping[str, Any] = manifest.get("spec") or {}
        self._configs: dict[str, str] = dict(manifest.get("columns", {}))
        self._names = tuple(name for name, _ in goal.metrics)
        self._goal = goal
        self.lsn, self.at = 0, 0.0
        self.opened: Opened | None = None
        self.closed: Closed | None = None
        self.interrupted = ""
        self.warnings: dict[str, list[Any]] = {}
        """Of the newest driver, by source: how many were recorded, and the newest in words."""
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.reports = buffer(registry or Registry())
        self._events: list[tuple[int, float, str, str | None, int, str, str]] = []
        self._decisions: list[tuple[int, float, Verdict]] = []
        self._take(Trials(self._configs, self._names), Attempts())

    def _take(self, trials: Trials, attempts: Attempts) -> None:
        """Go on with these rows."""
        self.trials, self.attempts = trials, attempts
        self.best = BestSoFar(trials, self._goal)
        self.life = Life(trials, attempts, self.best)
        self.life.keeps_best = bool(self._setting("checkpoint", "keep_best"))

    def apply(self, lsn: int, event: Event, verdicts: Sequence[Verdict], payload: str) -> None:
        """Take in the record `lsn`, whose JSON is `payload`."""
        self.lsn, at = lsn, event.at
        if at > self.at:
            self.at = at
        if type(event) is Reported:
            before = self.reports.rows
            shape = self._reported(lsn, event, verdicts)
            kept = "" if shape and _plain(verdicts) else payload
            rows = self.reports.rows - before
            self._events.append((lsn, at, "Reported", event.trial, rows, shape, kept))
        else:
            self._note(event)
            self.life.happened(event, verdicts)
            name = type(event).__name__
            self._events.append((lsn, at, name, getattr(event, "trial", None), 0, "", payload))
        for verdict in verdicts:
            self._decisions.append((lsn, at, verdict))
            self.life.decided(verdict, event)

    def drop_rows(self) -> None:
        """Forget the rows of the records so far: they are in a part."""
        self.reports.clear()
        self._events, self._decisions = [], []

    @property
    def pending(self) -> int:
        """Rows that wait for the next compaction."""
        return self.reports.rows + len(self._events)

    def tables(self, keep_from: int = 0) -> Tables:
        """The rows since the last compaction (of records from `keep_from` on), and all trials."""
        events = [row for row in self._events if row[0] >= keep_from]
        decided = [(lsn, at, *v) for lsn, at, v in self._decisions if lsn >= keep_from]
        return Tables(
            self.reports.table(self.trials.ids, keep_from),
            _rows(events, EVENT_COLUMNS),
            _rows(decided, DECISION_COLUMNS),
            self.trials.table(),
            self.attempts.table(self.trials.ids),
        )

    def extras(self) -> dict[str, Any]:
        """What the tables do not say and the fold needs to go on; plain JSON data."""
        return {
            "counts": self.tally(),
            "opened": self.opened,
            "closed": self.closed,
            "interrupted": self.interrupted,
            "warnings": self.warnings,
            "at": self.at,
            "best": self.best.state(),
        }

    def tally(self) -> dict[str, int]:
        """How many reports count, and how many reports and events did not, by cause."""
        life = self.life
        return {
            **self.counts,
            "stale_events": life.stale_events,
            "suggest_failed": life.suggest_failed,
        }

    @classmethod
    def of(
        cls,
        manifest: Mapping[str, Any],
        registry: Registry,
        lsn: int,
        tables: tuple[pa.Table, pa.Table],
        extras: Mapping[str, Any],
    ) -> Fold:
        """The fold that gave these `trials` and `attempts` tables and these `extras` at `lsn`."""
        self = cls(manifest, registry)
        trials = Trials.of(tables[0], self._configs, self._names)
        self._take(trials, Attempts.of(tables[1], trials.index))
        for row, end in enumerate(self.attempts.end):
            if not end:
                trials.open_row[self.attempts.trial[row]] = row
        self.lsn, self.at, self.interrupted = lsn, extras["at"], extras["interrupted"]
        self.warnings = dict(extras.get("warnings", {}))
        self.opened = Opened(*extras["opened"]) if extras["opened"] else None
        self.closed = Closed(*extras["closed"]) if extras["closed"] else None
        self.life.keeps_best = bool(self._setting("checkpoint", "keep_best"))
        if self.opened is not None:
            self.life.code = self.opened.code.get("hash") or None
        counts = extras["counts"]
        self.counts = {name: counts[name] for name in _COUNTS}
        self.life.stale_events = counts["stale_events"]
        self.life.suggest_failed = counts["suggest_failed"]
        self.best.load(extras["best"])
        return self

    def _setting(self, part: str, name: str) -> Any:
        """A key of the spec, as the newest driver has it."""
        value = (self._spec.get(part) or {}).get(name)
        for key, new in (self.opened.changes if self.opened else {}).items():
            if key == f"{part}.{name}":
                value = new
            elif key == part:
                value = (new or {}).get(name)
        return value

    def _note(self, event: Event) -> None:
        """What concerns the sweep and not a trial."""
        if isinstance(event, Opened):
            self.opened, self.closed, self.interrupted = event, None, ""
            self.warnings = {}
            self.life.keeps_best = bool(self._setting("checkpoint", "keep_best"))
        elif isinstance(event, Closed):
            self.closed = event
        elif isinstance(event, Interrupted):
            self.interrupted = event.cause
        elif isinstance(event, Warned):
            count = self.warnings.get(event.source, [0])[0]
            self.warnings[event.source] = [count + 1, event.message]

    def _reported(self, lsn: int, event: Reported, verdicts: Sequence[Verdict]) -> str:
        """Take in what counts of a batch; gives the batch's shape if that is all of it."""
        trials, attempts, counts = self.trials, self.attempts, self.counts
        trial = trials.index.get(event.trial, -1)
        row = trials.open_row[trial] if trial >= 0 else -1
        if row < 0 or event.attempt != trials.attempts[trial]:
            late = trial >= 0 and trials.status[trial] in TERMINAL
            counts["late_reports" if late else "stale_reports"] += len(event.steps)
            return ""
        whole = True
        last = attempts.end_step[row]
        if verdicts or not _new(event.steps, last):
            kept = self._countable(event, last, verdicts)
            if len(kept) != len(event.steps) or not kept:
                whole, event = False, _subset(event, kept)
                if not kept:
                    return ""
        steps, opened = event.steps, self.opened
        wall = opened.wall + event.at - opened.at if opened else math.nan
        shape = self.reports.add(lsn, wall, trial, event)
        counts["reports"] += len(steps)
        attempts.reports[row] += len(steps)
        attempts.end_step[row] = trials.steps[trial] = steps[-1]
        self.best.follow(trial, steps, event.metrics)
        return shape if whole else ""

    def _countable(self, event: Reported, last: int, verdicts: Sequence[Verdict]) -> list[int]:
        """Which of a batch's reports are new and precede the trial's end, by position."""
        cuts = [v.step for v in verdicts if v.trial == event.trial and v.verb in CUTS]
        cut, kept = min(cuts, default=math.inf), []
        for position, step in enumerate(event.steps):
            if step <= last:
                self.counts["duplicate_reports"] += 1
            elif step > cut:
                self.counts["late_reports"] += 1
            else:
                last = step
                kept.append(position)
        return kept


_COUNTS: Final = ("reports", "stale_reports", "duplicate_reports", "late_reports")


def _new(steps: Sequence[int], last: int) -> bool:
    """Whether `steps` ascend from beyond `last`."""
    if len(steps) == 1:
        return steps[0] > last
    return bool(steps) and steps[0] > last and all(map(lt, steps, islice(steps, 1, None)))


def _subset(event: Reported, kept: Sequence[int]) -> Reported:
    """The reports of a batch at these positions."""
    return event._replace(
        steps=[event.steps[i] for i in kept],
        elapsed_s=[event.elapsed_s[i] for i in kept],
        metrics={name: [values[i] for i in kept] for name, values in event.metrics.items()},
    )


def _plain(verdicts: Sequence[Verdict]) -> bool:
    """Whether the decisions table holds these verdicts exactly."""
    return all(
        type(number) in (float, type(None)) for v in verdicts for number in (v.value, v.cutoff)
    )


def _rows(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Rows as a table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)
