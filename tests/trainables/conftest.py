"""Runners of Tune trainables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysweep.trainables.base import as_factory
from raysweep.trainables.load import check_picklable
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trainables.tune import (
    TuneSettings,
    tune_target,
)
from raysweep.trials.actions import Stop
from raysweep.trials.clock import SystemClock
from raysweep.trials.names import nested
from raysweep.trials.ray_names import private
from tests.trainables.tune_trials import (
    WHY,
    Here,
    MakeRunner,
    start,
)

SESSION = "ray.train._internal.session:_session"


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a Tune trial does, the process is as before: folder, session, variables."""
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", "")  # Tune sets it
    before = Path.cwd()
    yield
    assert Path.cwd() == before
    assert private(SESSION) is None


@pytest.fixture
def make_tune(tmp_path: Path, undisturbed: None) -> Iterator[MakeRunner]:
    made: list[Runner] = []

    def make(target: Any, *, packed: bool = False, **options: Any) -> Runner:
        named = {k: options.pop(k) for k in ("trial_names", "resources") if k in options}
        settings = TuneSettings(nested, "exp", str(tmp_path), unwind_s=0.3, **named)
        wrapped = tune_target(target, settings)
        code = check_picklable(wrapped) if packed else Here(as_factory(wrapped))
        options = {"metrics": ("loss",), **options}
        made.append(Runner(HostSpec(code, str(tmp_path), **options), SystemClock(), "node1"))
        return made[-1]

    yield make
    for runner in made:
        runner.exchange([start("t999999", run_to=0), Stop("t999999", 1, "s1", WHY)], 0)
        runner.exchange([], 0)  # one that failed to start is cleaned up after
