"""What a driver does beside its record costs a warning when it fails, and never the sweep."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from raysweep.orchestrator import errands as module
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.errands import Errands
from raysweep.trials import actions, events
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event, Failed, Undeleted, Unsaved, Warned
from tests.orchestrator.harness import Hand, make_state

FAILED = Failed(1.0, "t000000", 1, "error", "ValueError: no\udcff", "Traceback \udcff")
PATH = "checkpoints/t000000/1-1"


class Shown:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.at = 0.0

    def __call__(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        self.events.append(event)


def errands(sweep: Path, shown: Callable[[Event, Sequence[Verdict]], None]) -> Errands:
    return Errands(sweep, shown, lambda: getattr(shown, "at", 0.0))


def a_checkpoint(sweep: Path) -> Path:
    folder = sweep / PATH
    folder.mkdir(parents=True)
    (folder / "w").write_text("x")
    return folder


def test_nothing_is_shown_or_written_before_it_is_on_record(tmp_path: Path) -> None:
    shown = Shown()
    some = errands(tmp_path, shown)
    some.observed(FAILED, ())
    assert (shown.events, list(tmp_path.iterdir())) == ([], [])
    assert some.news(2.0) == []
    assert shown.events == [FAILED]
    assert "Traceback" in (tmp_path / "errors" / "t000000-1.txt").read_text()


def test_the_last_events_are_shown_when_the_sweep_is_over(tmp_path: Path) -> None:
    shown = Shown()
    some = errands(tmp_path, shown)
    some.observed(events.Closed(1.0, "done", 0), ())
    some.finish()
    assert shown.events == [events.Closed(1.0, "done", 0)]


def test_an_observer_that_raises_is_told_of_and_asked_again(tmp_path: Path) -> None:
    seen: list[Event] = []

    def broken(event: Event, verdicts: Sequence[Verdict]) -> None:
        seen.append(event)
        raise RuntimeError("the callback's own")

    some = errands(tmp_path, broken)
    told: list[Any] = []
    for at in range(12):
        some.observed(events.Ticked(float(at)), ())
        told += some.news(float(at))
    assert len(seen) == 12
    first, tenth = told  # the 1st and the 10th: not one for each
    assert "showing events failed: RuntimeError: the callback's own; the sweep goes on" in first[2]
    assert "(10 times so far)" in tenth[2]


@pytest.mark.parametrize("place", ["errors", "errors/t000000-1.txt"])
@pytest.mark.parametrize("what", ["file", "folder", "fifo", "link", "dangling", "loop"])
def test_what_a_trial_puts_in_the_place_of_errors_costs_nothing(
    tmp_path: Path, place: str, what: str
) -> None:
    """Red before: each of these ended the driver; the fifo hung it."""
    path, outside = tmp_path / "s" / place, tmp_path / "outside"
    path.parent.mkdir(parents=True)
    outside.mkdir()
    make = {
        "file": lambda: path.write_text("mine"),
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(outside),
        "dangling": lambda: path.symlink_to(tmp_path / "nowhere"),
        "loop": lambda: path.symlink_to(path),
    }
    make[what]()
    some = errands(tmp_path / "s", Shown())
    some.observed(FAILED, ())
    assert some.news(1.0) == []
    assert "Traceback" in (tmp_path / "s" / "errors" / "t000000-1.txt").read_text()
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_errors_that_cannot_be_written_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "errors/x")

    monkeypatch.setattr(module, "write_text", full)
    shown = Shown()
    some = errands(tmp_path, shown)
    some.observed(FAILED, ())
    (warned,) = some.news(3.0)
    assert isinstance(warned, Warned)
    assert (warned.at, warned.source) == (3.0, "storage")
    assert "writing errors/ failed: OSError" in warned.message
    assert shown.events == [FAILED]


@pytest.mark.parametrize("hindrance", ["link", "refused", "busy"])
def test_a_checkpoint_that_cannot_be_deleted_stays_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hindrance: str
) -> None:
    """Red before: `refusing to delete` (or PermissionError) out of the loop, at every resume too."""
    folder, shown, real = a_checkpoint(tmp_path), Shown(), module.delete_checkpoint
    if hindrance == "link":
        home = folder.parent.rename(tmp_path / "elsewhere")
        folder.parent.symlink_to(home)
    else:
        code = errno.EPERM if hindrance == "refused" else errno.EBUSY

        def refused(sweep: Path, path: str) -> None:
            raise OSError(code, os.strerror(code), str(sweep / path))

        monkeypatch.setattr(module, "delete_checkpoint", refused)
    some = errands(tmp_path, shown)
    some.drop(PATH)
    left, warned = some.news(1.0)
    assert isinstance(left, Undeleted)
    assert left.path == PATH
    assert isinstance(warned, Warned)
    assert "cannot be deleted" in warned.message
    assert "tried again every 60 s and at the next resume" in warned.message
    assert some.news(2.0) == []
    if hindrance == "link":
        folder.parent.unlink()
        home.rename(folder.parent)
    monkeypatch.setattr(module, "delete_checkpoint", real)
    assert some.news(50.0) == []
    assert folder.exists()
    assert some.news(61.0) == []
    assert not folder.exists()


def test_the_next_driver_lets_go_of_what_the_last_one_could_not_delete() -> None:
    hand = Hand(make_state({"name": "fifo"}, budget=Budget(trials=1)))
    hand.give(events.Undeleted(1.0, PATH, "is a symbolic link"))
    again = make_state({"name": "fifo"}, budget=Budget(trials=1))
    again.load(hand.state.state())
    turn = again.handle(events.Opened(2.0, 2, 0.0, "here"))
    assert actions.DropCheckpoint(PATH) in turn.actions
    assert actions.DropCheckpoint(PATH) not in again.handle(events.Opened(3.0, 3, 0.0, "x")).actions


def test_a_checkpoint_left_out_is_told_of_once_per_power_of_ten(tmp_path: Path) -> None:
    some, told = errands(tmp_path, Shown()), []
    for step in range(1, 101):
        some.observed(Unsaved(float(step), "t000000", 1, step, "no space"), ())
        told += some.news(float(step))
    assert [event.message.partition("(")[2] for event in told] == [
        "", "10 times so far)", "100 times so far)",
    ]  # fmt: skip
    assert "t000000 trains on without a checkpoint of step 1: no space" in told[0].message


def test_what_cannot_wait_is_shown_at_once_and_recorded_later(tmp_path: Path) -> None:
    shown = Shown()
    shown.at = 7.0
    some = errands(tmp_path, shown)
    some.say("the disk is full")
    assert shown.events == [Warned(7.0, "storage", "the disk is full")]
    (news,) = some.news(8.0)
    assert news == Warned(8.0, "storage", "the disk is full")
    some.observed(news, ())
    some.news(9.0)
    assert len(shown.events) == 1, "not twice"


def test_an_interrupt_is_no_errand(tmp_path: Path) -> None:
    def interrupted(event: Event, verdicts: Sequence[Verdict]) -> None:
        raise KeyboardInterrupt

    some = errands(tmp_path, interrupted)
    some.observed(events.Ticked(0.0), ())
    with pytest.raises(KeyboardInterrupt):
        some.news(1.0)
