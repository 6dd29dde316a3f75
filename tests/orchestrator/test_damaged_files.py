"""Every kind of file of a sweep directory, damaged in every way: one sentence, no hang, no silence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysweep.orchestrator.cli import app
from raysweep.results.store import Store
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import StoreError
from raysweep.trials.events import Closed, Interrupted, Opened
from tests.orchestrator.cli_sweeps import simulated_sweep
from tests.results.damages import DAMAGES, DERIVED, KINDS, OF_PLACES, REMARKS, cases


def is_named(kind: str, damage: str) -> bool:
    """Whether `verify` has to name the file: all but what costs nothing."""
    if kind == "snapshot's trials" or kind == "snapshot's attempts":
        return True  # their snapshot is there and tells of them
    if damage == "deleted":
        return kind not in DERIVED
    return kind not in REMARKS or damage in OF_PLACES


COMMANDS = (
    ["status"], ["best"], ["trials"], ["explain", "0"], ["verify"],
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep with a part, a snapshot and a tail in its journal."""
    path = simulated_sweep(tmp_path_factory.mktemp("whole"), budget={"trials": 8})
    store, _ = Store.open(path, clock=ManualClock())
    store.append(Opened(99.0, store.epoch, 0.0, "here"))
    store.append(Interrupted(99.0, "SIGTERM"))
    store.append(Closed(99.0, "interrupted: SIGTERM", 75))
    store.compact({})
    store.close()
    return path


@pytest.fixture
def sweep(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "sweeps" / "small", symlinks=True)
    shutil.copytree(whole, tmp_path / "sweeps" / "other", symlinks=True)
    return tmp_path / "sweeps" / "small"


def call(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=True)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("kind", "damage"), list(cases()))
def test_damage_is_named_in_a_sentence(sweep: Path, kind: str, damage: str) -> None:
    found = sorted(sweep.glob(KINDS[kind]))
    assert found, f"the sweep has no {kind}: the test shows nothing"
    DAMAGES[damage](found[-1])
    told = {}
    for command, *rest in COMMANDS:
        result = call(command, str(sweep), *rest)
        told[command] = result
        text = result.output
        assert "This is a bug" not in text, text
        assert "Traceback" not in text
        assert result.exit_code in (0, 1, 2), (command, result.exception)
    listed = call("ls", str(sweep.parent))
    assert listed.exit_code == 0, listed.output
    assert "other" in listed.output
    if is_named(kind, damage):
        assert told["verify"].exit_code in (1, 2), told["verify"].output
        place = found[-1].name.split(".")[0] if kind.startswith("snapshot'") else found[-1].name
        if (kind, damage) == ("reports", "deleted"):  # how many parts held the range, none can say
            place = "reports: the parts end at LSN 0"
        assert place in told["verify"].output, told["verify"].output
    try:
        store, _ = Store.open(sweep, clock=ManualClock())
    except StoreError:
        return
    store.close()
