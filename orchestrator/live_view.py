"""Shows a sweep while it runs: a panel on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from raysweep.orchestrator.panel import (
    best_line,
    error_lines,
    panel,
    silence_lines,
    status_line,
    warning_lines,
)
from raysweep.orchestrator.progress import Leader, Progress
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.terminal import Terminal
from raysweep.orchestrator.wording import duration, shown_path
from raysweep.trials.clock import Clock, SystemClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Event, Opened

Observer = Callable[[Event, Sequence[Verdict]], None]
_REFRESHES_PER_S = 4
_LINE_EVERY_S = 10.0
_BEST_EVERY_S = 1.0
"""A new best is worth a line, but early in a sweep every other report is one."""


class Watched(Protocol):
    """What a view must know of a sweep: `orchestrator.sweep.Sweep`."""

    path: Path
    spec: SweepSpec


@contextmanager
def live_view(
    sweep: Watched, *, quiet: bool = False, stderr: bool = False, clock: Clock | None = None
) -> Iterator[Observer]:
    """Show `sweep` as long as the block lasts; what it gives is to be shown every event.

    Args:
        sweep: about to be run, or to be gone on with.
        quiet: show nothing.
        stderr: write there, because standard output is for a machine.
        clock: for the sweep's age between events.
    """
    if quiet:
        yield lambda event, verdicts: None
        return
    view = _View(sweep, clock or SystemClock())
    console = Terminal(stderr=stderr)
    with view.on_terminal(console) if console.is_terminal else view.in_log(console):
        yield view.observe


class _View:
    """One sweep's progress, read by the thread that draws while the driver's thread writes.

    Nothing is locked: what is walked is copied first, which CPython does in one go, and numbers that
    do not quite fit each other are replaced by the next picture.
    """

    def __init__(self, sweep: Watched, clock: Clock) -> None:
        self._path, self._spec, self._clock = shown_path(sweep.path), sweep.spec, clock
        self._progress = _so_far(sweep)
        self._metric = sweep.spec.goal.metric
        self._told: Leader | None = self._progress.best
        self._told_at_s = self._said_at_s = 0.0
        self._last = (self._progress.at, clock.now())
        self._open = self._failed = False
        self._warned: dict[str, str] = {}

    def observe(self, event: Event, verdicts: Sequence[Verdict]) -> None:
        """Take in an event; the sweep's age counts from its opening, not from Ray's start."""
        self._progress.observe(event, verdicts)
        if isinstance(event, Opened):
            self._open, self._last = True, (event.at, self._clock.now())

    @contextmanager
    def on_terminal(self, console: Console) -> Iterator[None]:
        """A panel that is redrawn four times a second."""
        with Live(
            console=console,
            get_renderable=self._panel,
            refresh_per_second=_REFRESHES_PER_S,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    @contextmanager
    def in_log(self, console: Console) -> Iterator[None]:
        """A line every ten seconds, and at each new best."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(1 / _REFRESHES_PER_S):
                self._say(console)

        thread = threading.Thread(target=look, name="raysweep-view", daemon=True)
        self._said_at_s = self._clock.now()
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._say(console)
            self._write(console, status_line(self._progress, self._age_s(), self._metric))

    def _panel(self) -> RenderableType:
        return panel(self._progress, self._age_s(), self._spec.name, self._metric, self._path)

    def _say(self, console: Console) -> None:
        """Write the lines that are due; the first failure and each new warning at once."""
        errors, warnings = list(self._progress.errors), dict(self._progress.warnings)
        if errors and not self._failed:
            self._failed = True
            for line in error_lines(errors[:1], self._path):
                self._write(console, f"[{duration(self._age_s())}] first failure: {line}")
        for line in warning_lines(dict(warnings.items() - self._warned.items())):
            self._write(console, f"[{duration(self._age_s())}] {line}")
        self._warned = warnings
        now_s, best = self._clock.now(), self._progress.best
        if best is not None and best != self._told and now_s - self._told_at_s >= _BEST_EVERY_S:
            self._told, self._told_at_s = best, now_s
            self._write(console, best_line(best, self._age_s(), self._metric))
        if now_s - self._said_at_s >= _LINE_EVERY_S:
            self._said_at_s = now_s
            self._write(console, status_line(self._progress, self._age_s(), self._metric))
            for line in silence_lines(self._progress):
                self._write(console, f"  {line}")

    @staticmethod
    def _write(console: Console, line: str) -> None:
        console.print(line, soft_wrap=True)

    def _age_s(self) -> float:
        """The sweep's age now: that of its newest event and what has passed since we saw it."""
        at, seen_s = self._last
        if self._progress.at != at:
            self._last = at, seen_s = self._progress.at, self._clock.now()
        return at + self._clock.now() - seen_s if self._open and self._progress.running else at


def _so_far(sweep: Watched) -> Progress:
    from raysweep.orchestrator.rebuild import rules_of
    from raysweep.results.layout import is_sweep

    rules = rules_of(sweep.spec)
    if not is_sweep(sweep.path):
        return Progress(rules)
    from raysweep.orchestrator.progress_recorded import recorded_progress
    from raysweep.results.read import read

    return recorded_progress(read(sweep.path), rules)
