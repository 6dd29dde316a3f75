"""Training code that changes between two drivers of a sweep is named, and may be forbidden."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysweep.orchestrator.cli import app
from raysweep.orchestrator.code_identity import check_change, identify
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.trainables.load import ModuleCode
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Opened, Started, Suggested
from tests.orchestrator.cli_sweeps import CODE, SPEC, write_spec


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def test_the_hash_the_files_and_the_commit_are_known(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(CODE)
    code = ModuleCode("model:train", str(tmp_path))
    plain = identify(code, tmp_path)
    assert list(plain["files"]) == ["model.py"]
    assert (plain["commit"], plain["dirty"]) == (None, False)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "model.py")
    git(tmp_path, "commit", "-qm", "one")
    clean = identify(code, tmp_path)
    assert len(clean["commit"]) == 40
    assert not clean["dirty"]
    assert clean["hash"] == plain["hash"]
    (tmp_path / "model.py").write_text(CODE + "\n")
    dirty = identify(code, tmp_path)
    assert dirty["dirty"]
    said = check_change(clean, dirty, "warn")
    assert said is not None
    commit = clean["commit"][:10]
    assert f"model.py (edited); git: {commit} before, {commit} with changes now" in said


def test_what_has_changed_is_said_forbidden_or_accepted() -> None:
    before = {"hash": "1", "files": {"a.py": "1", "b.py": "1", "c.py": "1"}}
    now = {"hash": "2", "files": {"a.py": "2", "c.py": "1", "d.py": "1"}}
    assert check_change(before, before, "forbid") is None
    assert check_change({}, now, "forbid") is None  # a sweep of 0.1 says nothing of its code
    said = check_change(before, now, "warn")
    assert said is not None
    assert "a.py (edited), b.py (gone), d.py (new)" in said
    assert (check_change(before, now, "accept") or "").endswith("(accepted)")
    with pytest.raises(SpecError, match=r"a\.py \(edited\).*--accept-code-change"):
        check_change(before, now, "forbid")


def ran(folder: Path, **changes: Any) -> Path:
    """A sweep directory whose one driver trained the code in `folder` as it is now."""
    spec = SweepSpec.from_yaml(write_spec(folder, **changes))
    sweep = Sweep.create(spec)
    store = Store.create(sweep.path, sweep._manifest(), clock=ManualClock(), fsync="os")
    store.append(Opened(0.0, 1, 0.0, "host", {}, sweep._identity))
    store.close()
    return sweep.path


def call(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_resume_names_the_edited_file_and_goes_on_or_refuses(tmp_path: Path) -> None:
    path = ran(tmp_path, code_change="forbid")
    Sweep.reopen(path)
    (tmp_path / "model.py").write_text(CODE.replace("fine", "finer"))
    with pytest.raises(SpecError, match=r"has changed.*model\.py \(edited\).*code_change: forbid"):
        Sweep.reopen(path)
    refused = call("resume", path)
    assert refused.exit_code == 2
    assert "model.py (edited)" in refused.stderr
    accepted = Sweep.reopen(path, accept_code_change=True)
    assert accepted.notes[0].endswith("(accepted)")
    warned = Sweep.reopen(path, changes={"code_change": "warn"})
    assert "model.py (edited)" in warned.notes[0]
    assert "accepted" not in warned.notes[0]


def test_each_attempt_has_the_hash_of_its_driver_s_code(tmp_path: Path) -> None:
    spec = SweepSpec.from_dict(SPEC, tmp_path)
    manifest = {
        "name": "x", "spec": spec.to_dict(), "metrics": {"loss": "min"},
        "columns": spec.parsed_space.columns(),
    }  # fmt: skip
    config = {"lr": 0.1, "optimizer": "adam"}
    path = tmp_path / "sweep"
    for epoch, code in ((1, {}), (2, {"hash": "aaa"}), (3, {"hash": "bbb"})):
        if epoch == 1:
            store = Store.create(path, manifest, clock=ManualClock(), fsync="os")
        else:
            store, _ = Store.open(path, clock=ManualClock())
        at = float(epoch)
        store.append(Opened(at, epoch, at, "host", {}, code))
        if epoch == 1:
            store.append(Suggested(at, "t000000", config))
        store.append(
            Started(at, "t000000", epoch, 0, "s", "n", 0.1),
            [Verdict("t000000", epoch, 0, "start", "new", 9)],
        )
        store.commit(durable=False)
        if epoch == 2:
            store.compact({})
        assert read(path).arrow("attempts")["code"].to_pylist() == [None, "aaa", "bbb"][:epoch]
        store.close()


def test_a_table_without_the_column_can_still_be_read(tmp_path: Path) -> None:
    from raysweep.results.ledger import Attempts

    attempts = Attempts()
    attempts.open(0, 1, 0, 0.0, "aaa")
    table = attempts.table(["t000000"])
    again = Attempts.of(table, {"t000000": 0})
    assert again.code == ["aaa"]
    assert Attempts.of(table.drop_columns(["code"]), {"t000000": 0}).code == [None]
