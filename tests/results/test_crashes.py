"""The store under a dying process, a full disk and a failing fsync."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raysweep.results.codec import encode
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.results.verify import verify
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import StoreUnwritable
from raysweep.trials.events import Ticked
from tests.results.test_store import agree, die, make, on_disk, text_of
from tests.results.worlds import MANIFEST, Step, World, feed, history

CALLS = ("write", "fsync", "rename", "replace", "unlink", "link", "open")


class Killed(BaseException):
    """The process is gone: nothing may catch this."""


@contextmanager
def watched(spy: Callable[[str], None]) -> Iterator[None]:
    """Call `spy` with the name of each system call that changes a directory, before it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            real = getattr(os, name)

            def wrapped(*args, _name=name, _real=real, **kwargs):  # type: ignore[no-untyped-def]
                if _name != "open" or (len(args) > 1 and args[1] & os.O_CREAT):
                    spy(_name)
                return _real(*args, **kwargs)

            patch.setattr(os, name, wrapped)
        yield


def killed_at(number: int) -> Callable[[str], None]:
    """Die before the `number`-th such call."""
    seen = 0

    def spy(name: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed

    return spy


def live(store: Store, world: World, acked: list[Step], tried: list[Step]) -> None:
    """Two compactions with records before, between and after; `acked` is what was promised."""
    for step in world.steps(30):
        tried.append(step)
        store.append(*step)
        if len(tried) % 4 == 0:
            store.commit(durable=True)
            acked[:] = tried
        if len(tried) in (12, 24):
            store.compact({"records": len(tried)})
            acked[:] = tried


def survives(path: Path, acked: list[Step], tried: list[Step]) -> None:
    """What a resumed sweep finds is a prefix of what was tried, and all that was promised."""
    found = on_disk(path)
    assert text_of(acked) == found[: len(acked)]
    assert found == text_of(tried)[: len(found)]
    store, recovered = Store.open(path, clock=ManualClock())
    state = recovered.state or {"records": 0}
    replayed = [encode(*record) for record in recovered.records]
    assert replayed == text_of(tried)[state["records"] : len(found)]
    agree(path, tried[: len(found)])
    store.append(Ticked(999.0))
    store.compact({"records": -1})
    die(store)
    assert on_disk(path)[:-1] == found
    if len(found) % 4 == 0:  # it costs more than all the rest
        assert verify(path) == []


def test_a_kill_before_any_system_call_loses_and_doubles_nothing(tmp_path: Path) -> None:
    killed = 0
    for number in range(1, 10_000):
        path = tmp_path / str(number)
        world, acked, tried = World(number), [], [World(number).open()]
        world.open()
        store = make(path)
        feed(store, tried)
        try:
            with watched(killed_at(number)):
                live(store, world, acked, tried)
        except Killed:
            die(store)
            survives(path, acked, tried)
            killed += 1
        else:  # this world makes fewer calls
            die(store)
            if number > 100:
                break
    assert killed > 60


def test_a_kill_within_recovery_is_recovered_from(tmp_path: Path) -> None:
    steps = history(3, 40)
    for number in range(1, 1000):
        path = tmp_path / str(number)
        store = make(path)
        feed(store, steps[:20])
        store.compact({"records": 20})
        feed(store, steps[20:])
        die(store)
        (path / "tmp" / "left-over").write_bytes(b"x")
        (path / "events" / "part-000000000021-000000000030.parquet").write_bytes(b"x")
        opened: list[Store] = []
        try:
            with watched(killed_at(number)):
                opened.append(Store.open(path, clock=ManualClock())[0])
        except Killed:
            survives(path, steps, steps)
        else:
            die(opened[0])
            break
    assert number > 5
    assert not (path / "tmp" / "left-over").exists()
    assert not (path / "events" / "part-000000000021-000000000030.parquet").exists()


def test_a_crash_during_creation_leaves_a_directory_that_can_be_created_again(
    tmp_path: Path,
) -> None:
    for number in range(1, 100):
        path = tmp_path / str(number)
        try:
            with watched(killed_at(number)):
                make(path).close()
        except Killed:
            if (path / "SWEEP.json").exists():
                Store.open(path, clock=ManualClock())[0].close()
            else:
                make(path).close()
            assert read(path).status()["state"] == "crashed"
        else:
            break
    assert number > 5


def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, times: int, code: int, taken: int = 0
) -> list[int]:
    """Let the next `times` calls of os.`name` fail; a write may take some bytes first."""
    left, real = [times], getattr(os, name)

    def call(*args):  # type: ignore[no-untyped-def]
        if left[0] <= 0:
            return real(*args)
        left[0] -= 1
        if taken:
            return real(args[0], args[1][:taken])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, call)
    return left


@pytest.mark.parametrize("taken", [0, 1, 25])
def test_a_full_disk_delays_records_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    steps = history(8, 60)
    store = make(tmp_path / "s")
    feed(store, steps[:20])
    said: list[str] = []
    store.tell_waits(said.append)
    left = failing(monkeypatch, "write", 5, errno.ENOSPC, taken)
    feed(store, steps[20:23])
    assert on_disk(tmp_path / "s") == text_of(steps[:20])
    store.commit(durable=True)
    assert left == [0]
    waiting, over = said  # one sentence each, however often it was tried
    assert "No space left on device" in waiting
    assert "on the file system at /" in waiting
    assert "waiting up to 60 s" in waiting
    assert "can be written again, after" in over
    assert on_disk(tmp_path / "s") == text_of(steps[:23])
    feed(store, steps[23:])
    agree(tmp_path / "s", steps)
    die(store)
    survives(tmp_path / "s", steps, steps)


def test_a_disk_that_stays_full_ends_the_sweep_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = history(8, 30)
    store = make(tmp_path / "s")
    feed(store, steps)
    store.append(Ticked(99.0))
    failing(monkeypatch, "write", 10**9, errno.ENOSPC, 9)
    with pytest.raises(
        StoreUnwritable, match=r"60 s: No space left.* on the file system at .* make room there and"
    ):
        store.commit(durable=True)
    monkeypatch.undo()
    die(store)
    survives(tmp_path / "s", steps, steps)


def test_after_a_failed_fsync_the_records_go_into_a_new_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = history(9, 60)
    store = make(tmp_path / "s")
    feed(store, steps[:20])
    store.commit(durable=True)
    feed(store, steps[20:30])
    before = store._journal.segment
    failing(monkeypatch, "fsync", 1, errno.EIO)
    store.commit(durable=True)
    assert store._journal.segment != before
    feed(store, steps[30:])
    agree(tmp_path / "s", steps)
    # The kernel may have dropped the pages whose fsync failed: the old segment's tail is void.
    old = tmp_path / "s" / "wal" / before
    whole = old.read_bytes()
    for size in (len(whole) - 1, len(whole) - 300):
        old.write_bytes(whole[:size] + b"\0" * (len(whole) - size))
        agree(tmp_path / "s", steps)
    die(store)
    survives(tmp_path / "s", steps, steps)


def test_a_compaction_that_the_disk_refuses_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, steps = ManualClock(), history(10, 80)
    for taken in range(1, 60, 7):
        path = tmp_path / str(taken)
        store = Store.create(path, dict(MANIFEST), clock=clock, compact_s=1.0)
        feed(store, steps[:40])
        store.commit(durable=True)
        seen = 0

        def refuse(name: str, taken: int = taken) -> None:
            nonlocal seen
            seen += name in ("write", "replace", "rename", "link")
            if seen == taken:
                raise OSError(errno.ENOSPC, "no space")

        with watched(refuse):
            store.compact({"records": 40})
        agree(path, steps[:40])
        feed(store, steps[40:])
        clock.sleep(40.0)
        assert store.due
        store.compact({"records": 80})
        assert not store.due
        agree(path, steps)
        die(store)
        survives(path, steps, steps)
    assert "the tables are written 30 s later (no space on the file system at " in caplog.text
