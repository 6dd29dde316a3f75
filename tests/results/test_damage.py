"""Torn tails, flipped bits, missing and doubled files: found, named, and never passed over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raysweep.results.codec import encode
from raysweep.results.parts import parquet, read_parquet
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.results.verify import verify
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import StoreCorrupt
from raysweep.trials.events import Checkpointed, Ended, Event, Opened, Reported, Suggested, Ticked
from raysweep.trials.streams import Stream
from tests.results.test_store import agree, die, make, on_disk, text_of
from tests.results.worlds import MANIFEST, feed, history


def logged(path: Path, count: int = 12) -> Path:
    """A crashed sweep with `count` records in its log; the log's only segment."""
    store = make(path)
    feed(store, history(1, count, odd=False))
    die(store)
    (segment,) = (path / "wal").iterdir()
    return segment


def compacted(path: Path) -> None:
    """A sweep of 120 records in three parts and a log."""
    store = make(path)
    steps = history(2, 120)
    for start in (0, 30, 60):
        feed(store, steps[start : start + 30])
        store.compact({"records": start + 30})
    feed(store, steps[90:])
    store.close()


def test_a_log_torn_at_any_byte_is_an_exact_prefix(tmp_path: Path) -> None:
    segment = logged(tmp_path / "s")
    whole, lines = segment.read_bytes(), text_of(history(1, 12, odd=False))
    ends = [n + 1 for n, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        segment.write_bytes(whole[:size])
        if size < ends[0]:  # its header was on disk before any record: this is no tear
            with pytest.raises(StoreCorrupt, match="it or its header is gone"):
                on_disk(tmp_path / "s")
            continue
        wanted = lines[: max(0, sum(end <= size for end in ends) - 1)]
        assert on_disk(tmp_path / "s") == wanted
        if size % 37 == 0:
            store, recovered = Store.open(tmp_path / "s", clock=ManualClock())
            assert [encode(*record) for record in recovered.records] == wanted
            die(store)
            for extra in (tmp_path / "s" / "wal").iterdir():
                if extra != segment:
                    extra.unlink()
            for mark in (tmp_path / "s" / "epochs").glob("*.mark"):
                if not mark.name.startswith("000001"):
                    mark.unlink()  # it names what was just removed


@pytest.mark.parametrize("zeros", [1, 7, 4096])
def test_a_tail_of_zeros_is_no_record(tmp_path: Path, zeros: int) -> None:
    segment = logged(tmp_path / "s")
    whole, lines = segment.read_bytes(), text_of(history(1, 12, odd=False))
    for cut in (0, 1, 50):
        segment.write_bytes(whole[: len(whole) - cut] + b"\0" * (cut + zeros))
        assert on_disk(tmp_path / "s") == lines[: 12 - (cut > 0)]


def test_a_flipped_bit_in_the_log_is_found(tmp_path: Path) -> None:
    segment = logged(tmp_path / "s")
    whole, lines = segment.read_bytes(), text_of(history(1, 12, odd=False))
    stream = Stream(0, "flips")
    for _ in range(150):
        at, bit = stream.integer(0, len(whole)), stream.integer(0, 8)
        flipped = bytearray(whole)
        flipped[at] ^= 1 << bit
        segment.write_bytes(flipped)
        findings = verify(tmp_path / "s")
        if (
            at == len(whole) - 1
        ):  # without its newline the last record is no different from a torn one
            assert on_disk(tmp_path / "s") in (lines, lines[:-1])
        elif findings:
            assert {f.invariant for f in findings} == {"I16"}
            with pytest.raises(StoreCorrupt, match=r"is damaged at byte \d+"):
                Store.open(tmp_path / "s", clock=ManualClock())
        else:
            assert on_disk(tmp_path / "s") == lines  # the case of a hexadecimal digit


def test_damage_is_accepted_only_on_demand_and_kept_for_inspection(tmp_path: Path) -> None:
    path = tmp_path / "s"
    segment = logged(path)
    data = bytearray(segment.read_bytes())
    third = [n for n, byte in enumerate(data) if byte == ord("\n")][3]
    data[third - 5] ^= 1
    segment.write_bytes(data)
    with pytest.raises(StoreCorrupt, match=rf"{segment.name} is damaged at byte .*LSN 2 are whole"):
        Store.open(path, clock=ManualClock())
    with pytest.raises(StoreCorrupt, match="accept_loss=True"):
        read(path)
    assert len(read(path, accept_loss=True).trials) == 1
    store, recovered = Store.open(path, clock=ManualClock(), accept_loss=True)
    assert len(list(recovered.records)) == 2
    assert store.append(Ticked(9.0)) == 3
    store.close()
    assert (path / "quarantine" / segment.name).read_bytes() == data
    assert verify(path) == []
    agree(path, [*history(1, 2, odd=False), (Ticked(9.0), ())])


def test_a_damaged_header_of_a_segment_in_use_is_damage_not_a_tear(tmp_path: Path) -> None:
    segment = logged(tmp_path / "s")
    data = bytearray(segment.read_bytes())
    data[20] ^= 1
    segment.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="no valid header"):
        Store.open(tmp_path / "s", clock=ManualClock())
    Store.open(tmp_path / "s", clock=ManualClock(), accept_loss=True)[0].close()
    assert not segment.exists()
    assert on_disk(tmp_path / "s") == []


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = make(path)
    feed(store, history(1, 30))
    store._journal.rotate()
    store.append(Ticked(99.0))
    store.close()
    sorted((path / "wal").iterdir())[0].unlink()
    with pytest.raises(StoreCorrupt, match=r"1\.\.30 are missing"):
        Store.open(path, clock=ManualClock())
    assert [finding.invariant for finding in verify(path)] == ["I17"]


def test_missing_doubled_and_foreign_parts_are_named(tmp_path: Path) -> None:
    compacted(tmp_path / "good")
    parts = sorted(p.name for p in (tmp_path / "good" / "reports").iterdir())
    for number, folder, match in (
        (0, "reports", r"no part covers LSN 1\.\.30"),
        (1, "reports", r"no part covers LSN 31\.\.60"),
        (2, "reports", r"61\.\.90 is missing"),
        (1, "events", r"part-000000000031-000000000060.parquet is missing"),
    ):
        path = tmp_path / f"{folder}{number}"
        shutil.copytree(tmp_path / "good", path)
        (path / folder / parts[number]).unlink()
        with pytest.raises(StoreCorrupt, match=match):
            Store.open(path, clock=ManualClock())
        assert {f.invariant for f in verify(path)} & {"I16", "I17", "I1"}
    twice = tmp_path / "twice"
    shutil.copytree(tmp_path / "good", twice)
    shutil.copy(
        twice / "reports" / parts[1],
        twice / "reports" / "part-000000000031-000000000061.parquet",
    )
    with pytest.raises(StoreCorrupt, match="overlaps the part before it"):
        Store.open(twice, clock=ManualClock())
    assert {"I17", "I18"} <= {finding.invariant for finding in verify(twice)}


def test_a_flipped_bit_in_any_part_is_found_and_the_part_named(tmp_path: Path) -> None:
    compacted(tmp_path / "s")
    stream, silent = Stream(0, "parts"), 0
    files = [
        p
        for folder in ("reports", "events", "decisions", "snapshot")
        for p in sorted((tmp_path / "s" / folder).iterdir())
    ]
    for file in files:
        whole = file.read_bytes()
        for _ in range(5):
            data = bytearray(whole)
            data[stream.integer(0, len(data))] ^= 1 << stream.integer(0, 8)
            file.write_bytes(data)
            found = verify(tmp_path / "s")
            if not any(file.name in finding.message for finding in found):
                silent += 1
        file.write_bytes(whole)
    assert silent == 0


def test_a_damaged_snapshot_costs_time_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "s"
    compacted(path)
    for name in ("000000000090.json.zst", "000000000060.attempts.parquet"):
        file = path / "snapshot" / name
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        agree(path, history(2, 120))
        assert verify(path)[0].invariant == "I16"
    store, recovered = Store.open(path, clock=ManualClock())
    assert recovered.state is None
    assert [encode(*record) for record in recovered.records] == text_of(history(2, 120))
    store.close()


def doctored(path: Path, change: str) -> None:
    """Rewrite the reports of a part so that every checksum fits and the story does not."""
    file = sorted((path / "reports").iterdir())[0]
    table, meta = read_parquet(file), pq.read_metadata(file).metadata[b"raysweep"].decode()
    if change == "drop":
        table = table.slice(1)
    elif change == "double":
        table = table.take([0, *range(len(table))])
    elif change == "type":
        at = table.schema.get_field_index("acc")
        table = table.set_column(at, "acc", table["acc"].cast("float32"))
    file.write_bytes(parquet(table, meta))
    for snapshot in (path / "snapshot").iterdir():
        snapshot.unlink()  # it knows the checksum of the part's bytes


@pytest.mark.parametrize(
    ("change", "invariant"), [("drop", "I1"), ("double", "I1"), ("type", "I19")]
)
def test_doctored_parts_are_found(tmp_path: Path, change: str, invariant: str) -> None:
    compacted(tmp_path / "s")
    assert verify(tmp_path / "s") == []
    doctored(tmp_path / "s", change)
    assert invariant in {finding.invariant for finding in verify(tmp_path / "s")}


def found(path: Path, steps: list[tuple[Event, tuple[Verdict, ...]]], **spec: object) -> list[str]:
    """The findings on a sweep with these records."""
    store = Store.create(path, MANIFEST | {"spec": spec}, clock=ManualClock())
    opened = Opened(0.0, 1, 0.0, "h"), ()
    feed(store, [opened, *steps])
    store.close()
    return [f"{finding.invariant} {finding.message}" for finding in verify(path)]


def verdict(trial: str, attempt: int, step: int, verb: str) -> Verdict:
    return Verdict(trial, attempt, step, verb, "rule")


def reported(trial: str, *steps: int) -> Reported:
    return Reported(1.0, trial, 1, list(steps), [0.1] * len(steps), {"loss": [0.5] * len(steps)})


SUGGESTED = Suggested(0.0, "a", {}), ()
BEGUN = Ticked(0.5), (verdict("a", 1, 0, "start"),)


def test_a_trial_that_lives_on_after_its_end_is_found(tmp_path: Path) -> None:
    stopped = reported("a", 1), (verdict("a", 1, 1, "stop"),)
    again = Ticked(2.0), (verdict("a", 2, 1, "resume"),)
    (text,) = found(tmp_path / "s", [SUGGESTED, BEGUN, stopped, again])
    assert text.startswith("I3 record 5: resume of a, which ended")
    twice = Ticked(2.0), (verdict("a", 1, 1, "stop"),)
    (text,) = found(tmp_path / "t", [SUGGESTED, BEGUN, stopped, twice])
    assert "ended a second time" in text


def test_an_illegal_move_is_found(tmp_path: Path) -> None:
    parked = Ticked(1.0), (verdict("a", 0, 0, "stop"),)
    (text,) = found(tmp_path / "s", [SUGGESTED, parked])
    assert text == "I3 record 3: trial a went from PENDING to STOPPED"


def test_overspent_budgets_are_found(tmp_path: Path) -> None:
    other = Suggested(0.0, "b", {}), ()
    (text,) = found(tmp_path / "t", [SUGGESTED, other], budget={"trials": 1})
    assert text == "I4 record 3 begins trial 2 of 1"
    steps = [SUGGESTED, BEGUN, (reported("a", 1, 2, 3), ())]
    assert found(tmp_path / "s", steps, budget={"steps": 3}) == []
    more = Ticked(2.0), (verdict("a", 1, 3, "run_to"),)
    (text,) = found(tmp_path / "u", [*steps, more], budget={"steps": 3})
    assert text.startswith("I4 record 5 lets a run on")


def test_a_budget_that_a_resume_has_raised_counts(tmp_path: Path) -> None:
    raised = Opened(0.5, 2, 0.0, "h", {"budget.trials": 2, "budget.steps": None}), ()
    others = [(Suggested(0.0, name, {}), ()) for name in "bc"]
    steps = [SUGGESTED, BEGUN, raised, others[0]]
    assert found(tmp_path / "s", steps, budget={"trials": 1, "steps": 9}) == []
    status = read(tmp_path / "s").status()
    assert status["budget"] == {"trials": {"limit": 2, "used": 2}}
    (text,) = found(tmp_path / "t", [*steps, others[1]], budget={"trials": 1})
    assert text == "I4 record 6 begins trial 3 of 2"


def test_missing_and_escaping_checkpoints_are_found(tmp_path: Path) -> None:
    kept = Checkpointed(1.0, "a", 1, 1, "checkpoints/a/1"), ()
    (tmp_path / "s" / "checkpoints" / "a").mkdir(parents=True)
    (text,) = found(tmp_path / "s", [SUGGESTED, BEGUN, kept])
    assert text == "I15 trial a (RUNNING): its checkpoint checkpoints/a/1 is missing"
    (tmp_path / "s" / "checkpoints" / "a" / "1").mkdir()
    assert verify(tmp_path / "s") == []
    (tmp_path / "t" / "checkpoints" / "a").mkdir(parents=True)
    (tmp_path / "passwd").touch()
    out = Checkpointed(1.0, "a", 1, 1, "../passwd"), ()
    (text,) = found(tmp_path / "t", [SUGGESTED, BEGUN, out])
    assert "leads out of the sweep" in text
    (tmp_path / "u" / "checkpoints" / "a").mkdir(parents=True)
    ended = Ended(2.0, "a", 1, 1), ()
    assert found(tmp_path / "u", [SUGGESTED, BEGUN, kept, ended]) == []


def test_a_secret_in_the_manifest_is_found(tmp_path: Path) -> None:
    (text,) = found(tmp_path / "s", [], key="AKIA" + "A" * 16)
    assert text == "I22 SWEEP.json holds what looks like a secret: AKIAAAAA…"
    file = tmp_path / "s" / "SWEEP.json"
    file.write_text(file.read_text()[:-3])
    with pytest.raises(StoreCorrupt, match=r"SWEEP.json is damaged"):
        Store.open(tmp_path / "s", clock=ManualClock())
    assert [finding.invariant for finding in verify(tmp_path / "s")] == ["I16"]
