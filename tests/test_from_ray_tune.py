"""Scripts of Ray Tune's users run under stock Tune and under ours, and the page about it is right."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import raysweep
from benchmarks import tune_examples
from raysweep.results.layout import is_sweep
from raysweep.results.verify import verify
from tests.test_architecture import ROOT

FOLDER = ROOT / "examples" / "from_ray_tune"
PAGE = (ROOT / "docs" / "from-ray-tune.md").read_text()
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
SECTION = re.compile(r"^\[(\w+)\.py\]\(\.\./examples/.*?(?=^##)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {found[1]: found[0] for found in SECTION.finditer(PAGE)}
TRIALS = {
    "random_search": 9, "class_trainable": 6, "optuna_asha": 8, "pytorch_digits": 4, "loggers": 3,
}  # fmt: skip
SAME_RESULTS = ("class_trainable", "pytorch_digits", "loggers")
MINUTES = 900
SLOW = ("class_trainable", "optuna_asha", "pytorch_digits", "random_search")
"""What they use runs in tests/orchestrator/test_tuner.py as well."""
IN_THE_DEFAULT_RUN = [
    pytest.param(script, marks=pytest.mark.slow) if script in SLOW else script for script in SCRIPTS
]


def block(script: str, language: str) -> str:
    """The one block in a language that the page has on a script."""
    found = [body for kind, body in BLOCK.findall(SECTIONS[script]) if kind == language]
    assert len(found) == 1, f"{script}: {len(found)} blocks of {language}"
    return str(found[0])


def moved(script: str) -> str:
    """A script with the change that the page shows."""
    old, new = block(script, "diff").splitlines()
    lines = (FOLDER / f"{script}.py").read_text().splitlines()
    assert old[0] + new[0] == "-+"
    assert lines.count(old[1:]) == 1, f"{script}.py does not say {old[1:]}"
    return "\n".join(new[1:] if line == old[1:] else line for line in lines)


def run(code: str, folder: Path, *arguments: str, through: Sequence[str] = ()) -> str:
    """Run a script in `folder`, its home; what it printed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.py").write_text(code)
    done = subprocess.run(
        ["env", f"HOME={folder}", sys.executable, *through, "script.py", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=MINUTES, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def configs(table: pd.DataFrame) -> Counter[Any]:
    """Every config, rounded as a CSV file may have rounded it."""
    names = sorted(name for name in table if name.startswith("config/"))
    return Counter(
        tuple(float(f"{v:.9g}") if isinstance(v, float) else v for v in row)
        for row in table[names].itertuples(index=False)
    )


def the_sweep(folder: Path) -> raysweep.Results:
    """The one sweep that a moved script left in its home, which is whole."""
    found = [path for path in (folder / "ray_results").iterdir() if is_sweep(path)]
    assert len(found) == 1
    assert verify(found[0]) == []
    return raysweep.read(found[0])


def test_the_page_has_every_script() -> None:
    assert sorted(SECTIONS) == SCRIPTS == sorted(TRIALS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_the_page_shows_of_a_script_is_in_it(script: str) -> None:
    bare = re.sub(r"\s", "", (FOLDER / f"{script}.py").read_text()).replace(",)", ")")
    parts = block(script, "python").split("# ...\n")
    assert len(parts) >= 1
    for part in parts:
        shown = re.sub(r"\s", "", part).replace(",)", ")")
        assert shown.rstrip(",") in bare, f"{script}.py does not hold\n{part}"
    compile(moved(script), script, "exec")


@pytest.mark.ray
@pytest.mark.timeout(MINUTES)
@pytest.mark.parametrize("script", IN_THE_DEFAULT_RUN)
def test_a_moved_script_runs_as_a_sweep(script: str, tmp_path: Path) -> None:
    said = run(moved(script), tmp_path)
    assert "best config: {" in said
    sweep = the_sweep(tmp_path)
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == len(sweep.trials) == TRIALS[script]
    assert set(sweep.trials["status"]) <= {"COMPLETED", "STOPPED"}
    CHECKS.get(script, lambda *_: None)(sweep, said, tmp_path)


def _class(sweep: raysweep.Results, said: str, folder: Path) -> None:
    reported, loaded = re.findall(r"(?:reported|loaded): ([\d.]+)", said)
    assert float(reported) == pytest.approx(float(loaded))


def _optuna(sweep: raysweep.Results, said: str, folder: Path) -> None:
    assert (sweep.trials["status"] == "STOPPED").sum() >= 2
    running = sweep.attempts[["started_at", "ended_at"]].dropna()
    for started in running["started_at"]:
        at_once = (running["started_at"] <= started) & (running["ended_at"] > started)
        assert at_once.sum() <= 2


def _pytorch(sweep: raysweep.Results, said: str, folder: Path) -> None:
    retried = sweep.trials.set_index("trial_id")["attempts"]
    assert sorted(retried) == [1, 1, 2, 2]
    again = sweep.reports[sweep.reports["attempt"] == 2]
    assert set(again["step"]) == {4, 5, 6}  # epochs 0 to 2 were not repeated
    assert "failed trials: 0" in said
    assert "best model is of epoch 5" in said


def _loggers(sweep: raysweep.Results, said: str, folder: Path) -> None:
    expected = {
        trial: list(rows.sort_values("step")["accuracy"])
        for trial, rows in sweep.reports.rename(columns=sweep.metric_columns).groupby("trial_id")
    }
    assert {len(values) for values in expected.values()} == {4}
    for trial, values in expected.items():
        place = sweep.path / "artifacts" / trial
        assert tensorboard(place)["ray/tune/accuracy"] == pytest.approx(dict(enumerate(values, 1)))
        (file,) = place.glob("wandb/offline-run-*/*.wandb")
        for value in values:  # values are JSON text in W&B's own format
            assert f"{value!r}".encode() in file.read_bytes()
    with warnings.catch_warnings():
        assert mlflow_runs(folder / "mlflow.db") == expected


def tensorboard(folder: Path) -> dict[str, dict[int, float]]:
    """Tag → step → value of the one event file in `folder`.

    A record is its length (8 bytes), a checksum (4), the event, another checksum (4):
    tensorflow/core/lib/io/record_writer.h.
    """
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.glob("events.out.tfevents.*")
    data, place, found = file.read_bytes(), 0, dict[str, dict[int, float]]()
    while place < len(data):
        size = int.from_bytes(data[place : place + 8], "little")
        event = Event.FromString(data[place + 12 : place + 12 + size])
        place += size + 16
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def mlflow_runs(database: Path) -> Mapping[str, list[float]]:
    """Our trial's id → the accuracies that its MLflow run holds, in order of steps."""
    from mlflow.tracking import MlflowClient

    warnings.simplefilter("ignore", DeprecationWarning)  # MLflow's own, of SQLAlchemy
    client = MlflowClient(f"sqlite:///{database}")
    (experiment,) = client.search_experiments(filter_string="name = 'linear'")
    found = {}
    for each in client.search_runs([experiment.experiment_id]):
        assert each.info.status == "FINISHED"
        assert each.data.params.keys() == {"alpha"}
        history = client.get_metric_history(each.info.run_id, "accuracy")
        rows = sorted((point.step, point.value) for point in history)
        found[each.info.run_name.rpartition("_")[2]] = [value for _, value in rows]
    return found


CHECKS = {
    "class_trainable": _class,
    "loggers": _loggers,
    "optuna_asha": _optuna,
    "pytorch_digits": _pytorch,
}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(2 * MINUTES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_and_its_moved_form_come_to_the_same(script: str, tmp_path: Path) -> None:
    run((FOLDER / f"{script}.py").read_text(), tmp_path / "stock")
    run(moved(script), tmp_path / "moved")
    stock, ours = (pd.read_csv(tmp_path / form / "results.csv") for form in ("stock", "moved"))
    assert len(stock) == len(ours)
    if script == "random_search":  # draws are not stock Tune's: only the grid is the same
        assert Counter(stock["config/loss"]) == Counter(ours["config/loss"])
        return
    assert configs(stock) == configs(ours)
    if script in SAME_RESULTS:
        names = sorted(name for name in stock if name.startswith("config/"))
        accuracies = [list(t.sort_values(names)["accuracy"]) for t in (stock, ours)]
        assert accuracies[0] == pytest.approx(accuracies[1])


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(MINUTES)
def test_the_snippet_for_stock_tune_runs(tmp_path: Path) -> None:
    (code,) = [body for kind, body in BLOCK.findall(PAGE) if "ParquetCallback" in body]
    indented = "".join(f"    {line}" if line.strip() else line for line in code.splitlines(True))
    run(f'if __name__ == "__main__":\n{indented}', tmp_path)
    tables = raysweep.read(tmp_path / "ray_results" / "stock" / "raysweep")
    assert len(tables.trials) == 8
    assert tables.best() is not None


EXAMPLES = tune_examples.examples()
QUICK = "custom_func_checkpointing.py"
UNMODIFIED = (
    "async_hyperband_example.py", "custom_checkpointing_with_callback.py", "hyperband_example.py",
    "hyperband_function_example.py", "optuna_example.py", "tune_basic_example.py",
)  # fmt: skip


def check_example(name: str, folder: Path) -> None:
    ran = tune_examples.attempt(EXAMPLES[name], folder, MINUTES)
    outcome = tune_examples.judge(name, ran, folder)
    assert outcome.runs, f"{outcome.why}\n{ran.said[-3000:]}"
    assert outcome.reports >= outcome.trials >= 1


@pytest.mark.ray
@pytest.mark.timeout(MINUTES)
def test_an_example_of_ray_s_runs_unmodified() -> None:
    with tune_examples.scratch() as folder:
        check_example(QUICK, folder)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(MINUTES)
@pytest.mark.parametrize("name", UNMODIFIED)
def test_examples_of_ray_s_run_unmodified(name: str) -> None:
    with tune_examples.scratch() as folder:
        check_example(name, folder)


def test_the_page_says_of_every_example_of_ray_s_whether_it_runs() -> None:
    rows = dict(re.findall(r"^\| `([\w/]+\.py)` \| (yes|no) \|", PAGE, re.MULTILINE))
    assert rows.keys() == EXAMPLES.keys()
    assert {rows[name] for name in (QUICK, *UNMODIFIED)} == {"yes"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "Traceback\nModuleNotFoundError: No module named 'xgboost'",
            "needs the package `xgboost`",
        ),
        ("urllib.error.URLError: <urlopen error>", "needs the network, to download its data"),
        (
            "ValueError: first\nsome.SpecError: PB2 cannot run here",
            "SpecError: PB2 cannot run here",
        ),
        ("something else\n", "something else"),
        ("", "it said nothing"),
    ],
)
def test_why_an_example_does_not_run(said: str, expected: str) -> None:
    assert tune_examples.reason(said) == expected
