"""What is lost at the journal's end is named, however soon after its beginning the driver died."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from raysweep.results.read import history as read_history
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.results.verify import verify
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import StoreCorrupt
from raysweep.trials.events import Ticked
from tests.results.test_store import make, reopen
from tests.results.worlds import feed, history


def killed(path: Path, compact: bool = True) -> Path:
    """A sweep of 60 records whose driver got SIGKILL at once; the segment that it wrote to.

    No time has passed since that segment began, so its mark tells of no record in it.
    """
    store = make(path)
    steps = history(1, 60, odd=False)
    feed(store, steps[:40])
    if compact:
        store.compact({})
    feed(store, steps[40:])
    store.commit(durable=True)
    os.close(store._journal._fd)
    store._journal._fd = -1
    store._tenure.release()
    return path / "wal" / store._journal.segment


LOSSES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "the folder deleted": lambda segment: shutil.rmtree(segment.parent),
    "emptied": lambda segment: segment.write_bytes(b""),
    "cut within its header": lambda segment: segment.write_bytes(segment.read_bytes()[:30]),
    "garbage in one line": lambda segment: segment.write_bytes(b"x" * 5000),
    "CRLF": lambda segment: segment.write_bytes(segment.read_bytes().replace(b"\n", b"\r\n")),
    "a bit of the last record": lambda segment: flip(segment, -9),
    "a bit of the last newline": lambda segment: flip(segment, -1),
}


def flip(segment: Path, at: int) -> None:
    data = bytearray(segment.read_bytes())
    data[at] ^= 1
    segment.write_bytes(data)


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_named_and_accepted_only_on_demand(
    tmp_path: Path, loss: str, compact: bool
) -> None:
    path = tmp_path / "s"
    LOSSES[loss](killed(path, compact))
    assert [finding.invariant for finding in verify(path)] == ["I16"]
    with pytest.raises(StoreCorrupt, match="is damaged at byte"):
        read(path)
    with pytest.raises(StoreCorrupt, match="accept-loss"):
        Store.open(path, clock=ManualClock())
    store, recovered = Store.open(path, clock=ManualClock(), accept_loss=True)
    kept = len(list(recovered.records)) + (40 if compact else 0)
    assert store.append(Ticked(99.0)) == kept + 1
    store.close()
    assert len(list(read_history(path))) == kept + 1
    assert verify(path) == []


def test_without_marks_a_journal_that_is_gone_is_named(tmp_path: Path) -> None:
    """As of a version that left none, or with `epochs/` deleted as well."""
    path = tmp_path / "s"
    killed(path)
    shutil.rmtree(path / "epochs")
    assert verify(path) == []
    shutil.rmtree(path / "wal")
    assert [finding.invariant for finding in verify(path)] == ["I16"]
    with pytest.raises(StoreCorrupt, match="no segment of the journal is left"):
        Store.open(path, clock=ManualClock())
    Store.open(path, clock=ManualClock(), accept_loss=True)[0].close()
    assert verify(path) == []


@pytest.mark.parametrize("restored", ["deleted", "the newest deleted", "from a backup"])
def test_an_epoch_is_never_reused(tmp_path: Path, restored: str) -> None:
    path, backup = tmp_path / "s", tmp_path / "backup"
    killed(path)
    reopen(path).close()
    shutil.copytree(path / "epochs", backup)
    for _ in range(2):
        store = reopen(path)
        store.append(Ticked(70.0))
        store.close()
    last = store.epoch
    if restored == "the newest deleted":
        (path / "epochs" / f"{last:06d}.json").unlink()
    else:
        shutil.rmtree(path / "epochs")
        if restored == "from a backup":
            shutil.copytree(backup, path / "epochs")
    store = reopen(path)
    assert store.epoch == last + 1
    store.append(Ticked(71.0))
    store.close()
    assert len(list(read_history(path))) == 63
    assert verify(path) == []


def test_an_epoch_is_never_reused_when_only_parts_tell_of_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    killed(path)
    reopen(path).close()
    store = reopen(path)
    store.append(Ticked(70.0))
    store.compact({})
    last = store.epoch
    store.close()
    for folder in ("epochs", "wal"):
        shutil.rmtree(path / folder)
    store, _ = Store.open(path, clock=ManualClock(), accept_loss=True)
    assert store.epoch == last + 1
    store.close()
