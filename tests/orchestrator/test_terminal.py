"""Nothing that a spec, a trial or a file's name holds steers the terminal, in any command."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner, Result

from raysweep.cluster.session import Session
from raysweep.orchestrator.cli import app
from raysweep.orchestrator.terminal import Terminal
from raysweep.orchestrator.wording import escaped
from raysweep.results.layout import checksummed, unchecked
from tests.orchestrator.cli_sweeps import simulated_sweep, write_spec

EVIL = "\x1b[31m\x9b2J\x07\x7f\u202e[bold]x"
SHOWN = r"\x1b[31m\x9b2J\x07\x7f\u202e[bold]x"
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
CODE = f"""
def train(config):
    yield {{{EVIL!r}: config["lr"], "also" + {EVIL!r}: {EVIL!r}}}
    if config["lr"] > 0.001:
        raise ValueError({EVIL!r})
"""


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep whose name, path, metric and choices hold what steers a terminal."""
    space = {"lr": {"uniform": [0, 1]}, "kind": {"choice": [EVIL, f"other{EVIL}"]}}
    path = simulated_sweep(
        tmp_path, metric=EVIL, space=space, confirm={"top": 1, "seeds": 2},
        scheduler={"name": "asha", "max_t": 4, "audit": 0.5, "form": "stopping"},
    )  # fmt: skip
    manifest = unchecked((path / "SWEEP.json").read_bytes())
    (path / "SWEEP.json").write_text(json.dumps(checksummed({**manifest, "name": EVIL})))
    return path.rename(path.with_name(f"s{EVIL}"))


COMMANDS: list[tuple[Any, ...]] = [
    ("status", "SWEEP"), ("ls", "STORAGE"), ("best", "SWEEP"), ("best", "SWEEP", "--top", "3"),
    ("best", "SWEEP", "--front"), ("trials", "SWEEP"), ("trials", "SWEEP", "--sort", EVIL),
    ("explain", "SWEEP", "0"), ("explain", "SWEEP", EVIL), ("audit", "SWEEP"),
    ("confirmed", "SWEEP"), ("verify", "SWEEP"), ("stop", "SWEEP"), ("schedule", "SWEEP"),
    ("resume", "SWEEP", "--set", EVIL), ("resume", "SWEEP", "--set", f"{EVIL}=1"),
    ("replay", "SWEEP"), ("status", EVIL), ("ls", EVIL), ("validate", "SPEC"), ("validate", EVIL),
    ("simulate", "SPEC", "--workers", "2"), ("run", EVIL), ("run", "SPEC", "--name", EVIL),
    ("run", "SPEC", "--set", f"{EVIL}={EVIL}"), ("init", f"/dev/null/{EVIL}"), (EVIL,),
    (f"--{EVIL}",), ("status", f"--{EVIL}"), ("best", "SWEEP", "--top", EVIL),
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: escaped(" ".join(words)))
def test_no_command_lets_a_name_steer_the_terminal(
    sweep: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    space = {"lr": {"uniform": [0, 1]}, "kind": {"choice": [EVIL]}}
    spec = write_spec(tmp_path, code=CODE, metric=EVIL, space=space, scheduler="fifo")
    places: dict[str, Any] = {"SWEEP": sweep, "STORAGE": sweep.parent, "SPEC": spec}
    done = call(*(places.get(word, word) for word in words))
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "bug in raysweep" not in said
    assert STEERS.findall(said) == []
    if words[0] not in ("replay", "simulate") and "--top" not in words:  # these say numbers only
        assert "x1b" in said


def test_json_says_what_the_names_are(sweep: Path) -> None:
    for words in (("status",), ("best",), ("trials",), ("explain", "0")):
        done = call(words[0], sweep, *words[1:], "--json")
        assert STEERS.findall(done.stdout) == []
        assert EVIL in "\n".join(texts_in(json.loads(done.stdout)))


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in (
        [*value, *value.values()]
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else ()
    ):
        yield from texts_in(item)


def test_the_console_shows_text_as_it_is_and_steers_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stdout", stream := io.StringIO())
    console = Terminal()
    table = Table()
    table.add_column(EVIL)
    table.add_row(Text(EVIL, "bold"), style="red")  # a Text drops some of them by itself
    with Live(table, console=console, refresh_per_second=1) as live:
        live.update(f"line {EVIL}")
    console.print(EVIL, style="red")
    written = stream.getvalue()
    assert SHOWN in written
    assert "\x1b[31m" in written  # rich's own red, and its cursor
    assert not re.search("[\x07\x9b\x7f\u202e]", written)


@pytest.mark.parametrize(
    "text", ["plain", "Größe → 3", "日本\u3000語", "👩\u200d💻", "tab\there\nline"]
)
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert escaped(text) == text


def test_a_name_that_no_encoding_has_is_shown() -> None:
    assert escaped("a\udcff") == r"a\udcff"


@pytest.mark.ray
def test_what_trials_raise_and_report_is_shown_escaped_while_they_run(
    ray_cluster: Session, tmp_path: Path
) -> None:
    spec = write_spec(
        tmp_path, code=CODE, metric=EVIL, scheduler="fifo", budget={"trials": 4},
        max_failed_share=1.0,
    )  # fmt: skip
    done = call("run", spec)
    said = done.stdout + done.stderr
    assert STEERS.findall(said) == []
    assert "\\x1b[31m" in said
    for words in (("trials",), ("explain", "0")):
        assert (
            STEERS.findall(call(words[0], tmp_path / "sweeps" / "small", *words[1:]).stdout) == []
        )
