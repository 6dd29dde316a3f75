"""SIGKILL of a stock Ray Tune script under our schedulers, and `Tuner.restore(...).fit()`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.session import Session
from raysweep.schedulers.tune_file import NAME

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[2]
TRIALS = 12


@pytest.fixture(autouse=True)
def _plain_tune(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "0.5",
        "RAY_AIR_NEW_OUTPUT": "0",
        "PYTHONWARNINGS": "ignore",
    }.items():
        monkeypatch.setenv(name, value)


class Script:
    """One experiment, run by one process after the other."""

    def __init__(self, address: str, folder: Path, scheduler: str, limit: int = 3) -> None:
        self.folder = folder
        self._command = [
            sys.executable, "-m", "tests.schedulers.tune_driver", address, str(folder), scheduler,
            str(TRIALS), str(limit),
        ]  # fmt: skip

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def kill_after(self, results: int) -> None:
        said = []
        with self._start() as driver:
            try:
                assert driver.stdout is not None
                while results and (line := driver.stdout.readline()):
                    said.append(line)
                    results -= line.startswith("result")
            finally:
                driver.kill()
        assert not results, f"it ended before that: {''.join(said)[-3000:]}"

    def finish(self, timeout_s: float) -> dict[int, int] | None:
        """How far each trial came; None: it still ran after `timeout_s`."""
        with self._start() as driver:
            try:
                said, _ = driver.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                return None
            finally:
                driver.kill()
        last = [line for line in said.splitlines() if line.startswith("came ")]
        assert driver.returncode == 0, said[-3000:]
        assert last, said[-3000:]
        outcome = json.loads(last[0].removeprefix("came "))
        assert outcome["errors"] == 0
        return dict(outcome["came"])

    def state(self) -> dict[str, Any]:
        text = (self.folder / "experiment" / NAME).read_text()
        return dict(json.loads(text)["ledger"]["scheduler"])


def test_hyperband_finishes_after_a_kill(ray_cluster: Session, tmp_path: Path) -> None:
    """Twelve trials in brackets of 9 and 3, killed in the middle of the first bracket's first rung."""
    script = Script(ray_cluster.address, tmp_path, "hyperband")
    script.kill_after(6)
    assert script.state()["brackets"]["0"]["scores"], "what it knew is on disk"
    came = script.finish(timeout_s=90)
    assert came is not None, "it hangs"
    assert Counter(came.values()) == {1: 6, 3: 4, 9: 2}
    assert came[0] == 9


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheduler", ["promotion", "stopping"])
def test_ashas_rungs_survive_two_kills(
    scheduler: str, ray_cluster: Session, tmp_path: Path
) -> None:
    script = Script(ray_cluster.address, tmp_path, scheduler)
    script.kill_after(7)
    before = script.state()["rungs"][0]
    script.kill_after(4)
    assert script.state()["rungs"][0][: len(before)] == before, "the order of arrival, too"
    came = script.finish(timeout_s=240)
    assert came is not None
    assert len(came) == TRIALS
    assert len(script.state()["rungs"][0]) == TRIALS, "each trial counts once"
    assert max(came.values()) == 9


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("results", [3, 11, 17, 23])
@pytest.mark.parametrize("limit", [0, 4])
def test_hyperband_finishes_whenever_it_is_killed(
    results: int, limit: int, ray_cluster: Session, tmp_path: Path
) -> None:
    script = Script(ray_cluster.address, tmp_path, "hyperband", limit)
    script.kill_after(results)
    came = script.finish(timeout_s=240)
    assert came is not None, "it hangs"
    assert Counter(came.values()) == {1: 6, 3: 4, 9: 2}
