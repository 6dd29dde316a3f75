"""The commands about specs, and how the command line tells of errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from raysweep.orchestrator import cli_output, spec_changes
from raysweep.orchestrator.cli import app
from raysweep.orchestrator.spec_changes import changed_spec, read_changes
from raysweep.trials.errors import SpecError
from tests.orchestrator.cli_sweeps import simulated_sweep, write_spec

RAYSWEEP = Path(sys.executable).parent / "raysweep"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def process(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(RAYSWEEP), *map(str, words)],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_validate_prints_what_it_understood(tmp_path: Path) -> None:
    result = call("validate", write_spec(tmp_path))
    assert result.exit_code == 0
    for part in (
        "lr: numbers from 0.0001 to 0.1",
        "when optimizer is sgd",
        "min loss",
        "model:train",
    ):
        assert part in result.stdout


def test_validate_gives_the_same_to_machines(tmp_path: Path) -> None:
    facts = json.loads(call("validate", write_spec(tmp_path), "--json").stdout)
    assert facts["space"]["momentum"]["when"] == {"optimizer": ["sgd"]}
    assert facts["rungs"] == [
        {"step": 1, "trials": 20}, {"step": 3, "trials": 6}, {"step": 9, "trials": 2},
    ]  # fmt: skip
    assert facts["budget"] == {"trials": 20, "wall_time_s": 3600.0}
    assert facts["exists"] is False
    assert facts["example"].keys() >= {"lr", "optimizer"}


@pytest.mark.parametrize(
    ("options", "rungs"),
    [
        ({}, [(1, 20), (3, 6), (9, 2)]),  # 20 // 3 = 6, 6 // 3 = 2, 2 // 3 = 0: no rung beyond
        ({"grace_period": 5, "reduction_factor": 4}, [(5, 20), (20, 5), (80, 1)]),
        ({"max_t": 9, "brackets": 2}, []),
    ],
)
def test_validate_plans_rungs_without_end_and_says_nothing_of_several_brackets(
    tmp_path: Path, options: dict[str, int], rungs: list[tuple[int, int]]
) -> None:
    spec = write_spec(tmp_path, scheduler={"name": "asha", **options})
    facts = json.loads(call("validate", spec, "--json").stdout)
    assert [(row["step"], row["trials"]) for row in facts["rungs"]] == rungs


def test_validate_sees_that_the_name_is_taken(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    simulated_sweep(tmp_path)
    assert json.loads(call("validate", spec, "--json").stdout)["exists"] is True
    assert "there is one already" in call("validate", spec).stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shedule": 1}, "did you mean 'scheduler'"),
        ({"space": {"lr": {"uniform": [1, 0]}}}, "lr"),
        ({"space": {"lr": {"loguniform": [0, 1]}}}, "lr"),
        ({"trainable": "model:tarin"}, "did you mean train?"),
        ({"trainable": "models:train"}, "did you mean model?"),
        ({"budget": {}}, "nothing ends this sweep"),
    ],
)
def test_bad_specs_are_refused_before_anything_starts(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    for command in ("validate", "run"):
        result = call(command, write_spec(tmp_path, **changes))
        assert result.exit_code == 2
        assert message in result.stderr
        assert not result.stdout
    assert not (tmp_path / "sweeps").exists()


def test_code_that_raises_on_import_is_told_with_its_line(tmp_path: Path) -> None:
    result = call("validate", write_spec(tmp_path, code="x = 1\ny = x / 0\n"))
    assert result.exit_code == 2
    assert "ZeroDivisionError" in result.stderr
    assert "line 2" in result.stderr


def test_simulate_shows_how_many_trials_come_how_far(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    facts = json.loads(call("simulate", spec, "--workers", 4, "--json").stdout)
    assert facts["rungs"][0] == {"step": 1, "trials": 20}
    assert sum(facts["trials"].values()) == 20
    assert 0.5 < facts["occupancy"] <= 1.0
    assert facts == json.loads(call("simulate", spec, "--workers", 4, "--json").stdout)
    assert "on 4 simulated workers" in call("simulate", spec, "--workers", 4).stdout


def test_simulate_takes_changes(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    facts = json.loads(
        call("simulate", spec, "--workers", 2, "--set", "budget.trials=5", "--json").stdout
    )
    assert sum(facts["trials"].values()) == 5
    assert call("simulate", spec, "--workers", 0).exit_code == 2
    spread = call("simulate", spec, "--workers", 2, "--step-sigma", -1)
    assert spread.exit_code == 2
    assert "step_sigma is -1; it must be 0 or more" in spread.stderr


def test_what_is_refused_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    for command in (("run", spec), ("simulate", spec, "--workers", 2)):
        refused = call(*command, "--set", "seed=-1")
        assert refused.exit_code == 2
        assert refused.stderr.startswith("error: sweep.yaml: seed")


def test_a_storage_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    result = call("run", write_spec(tmp_path), "--storage", "/dev/null/x")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_a_directory_with_another_sweep_is_refused(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    simulated_sweep(tmp_path)
    result = call("run", spec)
    assert result.exit_code == 2
    assert "already holds a sweep" in result.stderr
    assert "--name" in result.stderr


# -- changes on the command line --------------------------------------------------------------


def test_changes_reach_every_level_of_the_spec(tmp_path: Path) -> None:
    texts = ["budget.trials=7", "space.lr={loguniform: [1e-3, 1]}", "searcher.name=sobol", "seed=3"]
    spec = changed_spec(write_spec(tmp_path), name="other", changes=read_changes(texts))
    assert (spec.budget.trials, spec.seed, spec.name) == (7, 3, "other")
    assert spec.space["lr"] == {"loguniform": [0.001, 1.0]}
    assert spec.searcher["name"] == "sobol"


def test_both_ways_to_write_a_duration_are_one_key(tmp_path: Path) -> None:
    for key in ("wall_time", "wall_time_s"):
        spec = changed_spec(write_spec(tmp_path), changes=read_changes([f"budget.{key}=90s"]))
        assert spec.budget.wall_time_s == 90.0


def test_a_bare_scheduler_can_be_given_options(tmp_path: Path) -> None:
    path = write_spec(tmp_path, scheduler="fifo")
    spec = changed_spec(path, changes=read_changes(["scheduler.max_t=5"]))
    assert spec.scheduler == {"name": "fifo", "max_t": 5}


def test_an_address_takes_the_place_of_the_local_ray(tmp_path: Path) -> None:
    path = write_spec(tmp_path, cluster={"num_gpus": 2, "max_slots": 3})
    spec = changed_spec(path, address="auto")
    assert (spec.cluster.address, spec.cluster.num_gpus, spec.cluster.max_slots) == (
        "auto",
        None,
        3,
    )
    assert changed_spec(path, address="local").cluster.num_gpus == 2


def test_storage_on_the_command_line_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_spec(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert changed_spec(path, storage=Path("here")).storage_path == tmp_path / "here"
    assert changed_spec(path).storage_path == tmp_path / "a" / "sweeps"


@pytest.mark.parametrize("text", ["budget", "=3", "budget..trials=3", ".=1", ""])
def test_a_change_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"write key=value"):
        read_changes([text])


def test_a_change_below_what_is_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"metric is 'loss' in the spec"):
        changed_spec(write_spec(tmp_path), changes={"metric.name": 1})


def test_a_value_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(SpecError, match=r"--set seed"):
        read_changes(["seed=[1, 2"])


# -- how errors are told ------------------------------------------------------------------------


def test_an_unexpected_error_leaves_its_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(texts: object) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(spec_changes, "read_changes", explode)
    monkeypatch.setattr(cli_output.tempfile, "tempdir", str(tmp_path))
    result = call("simulate", write_spec(tmp_path), "--workers", 1)
    assert result.exit_code == 1
    assert "This is a bug in raysweep" in result.stderr
    assert "Traceback" not in result.stderr
    file = re.search(r"(\S*raysweep-error-\S+\.txt)", result.stderr)
    assert file is not None
    assert "a secret of ours" in Path(file[1]).read_text()


def test_an_interrupt_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(texts: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(spec_changes, "read_changes", interrupted)
    spec = write_spec(tmp_path)
    assert call("simulate", spec, "--workers", 1).exit_code == 130
    result = call("run", spec)
    assert (result.exit_code, result.stderr) == (130, "error: interrupted by SIGINT\n")


def test_messages_cannot_steer_a_terminal(tmp_path: Path) -> None:
    result = call("status", "\x1b[31mred\x07")
    assert result.exit_code == 2
    assert "\x1b[31mred" not in result.stderr
    assert "\x07" not in result.stderr


def test_the_installed_command_keeps_its_exit_codes(tmp_path: Path) -> None:
    shown = process("--version", cwd=tmp_path)
    assert (shown.returncode, shown.stdout.split()[0]) == (0, "raysweep")
    for words in (["run", "missing.yaml"], ["status", "nothing"], ["frobnicate"], ["best"]):
        refused = process(*words, cwd=tmp_path)
        assert refused.returncode == 2
        assert refused.stderr
        assert not refused.stdout
        assert "Traceback" not in refused.stderr


def test_output_into_a_closed_pipe_is_no_error_message(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path)
    done = subprocess.run(
        f"{RAYSWEEP} trials {path} --json | head -1", shell=True, cwd=tmp_path,
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "[\n"
    assert done.stderr == ""


def test_the_command_line_starts_without_the_heavy_imports() -> None:
    code = (
        "import sys, raysweep.orchestrator.cli; "
        "print([m for m in ('ray', 'torch', 'pandas', 'pyarrow', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# -- the manual ---------------------------------------------------------------------------------


def test_every_command_and_option_stands_in_the_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    commands = get_command(app).commands
    assert set(re.findall(r"^## ([a-z]+)$", manual, re.M)) == set(commands)
    for name, command in commands.items():
        section = manual.split(f"\n## {name}\n")[1].split("\n## ")[0]
        options = {o for p in command.params for o in p.opts if o.startswith("--")}
        for option in options - {"--help"}:
            assert option in section, (name, option)


def test_every_exit_code_stands_in_the_manual_and_in_the_help() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    shown = call("--help").stdout
    for code in (0, 1, 2, 3, 75):
        assert f"\n| {code} | " in manual
        assert re.search(rf"\b{code} ", shown)
