"""JSON files of a sweep directory whose content is not what it must be, though it is JSON."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysweep.orchestrator.cli import app
from raysweep.orchestrator.spec import SweepSpec
from raysweep.results.store import Store
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import StoreError
from tests.orchestrator.cli_sweeps import simulated_sweep

COMMANDS = (["status"], ["best"], ["trials"], ["explain", "0"], ["verify"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose SWEEP.json and schema.json have no checksum, as of an older version."""
    path = simulated_sweep(tmp_path_factory.mktemp("whole"), budget={"trials": 6})
    store, _ = Store.open(path, clock=ManualClock())
    store.compact({})
    store.close()
    for name in ("SWEEP.json", "schema.json"):
        changed(path / name, lambda body: body.pop("crc"))
    manifest = json.loads((path / "SWEEP.json").read_text())
    digest = SweepSpec.from_dict(manifest["spec"], manifest["folder"]).hash()
    changed(path / "SWEEP.json", lambda body: body.update(spec_hash=digest))
    return path


def changed(file: Path, change: Callable[[Any], object]) -> None:
    body = json.loads(file.read_text())
    change(body)
    file.write_text(json.dumps(body))


def put(*path: Any, value: Any) -> Callable[[Any], object]:
    """Set an entry of a JSON file."""

    def change(body: Any) -> None:
        for key in path[:-1]:
            body = body[key]
        body[path[-1]] = value

    return change


def without(*path: Any) -> Callable[[Any], object]:
    def change(body: Any) -> None:
        for key in path[:-1]:
            body = body[key]
        del body[path[-1]]

    return change


MANIFESTS: dict[str, Callable[[Any], object]] = {
    "a type of column that there is not": put("columns", value={"lr": "foo"}),
    "a column that no table has": put("columns", value={"x": "float64"}),
    "a metric that no table has": put("metrics", value={"lost": "min"}),
    "metrics of lists": put("metrics", value={"loss": ["min"]}),
    "no spec": put("spec", value=None),
    "a spec that is a number": put("spec", value=5),
    "a spec without scheduler": without("spec", "scheduler"),
    "a scheduler that is a text": put("spec", "scheduler", value="asha"),
    "a budget that is a text": put("spec", "budget", value="x"),
    "resources that are a number": put("spec", "resources", value=5),
    "a folder that is a number": put("folder", value=5),
    "an infinite format": put("format", value=math.inf),
    "a format that is true": put("format", value=True),
    "a name that is a number": put("name", value=5),
    "another seed": put("spec", "seed", value=4),
    "another budget": put("spec", "budget", "trials", value=400),
}
SCHEMAS: dict[str, Callable[[Any], object]] = {
    "another column": put("metrics", 0, "column", value="zoss"),
    "a type of list": put("metrics", 0, "type", value=[1]),
    "a type that there is not": put("metrics", 0, "type", value="foo"),
    "a column of number": put("metrics", 0, "column", value=5),
    "an LSN of text": put("metrics", 0, "first_lsn", value="x"),
    "a metric twice": lambda body: body["metrics"].append(body["metrics"][0]),
    "a list of numbers": put("metrics", value=[5]),
    "an object of numbers": put("metrics", value={"a": 1}),
}


def checked(sweep: Path) -> None:
    """Each command says it in a sentence, `verify` finds it, and no reader falls over."""
    for command, *rest in COMMANDS:
        result = CliRunner().invoke(app, [command, str(sweep), *rest])
        assert "This is a bug" not in result.output, (command, result.output)
        assert result.exit_code in (0, 1, 2), (command, result.exception)
    assert result.exit_code in (1, 2), result.output  # of verify
    try:
        Store.open(sweep, clock=ManualClock())[0].close()
    except StoreError:
        return


def test_files_of_an_older_version_are_fine(whole: Path) -> None:
    for command, *rest in COMMANDS:
        assert CliRunner().invoke(app, [command, str(whole), *rest]).exit_code == 0


@pytest.mark.parametrize("change", MANIFESTS)
def test_an_altered_manifest_is_named(whole: Path, tmp_path: Path, change: str) -> None:
    sweep = shutil.copytree(whole, tmp_path / "s")
    changed(sweep / "SWEEP.json", MANIFESTS[change])
    checked(sweep)


@pytest.mark.parametrize("change", SCHEMAS)
def test_an_altered_schema_is_named(whole: Path, tmp_path: Path, change: str) -> None:
    sweep = shutil.copytree(whole, tmp_path / "s")
    changed(sweep / "schema.json", SCHEMAS[change])
    checked(sweep)


def test_other_encodings_are_refused(whole: Path, tmp_path: Path) -> None:
    sweep = shutil.copytree(whole, tmp_path / "s")
    text = (sweep / "SWEEP.json").read_text()
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        (sweep / "SWEEP.json").write_bytes(text.encode(encoding))
        checked(sweep)


@pytest.mark.parametrize("folder", ["reports", "decisions"])
def test_a_footer_with_other_names_is_named(whole: Path, tmp_path: Path, folder: str) -> None:
    sweep = shutil.copytree(whole, tmp_path / "s")
    part = sorted((sweep / folder).iterdir())[-1]
    data = bytearray(part.read_bytes())
    at = data.rindex(b"attempt", 0, len(data) - 200)
    for byte in (ord("b"), 0xE1):  # another name, and none in UTF-8
        data[at] = byte
        part.write_bytes(data)
        checked(sweep)
        shown = CliRunner().invoke(app, ["best", str(sweep)])
        assert part.name in shown.output or shown.exit_code == 0


def test_a_folder_that_may_not_be_entered_takes_ls_from_no_other(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "good")
    (tmp_path / "locked").mkdir()
    real = Path.stat

    def stat(path: Path, **options: Any) -> Any:
        if path.parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    result = CliRunner().invoke(app, ["ls", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    states = {Path(row["path"]).name: row["state"] for row in json.loads(result.stdout)}
    assert states == {"good": "finished", "locked": "damaged"}
