"""What a sweep takes from earlier ones: read once, checked before the start, kept with the sweep."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.session import Session
from raysweep.orchestrator.earlier import FILE, digest_of, encoded, kept_earlier, read_earlier
from raysweep.orchestrator.replay import check_replay
from raysweep.orchestrator.simulate import simulate
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.results.read import read
from raysweep.searchers.setting import Earlier
from raysweep.trials.errors import SpecError, StoreCorrupt
from raysweep.trials.goal import WORST
from tests.orchestrator.cli_sweeps import SPEC, simulated_sweep


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated_sweep(tmp_path_factory.mktemp("before"), name="before")


def spec_of(folder: Path, sweeps: list[Any], **changes: Any) -> SweepSpec:
    searcher = {"name": "transfer", "sweeps": sweeps}
    return SweepSpec.from_dict({**SPEC, "name": "after", "searcher": searcher, **changes}, folder)


def test_configs_and_best_scores_are_taken(before: Path, tmp_path: Path) -> None:
    (found,) = read_earlier(spec_of(tmp_path, [str(before)]))
    trials = read(before).trials
    assert found.name == "before"
    assert list(found.scores) == trials.sort_values("trial_id")["best_value"].tolist()
    assert len(found.configs) == 20
    assert found.configs[0].keys() >= {"lr", "optimizer"}


def test_a_path_is_relative_to_the_spec(before: Path) -> None:
    folder = before.parent.parent
    relative = str(before.relative_to(folder))
    assert read_earlier(spec_of(folder, [relative])) == read_earlier(spec_of(folder, [str(before)]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "accuracy"}, r"searcher.sweeps\[0\]: .* has no metric 'accuracy', by which"),
        ({"mode": "max"}, r"wants loss to be min, this sweep wants it to be max; leave it out"),
        ({"space": {"depth": {"randint": [1, 9]}}}, r"shares no parameter with this sweep: it has"),
    ],
)
def test_a_sweep_that_does_not_fit_is_refused(
    before: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        read_earlier(spec_of(tmp_path, [str(before)], **changes))


def test_a_path_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"searcher.sweeps\[0\]: .*nowhere"):
        read_earlier(spec_of(tmp_path, ["nowhere"]))


def test_what_was_taken_comes_back_from_the_file_alone(tmp_path: Path) -> None:
    taken = (
        Earlier("one", ({"lr": 0.1}, {"lr": 0.2}), (0.5, WORST), {"rows": 100.0}),
        Earlier("two", ({"lr": 0.3},), (-1.0,)),
    )
    manifest = {"earlier": digest_of(taken)}
    spec = spec_of(tmp_path, ["gone", "gone-too"])
    with pytest.raises(StoreCorrupt, match=rf"{FILE} is missing, and .*gone"):
        kept_earlier(tmp_path, manifest, spec)
    (tmp_path / FILE).write_bytes(encoded(taken))
    assert kept_earlier(tmp_path, manifest, spec) == taken
    (tmp_path / FILE).write_bytes(encoded(taken[:1]))
    with pytest.raises(StoreCorrupt, match=rf"{FILE} is damaged: restore it from a copy"):
        kept_earlier(tmp_path, manifest, spec)


def test_a_file_that_was_never_written_is_made_again_from_the_same_sweeps(
    before: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(before, copy)
    spec = spec_of(tmp_path, [str(copy)])
    taken = read_earlier(spec)
    assert kept_earlier(tmp_path, {"earlier": digest_of(taken)}, spec) == taken
    with pytest.raises(StoreCorrupt, match="the sweeps that it was made of have changed since"):
        kept_earlier(tmp_path, {"earlier": "0" * 64}, spec)


def train(config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    yield {"loss": config["lr"]}


@pytest.mark.ray
def test_a_resume_needs_no_folder_but_its_own(
    before: Path, tmp_path: Path, ray_cluster: Session
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(before, copy)
    fifo: dict[str, Any] = {"scheduler": "fifo", "trainable": train, "storage": str(tmp_path)}
    spec = spec_of(tmp_path, [str(copy)], budget={"trials": 3}, **fifo)
    first = Sweep.create(spec, train=train)
    assert first.run(handle_signals=False).exit_code == 0
    shutil.rmtree(copy)
    again = Sweep.reopen(first.path, train=train, changes={"budget.trials": 6})
    assert again.run(handle_signals=False).exit_code == 0
    assert len(read(first.path).trials) == 6
    assert check_replay(first.path) == []


def test_the_simulator_starts_from_them_and_says_why(before: Path, tmp_path: Path) -> None:
    from raysweep.trials.events import Suggested

    reasons: list[str] = []

    def observe(event: Any, verdicts: Any) -> None:
        if isinstance(event, Suggested):
            reasons.append(str((event.why or {}).get("model")))

    spec = spec_of(tmp_path, [str(before)], budget={"trials": 8})
    simulate(spec, workers=2, observe=observe)
    assert "portfolio" in reasons
