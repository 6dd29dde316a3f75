"""Durability by policy, and the log's segments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raysweep.results import journal, wal
from raysweep.results.store import Store
from raysweep.trials.clock import ManualClock
from raysweep.trials.events import Ticked
from tests.results.test_store import agree, die, make, on_disk
from tests.results.worlds import MANIFEST, feed, history


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """How often os.`name` has been called since."""
    calls, real = [0], getattr(os, name)

    def call(*args):  # type: ignore[no-untyped-def]
        calls[0] += 1
        return real(*args)

    monkeypatch.setattr(os, name, call)
    return calls


@pytest.mark.parametrize(
    ("policy", "plain", "durable"), [("group", 0, 1), ("always", 1, 1), ("os", 0, 0)]
)
def test_when_a_commit_reaches_the_disk(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: journal.FsyncPolicy,
    plain: int,
    durable: int,
) -> None:
    clock = ManualClock()
    store = Store.create(tmp_path / "s", dict(MANIFEST), clock=clock, fsync=policy)
    fsyncs, writes = counted(monkeypatch, "fsync"), counted(monkeypatch, "write")
    for at in range(50):
        store.append(Ticked(float(at)))
    assert writes == [0]
    store.commit(durable=False)
    assert (writes, fsyncs) == ([1], [plain])
    store.append(Ticked(50.0))
    store.commit(durable=True)
    assert (writes, fsyncs) == ([2], [plain + durable])
    store.append(Ticked(51.0))
    clock.sleep(0.2)
    store.commit(durable=False)
    assert fsyncs == [plain + durable + (policy != "os")]
    die(store)
    assert len(on_disk(tmp_path / "s")) == 52


def test_a_long_log_is_cut_into_segments_that_seal_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_SEGMENT_BYTES", 2000)
    steps = history(1, 100)
    store = make(tmp_path / "s")
    feed(store, steps)
    assert len(wal.list_segments(tmp_path / "s")) > 4
    agree(tmp_path / "s", steps)
    # Whatever a driver that has been fenced off still adds lies behind a seal.
    first = tmp_path / "s" / "wal" / wal.list_segments(tmp_path / "s")[0]
    first.write_bytes(first.read_bytes() + first.read_bytes()[-200:])
    agree(tmp_path / "s", steps)
    store.close()
