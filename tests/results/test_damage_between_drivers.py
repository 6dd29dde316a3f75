"""Drivers that are killed one after another, with a file damaged after each: nothing is lost in silence."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from raysweep.results.store import Store
from raysweep.results.verify import verify
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import StoreError
from raysweep.trials.streams import Stream
from tests.results.damages import DAMAGES, KINDS, cases
from tests.results.test_store import agree, die
from tests.results.worlds import MANIFEST, Step, World

_DRIVERS = 6
_MARKED_S = 60.0
"""Longer than a mark takes to be renewed: what is committed later is known to have been there."""


def drive(store: Store, clock: ManualClock, stream: Stream, steps: Sequence[Step]) -> list[Step]:
    """A driver's life up to SIGKILL; the records that it has committed."""
    for number, step in enumerate(steps):
        store.append(*step)
        if stream.uniform() < 0.05:
            store.compact({"of this driver": number})
    clock.sleep(_MARKED_S)
    store.commit(durable=True)
    die(store)
    return list(steps)


def damaged(path: Path, stream: Stream, before: Path) -> str:
    """Damage one file or folder, or put the epochs back as they were a driver ago; what was done."""
    if stream.uniform() < 0.1:
        shutil.rmtree(path / "epochs")
        shutil.copytree(before, path / "epochs")
        return "epochs/ restored from a backup"
    there = [(kind, way) for kind, way in cases() if list(path.glob(KINDS[kind]))]
    kind, way = there[stream.integer(0, len(there))]
    found = sorted(path.glob(KINDS[kind]))
    DAMAGES[way](found[stream.integer(0, len(found))])
    return f"{kind} {way}"


def opened(path: Path, clock: ManualClock) -> Store | None:
    """The next driver's store; None: something was named that keeps it from going on."""
    try:
        store, recovered = Store.open(path, clock=clock)
    except StoreError:
        return None
    deque(recovered.records, maxlen=0)
    return store


def check_drivers(folder: Path, seed: int) -> Iterator[str]:
    """Six drivers; what was damaged between them, each noticed or without consequence."""
    stream, world, clock = Stream(seed, "damage"), World(seed, odd=False), ManualClock()
    path, copy, before = folder / "s", folder / "copy", folder / "epochs"
    store: Store | None = Store.create(path, dict(MANIFEST), clock=clock)
    acked: list[Step] = []
    for _ in range(_DRIVERS):
        assert store is not None
        last = store.epoch
        acked += drive(store, clock, stream, [world.open(), *world.steps(stream.integer(5, 40))])
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        what = damaged(path, stream, before if before.exists() else copy / "epochs")
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(copy / "epochs", before)
        store = opened(path, clock)
        named = store is None or verify(path) != []
        if not named:
            agree(path, acked)
        elif store is not None:
            die(store)
        if named:
            shutil.rmtree(path)
            shutil.copytree(copy, path)
            store = opened(path, clock)
        assert store is not None
        assert store.epoch > last, what
        yield f"{what}: {'named' if named else 'no loss'}"
    assert store is not None
    die(store)
    agree(path, acked)
    assert verify(path) == []


@pytest.mark.parametrize("seed", range(20))
def test_damage_between_drivers_is_named_or_loses_nothing(tmp_path: Path, seed: int) -> None:
    print(list(check_drivers(tmp_path, seed)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 220))
def test_damage_between_drivers_at_200_seeds(tmp_path: Path, seed: int) -> None:
    print(list(check_drivers(tmp_path, seed)))
