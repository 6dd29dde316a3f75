"""How trials and attempts follow from events and verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from raysweep.results.codec import encode
from raysweep.results.fold import Fold
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import (
    Checkpointed,
    Ended,
    Event,
    Failed,
    Opened,
    Paused,
    Reported,
    SlotDown,
    Started,
    Suggested,
    SuggestFailed,
    Ticked,
)
from tests.results.worlds import MANIFEST

T = "t000000"


def verdict(verb: str, attempt: int = 1, step: int = 0, rule: str = "asha") -> Verdict:
    return Verdict(T, attempt, step, verb, rule, rung=2 if rule == "asha" else None)


def reported(*steps: int, attempt: int = 1, loss: float = 0.5) -> Reported:
    return Reported(2.0, T, attempt, list(steps), [0.1] * len(steps), {"loss": [loss] * len(steps)})


STARTED = Started(1.0, T, 1, 0, "s0", "n0", 0.25), verdict("start")


def lived(*records: Any) -> Fold:
    """The fold after a suggestion and these records, each an event or (event, *verdicts)."""
    fold = Fold(MANIFEST)
    first = (Opened(0.0, 1, 100.0, "h"), Suggested(0.5, T, {"lr": 0.1}))
    for lsn, record in enumerate((*first, *records), 1):
        event, *verdicts = [record] if is_event(record) else record
        fold.apply(lsn, event, verdicts, encode(lsn, event, verdicts))
    return fold


def is_event(record: Any) -> bool:
    return hasattr(record, "at")


def trial(fold: Fold) -> dict[str, Any]:
    return dict(fold.trials.table().to_pylist()[0])


def attempts(fold: Fold) -> list[dict[str, Any]]:
    return list(fold.attempts.table(fold.trials.ids).to_pylist())


FAILED = Failed(5.0, T, 1, "error", "boom", "trace")
STORIES: list[tuple[list[Any], str, list[str | None]]] = [
    ([], "PENDING", []),
    ([STARTED], "RUNNING", [None]),
    ([(Ticked(1.0), verdict("start"))], "RUNNING", [None]),
    ([Started(1.0, T, 1, 0, "s", "n", 0.0)], "RUNNING", [None]),
    ([STARTED, (reported(1), verdict("run_to"))], "RUNNING", [None]),
    ([STARTED, (reported(1), verdict("stop", step=1))], "STOPPED", ["stopped"]),
    ([STARTED, (reported(1), verdict("finish", step=1))], "COMPLETED", ["finished"]),
    ([STARTED, (reported(1), verdict("pause", step=1))], "PAUSING", [None]),
    ([STARTED, (reported(1), verdict("pause")), Paused(3.0, T, 1, 1, "p")], "PAUSED", ["paused"]),
    ([STARTED, Ended(3.0, T, 1, 1)], "COMPLETED", ["ended"]),
    ([STARTED, (Ended(3.0, T, 1, 1), verdict("fail"))], "FAILED", ["ended"]),
    ([STARTED, FAILED], "FAILED", ["failed"]),
    ([STARTED, (FAILED, verdict("retry"))], "PENDING", ["failed"]),
    ([STARTED, (FAILED, verdict("park"))], "PAUSED", ["failed"]),
    ([STARTED, (SlotDown(3.0, "s0", "gone"), verdict("retry"))], "PENDING", ["failed"]),
    ([(Ticked(1.0), verdict("fail"))], "FAILED", []),
    ([STARTED, Opened(9.0, 2, 0.0, "h")], "PENDING", ["driver"]),
    ([STARTED, (Ticked(2.0), verdict("pause")), Opened(9.0, 2, 0.0, "h")], "PAUSED", ["driver"]),
    ([STARTED, (Opened(9.0, 2, 0.0, "h"), verdict("park"))], "PAUSED", ["driver"]),
    ([STARTED, FAILED, (Ticked(9.0), verdict("resume", 2))], "FAILED", ["failed"]),
    (
        [STARTED, (FAILED, verdict("retry")), (Ticked(6.0), verdict("resume", 2))],
        "RUNNING",
        ["failed", None],
    ),
]


@pytest.mark.parametrize(("records", "status", "ends"), STORIES)
def test_status_and_attempts(records: list[Any], status: str, ends: list[str | None]) -> None:
    fold = lived(*records)
    assert trial(fold)["status"] == status
    assert [attempt["end"] for attempt in attempts(fold)] == ends


def test_a_trials_row_tells_its_story() -> None:
    fold = lived(
        (Ticked(1.0), verdict("start")),
        Started(1.5, T, 1, 0, "s0", "n0", 0.5, 0.5, 2.0),
        Reported(2.0, T, 1, [1, 2], [0.1, 0.2], {"loss": [0.5, 0.75], "acc": [1, 2]}),
        Checkpointed(2.5, T, 1, 2, "checkpoints/x"),
        (FAILED, verdict("retry")),
        (Ticked(6.0), verdict("resume", 2, 2)),
        (Reported(7.0, T, 2, [3], [0.1], {"loss": [0.9]}), verdict("stop", 2, 3)),
    )
    row = trial(fold)
    assert {name: row[name] for name in row if not name.startswith("config")} == {
        "trial_id": T, "status": "STOPPED", "steps": 3, "attempts": 2, "best_value": 0.5,
        "best_step": 1, "last_value": 0.9, "loss": 0.5, "acc": 1.0, "created_at": 0.5,
        "started_at": 1.0, "ended_at": 7.0, "busy_s": 5.0, "checkpoint": "checkpoints/x", "best_checkpoint": None, "best_saved": None,
        "error_class": None, "error": None, "stop_rule": "asha", "stop_rung": 2, "parent": None,
        "parent_step": None, "replicate_of": None, "why": None,
    }  # fmt: skip
    first, second = attempts(fold)
    assert first == {
        "trial_id": T, "attempt": 1, "start_step": 0, "end_step": 2, "slot": "s0", "node": "n0",
        "started_at": 1.0, "ended_at": 5.0, "end": "failed", "error_class": "error",
        "message": "boom", "setup_s": 0.5, "reports": 2, "gpu": 0.5, "cpu": 2.0, "code": None,
    }  # fmt: skip
    assert (second["start_step"], second["end_step"], second["end"]) == (2, 3, "stopped")
    assert fold.tables().decisions["verb"].to_pylist() == ["start", "retry", "resume", "stop"]


@pytest.mark.parametrize(
    ("records", "count"),
    [
        ([STARTED, reported(1), reported(1)], "duplicate_reports"),
        ([STARTED, reported(2), reported(1)], "duplicate_reports"),
        ([STARTED, (reported(1, 2), verdict("stop", step=1))], "late_reports"),
        ([STARTED, reported(1), FAILED, reported(2)], "late_reports"),
        ([STARTED, reported(1), (FAILED, verdict("retry")), reported(2)], "stale_reports"),
        ([STARTED, reported(1), reported(2, attempt=2)], "stale_reports"),
        ([reported(1), STARTED, reported(1)], "stale_reports"),
        ([STARTED, reported(1), FAILED, Ended(9.0, T, 1, 1)], "stale_events"),
        ([STARTED, reported(1), Started(1.0, T, 0, 0, "s", "n", 0.0)], "stale_events"),
        ([STARTED, reported(1), SuggestFailed(1.0, "t000001", "no")], "suggest_failed"),
    ],
)
def test_what_does_not_count_is_counted(records: list[Any], count: str) -> None:
    fold = lived(*records)
    wanted = dict.fromkeys(fold.tally(), 0) | {"reports": 1, count: 1}
    assert fold.tally() == wanted
    assert fold.reports.rows == 1


def test_what_does_not_count_is_still_history() -> None:
    events: list[Event] = [reported(1), reported(2, attempt=9)]
    table = lived(STARTED, *events).tables().events.to_pylist()[-2:]
    assert [row["rows"] for row in table] == [1, 0]
    assert table[0]["json"] == ""
    assert table[1]["json"] == encode(5, events[1], ())


def test_a_finished_trial_costs_less_than_a_kilobyte() -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    fold = lived()

    def live(number: int) -> None:
        name = f"t{number:06d}"
        config = {"lr": 1.0 / number, "width": number, "opt": "adam", "momentum": 0.5 / number}
        records = [
            (Suggested(1.0, name, config), ()),
            (Started(1.0, name, 1, 0, "s0", "n0", 0.5), (Verdict(name, 1, 0, "start", "new"),)),
            (Reported(2.0, name, 1, [1, 2], [0.1] * 2, {"loss": [0.5, 1.0 / number]}), ()),
            (Checkpointed(2.0, name, 1, 2, f"checkpoints/{name}/0001-000002"), ()),
            (Ended(3.0, name, 1, 2), ()),
        ]
        for event, verdicts in records:
            fold.apply(fold.lsn + 1, event, verdicts, "{}")

    for number in range(1, 200):
        live(number)
    fold.drop_rows()
    tracemalloc.start()
    try:
        for number in range(200, 2200):
            live(number)
        fold.drop_rows()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / 2000 < 1024
