"""Where a resumed sweep finds its code: in a copy, after a move, where the user says."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from raysweep.orchestrator.code_folder import RELATIVE
from raysweep.orchestrator.sweep import Sweep
from raysweep.results.read import read
from raysweep.trainables.folder_imports import LOCAL
from raysweep.trials.errors import SpecError, TrainableError
from tests.orchestrator.cli_sweeps import CODE, simulated_sweep

OTHER = CODE.replace("fine", "other")


@pytest.fixture(autouse=True)
def fresh_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another test has imported from its folder is not found here."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "pytest-of" not in path])
    monkeypatch.setattr(LOCAL, "_folders", [])
    monkeypatch.delitem(sys.modules, "model", raising=False)


def project(folder: Path, **changes: Any) -> Path:
    """A project folder with its sweep, as a run leaves it; its code is `CODE`."""
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(CODE)
    return simulated_sweep(folder, budget={"trials": 2}, **changes)


def folder_of(sweep: Sweep) -> Path:
    return sweep.spec.folder.resolve()


@pytest.mark.parametrize("old", [False, True], ids=["0.2", "0.1"])
def test_a_copy_trains_with_its_own_code_and_says_so_if_the_two_differ(
    tmp_path: Path, old: bool
) -> None:
    path = project(tmp_path / "a")
    if not old:
        manifest = json.loads((path / "SWEEP.json").read_text())
        del manifest["crc"]  # as an older raysweep wrote it
        (path / "SWEEP.json").write_text(json.dumps({**manifest, RELATIVE: "../.."}))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = tmp_path / "b" / "sweeps" / "small"
    assert folder_of(same := Sweep.reopen(copy)) == tmp_path / "b"
    assert same.notes == ()
    (tmp_path / "b" / "model.py").write_text(OTHER)
    differs = Sweep.reopen(copy)
    assert folder_of(differs) == tmp_path / "b"
    assert f"training with the code in {tmp_path / 'b'}" in differs.notes[0]
    assert f"--folder {tmp_path / 'a'}" in differs.notes[0]
    assert folder_of(Sweep.reopen(path)) == tmp_path / "a"
    chosen = Sweep.reopen(copy, folder=tmp_path / "a")
    assert folder_of(chosen) == tmp_path / "a"


def test_what_was_moved_is_found_beside_the_sweep(tmp_path: Path) -> None:
    project(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "elsewhere")
    moved = Sweep.reopen(tmp_path / "elsewhere" / "sweeps" / "small")
    assert folder_of(moved) == tmp_path / "elsewhere"
    assert moved.notes == ()


def test_a_sweep_apart_from_its_project_goes_back_to_it(tmp_path: Path) -> None:
    path = project(tmp_path / "a")
    alone = tmp_path / "archive" / "x" / "small"
    shutil.copytree(path, alone)
    assert folder_of(Sweep.reopen(alone)) == tmp_path / "a"
    shutil.rmtree(tmp_path / "a")
    sys.modules.pop("model", None)
    with pytest.raises(TrainableError, match=r"no module 'model'[^$]*--folder DIR"):
        Sweep.reopen(alone)
    new = tmp_path / "new"
    new.mkdir()
    (new / "model.py").write_text(CODE)
    assert folder_of(Sweep.reopen(alone, folder=new)) == new
    with pytest.raises(SpecError, match="there is no such folder"):
        Sweep.reopen(alone, folder=tmp_path / "none")


def test_a_program_is_looked_for_in_the_same_way(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "model.py").write_text(CODE)
    (folder / "prog.py").write_text("print(1)")
    simulated_sweep(folder, trainable="<program:prog.py>", program="prog.py", budget={"trials": 2})
    shutil.copytree(folder, tmp_path / "b")
    (tmp_path / "b" / "prog.py").write_text("print(2)")
    copy = Sweep.reopen(tmp_path / "b" / "sweeps" / "small")
    assert folder_of(copy) == tmp_path / "b"
    assert "which differs" in copy.notes[0]


@pytest.mark.ray
def test_a_copy_runs_its_own_code(ray_cluster: object, tmp_path: Path) -> None:
    from raysweep.orchestrator.spec import SweepSpec
    from tests.orchestrator.cli_sweeps import write_spec

    spec = write_spec(tmp_path / "a", budget={"trials": 1}, scheduler="fifo")
    Sweep.create(SweepSpec.from_yaml(spec)).run()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "model.py").write_text(OTHER)
    path = tmp_path / "b" / "sweeps" / "small"
    Sweep.reopen(path, changes={"budget.trials": 2}).run()
    results = read(path)
    assert sorted(set(results.reports["note"])) == ["fine", "other"]
    assert len(set(results.attempts["code"])) == 2
    assert read(tmp_path / "a" / "sweeps" / "small").manifest[RELATIVE] == "../.."
