"""What is seen while a sweep runs, and what is said when it has come to rest."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console, RenderableType

from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.live_view import live_view
from raysweep.orchestrator.panel import error_file, panel, status_line
from raysweep.orchestrator.progress import Progress
from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.simulate import simulate
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.summary import next_commands, summary
from raysweep.orchestrator.wording import counted, duration, number, printable, shown_path
from raysweep.results.read import read
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.events import Closed, Failed, Opened, SlotUp, Suggested
from raysweep.trials.goal import Goal
from tests.orchestrator.cli_sweeps import SPEC, simulated_sweep


class Sweep(NamedTuple):
    path: Path
    spec: SweepSpec


def text(shown: RenderableType, width: int = 120) -> str:
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def observed(spec: SweepSpec) -> Progress:
    rules = Rules(spec.goal, Budget(**spec.budget.model_dump()), gpu=spec.resources.gpu)
    progress = Progress(rules)
    simulate(spec, workers=4, observe=progress.observe)
    return progress


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    return SweepSpec.from_dict({**SPEC, "resources": {"cpu": 1, "gpu": 0.25}}, tmp_path)


def test_the_panel_shows_everything_at_a_glance(spec: SweepSpec) -> None:
    progress = observed(spec)
    assert progress.best is not None
    shown = text(panel(progress, progress.at, "small", "loss", Path("sweeps/small")))
    for part in (
        f"loss {number(progress.best.value)}  {progress.best.trial} at step",
        f"lr={number(progress.best.config['lr'])}",
        "18 paused  2 completed",
        "0 of 4 slots busy, 0 of 1 GPU",
        "20 of 20 trials",
        "reached  went on  paused  stopped  finished",
        "all 20 trials have run their course",
    ):
        assert part in shown, part
    assert re.search(r"\b1 +20 +\d+ +\d+", shown)


def test_the_panel_of_a_sweep_that_has_not_begun_is_calm(spec: SweepSpec) -> None:
    progress = Progress(Rules(spec.goal, Budget(trials=3)))
    shown = text(panel(progress, 0.0, "small", "loss", Path("x")))
    assert "no report yet" in shown
    assert "waiting for the first slot" in shown


def test_errors_stand_with_the_file_of_their_traceback_and_steer_nothing() -> None:
    progress = Progress(Rules(Goal((("loss", "min"),)), Budget(trials=3)))
    start = Verdict("t000000", 1, 0, "start", "new", 9)
    progress.observe(Suggested(0.0, "t000000", {"x": "[red]"}), [start])
    message = "ValueError: \x1b[2J[bold]boo[/bold]\nsecond line"
    progress.observe(Failed(1.0, "t000000", 1, "error", message, ""), ())
    shown = text(panel(progress, 1.0, "s", "loss", Path("sweeps/s")), width=200)
    assert "error: t000000: ValueError: \\x1b[2J[bold]boo[/bold]" in shown
    assert str(error_file(Path("sweeps/s"), "t000000", 1)) in shown
    assert "\x1b" not in shown
    assert "second line" not in shown


def test_the_line_for_a_log_says_the_same(spec: SweepSpec) -> None:
    progress = observed(spec)
    line = status_line(progress, progress.at, "loss")
    assert line.startswith(f"[{duration(progress.at)}] best loss ")
    assert "18 paused, 2 completed" in line
    assert "20 of 20 trials" in line
    assert "\n" not in line


def test_without_a_terminal_a_line_is_written_at_the_end_and_for_new_bests(
    spec: SweepSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    with live_view(Sweep(spec.storage_path / spec.name, spec)) as observe:
        simulate(spec, workers=4, observe=observe)
    out, err = capsys.readouterr()
    assert "18 paused, 2 completed" in out.splitlines()[-1]
    assert err == ""


def test_on_a_terminal_the_panel_is_redrawn_and_its_last_state_stays(
    spec: SweepSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = StringIO()

    def terminal(**options: Any) -> Console:
        return Console(file=screen, force_terminal=True, width=120, markup=False, highlight=False)

    monkeypatch.setattr("raysweep.orchestrator.live_view.Terminal", terminal)
    with live_view(Sweep(spec.storage_path / spec.name, spec)) as observe:
        simulate(spec, workers=4, observe=observe)
    last = screen.getvalue().split("\x1b[2K")[-1]
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last)
    assert "18 paused  2 completed" in plain
    assert "all 20 trials have run their course" in plain
    assert "\x1b[?25h" in screen.getvalue()  # the cursor is back


def test_the_view_can_keep_off_standard_output_or_be_quiet(
    spec: SweepSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = Sweep(spec.storage_path / spec.name, spec)
    with live_view(sweep, stderr=True) as observe:
        simulate(spec, workers=4, observe=observe)
    out, err = capsys.readouterr()
    assert (out, "20 of 20 trials" in err) == ("", True)
    with live_view(sweep, quiet=True) as observe:
        simulate(spec, workers=4, observe=observe)
    assert capsys.readouterr() == ("", "")


def test_time_goes_on_between_events(spec: SweepSpec, capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock(1000.0)
    with live_view(Sweep(spec.storage_path / spec.name, spec), clock=clock) as observe:
        observe(Opened(0.0, 1, 0.0, "here"), ())
        observe(SlotUp(1.0, "s", "n", ""), ())
        clock.sleep(0.0)
    assert "[1s]" in capsys.readouterr().out.splitlines()[-1]


def test_a_resumed_sweep_begins_where_its_record_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = simulated_sweep(tmp_path)
    with live_view(Sweep(path, SweepSpec.from_dict(SPEC, tmp_path))):
        pass
    line = capsys.readouterr().out
    assert "18 paused, 2 completed" in line
    assert "20 of 20 trials" in line


def test_the_summary_ends_with_files_that_exist_and_three_commands(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path)
    results = read(path)
    best = results.best()
    assert best is not None
    shown = text(summary(results, Closed(15.0, "all done", 0)), width=300)
    assert f"loss {number(best.value)}  {best.trial_id}" in shown
    assert list((path / "reports").glob("*.parquet"))
    assert (path / "trials.parquet").is_file()
    assert str(path / "reports" / "*.parquet") in shown
    assert shown.count("raysweep ") == 3
    assert f"raysweep resume {path} --set budget.trials=40" in shown


def test_the_summary_of_several_metrics_names_the_front(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, metric=None, mode=None, metrics={"loss": "min", "size": "max"})
    shown = text(summary(read(path), Closed(15.0, "all done", 0)), width=300)
    found = len(read(path).front())
    assert f"front {found} trial" in shown
    assert f"by loss, size: raysweep best {path} --front" in shown


def test_the_summary_of_random_draws_says_what_they_guarantee(tmp_path: Path) -> None:
    """1 − 0.05^(1/20) of the space, 13.91 %, for twenty draws."""
    fifo: dict[str, Any] = {"name": "fifo", "max_t": 3}
    asha: dict[str, Any] = {
        "name": "asha",
        "max_t": 9,
    }  # most stay paused; they were drawn all the same
    for scheduler in (fifo, asha):
        path = tmp_path / scheduler["name"]
        path = simulated_sweep(path, searcher="random", scheduler=scheduler)
        shown = text(summary(read(path), Closed(15.0, "all done", 0)), width=300)
        assert "with 95% confidence one of the 20 configs drawn is among the best 13.91%" in shown
    sobol = simulated_sweep(tmp_path / "sobol", searcher="sobol", scheduler=fifo)
    assert "confidence" not in text(summary(read(sobol), Closed(15.0, "all done", 0)), width=300)


def _status(**budget: tuple[float, float]) -> dict[str, Any]:
    limits = {name: {"used": used, "limit": limit} for name, (used, limit) in budget.items()}
    return {"path": "p", "budget": limits}


@pytest.mark.parametrize(
    ("status", "exit_code", "command"),
    [
        (_status(trials=(3, 10)), 75, "raysweep resume p"),
        (_status(trials=(3, 10)), 3, "raysweep resume p"),
        (_status(trials=(10, 10)), 0, "raysweep resume p --set budget.trials=20"),
        (
            _status(trials=(3, 10), wall_time_s=(60, 60.0)), 0,
            "raysweep resume p --set budget.wall_time=120s",
        ),
        (_status(trials=(30, 10)), 0, "raysweep resume p --set budget.trials=40"),
        (_status(gpu_hours=(0.5, 0.5)), 1, "raysweep resume p --set budget.gpu_hours=1"),
        (_status(), 0, "raysweep verify p"),
    ],
)  # fmt: skip
def test_the_next_commands_fit_how_the_sweep_ended(
    status: dict[str, Any], exit_code: int, command: str
) -> None:
    commands = [words for words, _ in next_commands(status, Closed(1.0, "", exit_code), None)]
    assert command in commands
    assert len(commands) == 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (59.4, "59s"), (61, "1m 01s"), (3725, "1h 02m"), (90000, "1d 01h"), (-3, "0s")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.123456789, "0.12346"), (3.0, "3.0"), (1e-9, "1e-09"), (True, "True"), (64, "64"),
     (float("nan"), "nan"), (1e300, "1e+300")],
)  # fmt: skip
def test_numbers_in_words(value: Any, words: str) -> None:
    assert number(value) == words


def test_counts_and_paths_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (counted(1, "trial"), counted(2000, "trial")) == ("1 trial", "2,000 trials")
    assert printable("a\x1b[1mb\n") == "a\\x1b[1mb "
    monkeypatch.chdir(tmp_path)
    assert shown_path(Path("a/../b")) == Path("b")
    assert shown_path(tmp_path.parent / "c") == (tmp_path.parent / "c").resolve()
