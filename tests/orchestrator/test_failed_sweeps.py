"""Sweeps of nothing but failures: what Python and the command line say, and how they are mended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import raysweep
from raysweep.cluster.session import Session
from raysweep.results.read import read
from raysweep.trials.errors import SweepFailed
from tests.orchestrator.cli_sweeps import CODE, write_spec
from tests.orchestrator.test_cli_run import call

pytestmark = pytest.mark.ray
BUGGY = """
def train(config):
    yield {"loss": config["lr"]}
    raise ValueError(f"no column {config['lr']}")
"""


def test_run_raises_with_the_first_error_and_retry_mends_it(
    ray_cluster: Session, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"

    def train(config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
        for step in range(1, 4):
            yield {"loss": config["x"] / step}
            if not mended.exists():
                raise ValueError(f"sample {config['x']} is broken")

    options: dict[str, Any] = {
        "metric": "loss", "name": "s", "storage": tmp_path, "progress": False,
        "cluster": {"max_slots": 2},
    }  # fmt: skip
    space = {"x": raysweep.uniform(0, 1)}
    with pytest.raises(SweepFailed, match=r"first \d+ trials all failed alike") as failed:
        raysweep.run(train, space, trials=40, **options)
    assert failed.value.path == str(tmp_path / "s")
    assert "ValueError: sample 0." in str(failed.value)
    assert "is broken" in str(failed.value)
    rows = read(failed.value.path).trials
    assert len(rows) <= 8, "of 40"
    mended.touch()
    results = raysweep.retry(failed.value.path, trainable=train, progress=False)
    assert results.status()["trials"] == {"COMPLETED": 40}
    assert results.status()["exit_code"] == 0


def test_the_command_line_tells_of_the_first_failure_and_retries(
    ray_cluster: Session, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path, BUGGY, scheduler="fifo", budget={"trials": 3}, max_failed_share=0)
    ran = call("run", spec)
    assert ran.exit_code == 1
    assert "first failure: error: t00000" in ran.stdout
    assert "raysweep retry" in ran.stdout
    (tmp_path / "model.py").write_text(CODE)
    path = tmp_path / "sweeps" / "small"
    assert "got neither trials and --failed" not in call("retry", path, "--failed").stderr
    facts = json.loads(call("status", path, "--json").stdout)
    assert facts["trials"] == {"COMPLETED": 3}
    assert call("verify", path).exit_code == 0
    told = call("explain", path, "0").stdout
    assert "goes on (failed before); attempt 2" in told
    nothing = call("retry", path)
    assert (nothing.exit_code, "name trials" in nothing.stderr) == (2, True)
    done = call("retry", path, "t000001")
    assert (done.exit_code, "has not failed" in done.stderr) == (2, True)


class Deaf:
    """A searcher of the user's whose `tell` always raises."""

    def ask(self, trial: str, stream: Any) -> dict[str, Any]:
        return {"x": stream.uniform()}

    def suggested(self, trial: str, config: Any) -> None:
        pass

    def tell(self, report: Any) -> None:
        raise ValueError("cannot learn")

    def end(self, trial: str, outcome: Any) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        pass


def test_what_a_searcher_raises_is_in_status_events_and_exit_code(
    ray_cluster: Session, tmp_path: Path
) -> None:
    """Before: exit code 0, and no word of it."""

    def train(config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
        yield {"loss": config["x"]}

    results = raysweep.run(
        train, {"x": raysweep.uniform(0, 1)}, metric="loss", name="s", storage=tmp_path,
        progress=False, trials=4, searcher=Deaf(), cluster={"max_slots": 2},
    )  # fmt: skip
    status = results.status()
    assert status["exit_code"] == 4
    assert "the searcher failed: the searcher raised ValueError: cannot learn" in status["reason"]
    (warning,) = status["warnings"]
    assert (warning["source"], warning["count"]) == ("searcher", 1)
    shown = call("status", tmp_path / "s").stdout
    assert "warning  searcher: the searcher raised ValueError: cannot learn" in " ".join(
        shown.split("\n")
    ).replace("    ", "  ")
    assert call("verify", tmp_path / "s").exit_code == 0
