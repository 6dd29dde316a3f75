"""Searchers and schedulers given as Python objects: run, stored without a pickle, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysweep.orchestrator.rebuild import Objects, new_state
from raysweep.orchestrator.spec import SweepSpec
from raysweep.schedulers.asha import StoppingAsha
from raysweep.trials.errors import SpecError
from tests.orchestrator.harness import OneNumber

WRITTEN: dict[str, Any] = {
    "trainable": "train:train", "space": {"x": {"uniform": [0, 1]}}, "metric": "loss",
    "mode": "min", "budget": {"trials": 4},
}  # fmt: skip


def test_a_spec_keeps_the_names_of_objects() -> None:
    spec = SweepSpec.from_dict({**WRITTEN, "searcher": OneNumber(), "scheduler": StoppingAsha(9)})
    assert spec.searcher == {"name": "<python:OneNumber>"}
    assert spec.scheduler == {"name": "<python:StoppingAsha>"}
    assert SweepSpec.from_dict(spec.to_dict()) == spec


def test_an_object_may_end_the_sweep_without_a_budget() -> None:
    written = {**WRITTEN, "searcher": OneNumber(5)} | {"budget": {}}
    assert SweepSpec.from_dict(written).budget.trials is None


def test_a_class_is_no_object() -> None:
    with pytest.raises(SpecError, match=r"searcher: got <class .*write a name"):
        SweepSpec.from_dict({**WRITTEN, "searcher": OneNumber})


def test_a_missing_object_is_asked_for() -> None:
    spec = SweepSpec.from_dict({**WRITTEN, "searcher": OneNumber()})
    with pytest.raises(SpecError, match=r"searcher: .* object OneNumber, .*resume\(path, searcher"):
        new_state(spec)
    searcher = OneNumber()
    assert new_state(spec, Objects(searcher)).advice.searcher is searcher


@pytest.mark.ray
def test_a_sweep_with_objects_is_resumed_with_fresh_ones(ray_cluster: Any, tmp_path: Path) -> None:
    import raysweep

    def train(config: dict[str, Any]) -> Any:
        for step in range(9):
            yield {"loss": (config["x"] - 0.3) ** 2 + 1 / (step + 1)}

    first = raysweep.run(
        train, {"x": raysweep.uniform(0, 1)}, metric="loss", trials=4, storage=tmp_path,
        searcher=OneNumber(), scheduler=StoppingAsha(9), progress=False,
    )  # fmt: skip
    assert len(first.trials) == 4
    with pytest.raises(SpecError, match="pass a fresh one"):
        raysweep.resume(first.path, trainable=train, progress=False)
    fresh = OneNumber()
    second = raysweep.resume(
        first.path, trainable=train, searcher=fresh, scheduler=StoppingAsha(9),
        changes={"budget.trials": 6}, progress=False,
    )  # fmt: skip
    assert len(second.trials) == 6
    assert fresh._made == 6, "four told again from the journal, two new"
    known = {(row.trial_id, row.step) for row in second.reports.itertuples()}
    assert set(fresh.told) == known
