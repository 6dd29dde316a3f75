"""One connection for all sweeps of a process: who comes first makes it, who leaves last ends it."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raysweep.cluster.shared_ray import Shared
from raysweep.trials.errors import ClusterError

DRIVERS = str(Path(__file__).with_name("thread_drivers.py"))


class Made:
    """Counts how many of a thing there are, which may never be two."""

    def __init__(self) -> None:
        self.alive = self.made = 0
        self.threads: set[str] = set()
        self.fails = False

    @contextmanager
    def make(self) -> Iterator[int]:
        if self.fails:
            raise ClusterError("cannot be made")
        self.made += 1
        self.alive += 1
        assert self.alive == 1
        self.threads.add(threading.current_thread().name)
        try:
            yield self.made
        finally:
            self.alive -= 1


def test_whoever_comes_while_another_uses_it_shares_it() -> None:
    shared, made = Shared[int](), Made()
    seen: list[int] = []
    with shared.use(made.make, seen.append) as first:
        with shared.use(made.make, seen.append) as second:
            assert (first, second, seen) == (1, 1, [1])
        assert made.alive == 1
    assert made.alive == 0
    with shared.use(made.make, seen.append) as third:
        assert third == 2
    assert made.threads == {"raysweep-ray"}


def test_the_first_may_leave_before_the_second() -> None:
    shared, made = Shared[int](), Made()
    first = shared.use(made.make, lambda _: None)
    second = shared.use(made.make, lambda _: None)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert made.alive == 1
    second.__exit__(None, None, None)
    assert made.alive == 0


def test_many_threads_that_come_and_go_never_see_two_of_it_or_one_that_is_gone() -> None:
    shared, made = Shared[int](), Made()
    wrong: list[object] = []

    def come_and_go() -> None:
        for _ in range(100):
            with shared.use(made.make, lambda _: None):
                if made.alive != 1:
                    wrong.append(made.alive)

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (wrong, made.alive) == ([], 0)


def test_one_that_cannot_be_made_or_is_not_what_is_wanted_harms_nobody_else() -> None:
    shared, made = Shared[int](), Made()
    made.fails = True
    with pytest.raises(ClusterError, match="cannot be made"), shared.use(made.make, lambda _: None):
        pass
    made.fails = False

    def refuse(_: int) -> None:
        raise ClusterError("another one")

    with shared.use(made.make, lambda _: None):
        with pytest.raises(ClusterError, match="another one"), shared.use(made.make, refuse):
            pass
        assert made.alive == 1
    assert made.alive == 0


def drive(name: str, cwd: Path, timeout_s: float = 170) -> list[str]:
    done = subprocess.run(
        [sys.executable, DRIVERS, name], capture_output=True, text=True, timeout=timeout_s,
        check=False, cwd=cwd,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.ray
def test_sweeps_in_threads_share_one_ray_and_the_first_to_end_leaves_it_to_the_others(
    tmp_path: Path,
) -> None:
    assert drive("one_after_the_other", tmp_path) == [
        "short finished 2",
        "refused: this process runs an embedded Ray with 2 CPU for another sweep, and this one "
        "asks for 1",
        "long finished 14",
        "main finished 2",
        "again finished 2",
    ]


@pytest.mark.ray
def test_an_embedded_ray_listens_on_loopback_only_and_keeps_its_files_to_its_user(
    tmp_path: Path,
) -> None:
    *sockets, folder, again = drive("listen", tmp_path)
    assert len(sockets) >= 4
    assert all(re.fullmatch(r"(127\.0\.0\.1|::ffff:127\.0\.0\.1) .*", line) for line in sockets)
    assert int(folder, 8) == stat.S_IFDIR | 0o700
    assert again == "as before"
