"""Our schedulers inside Ray Tune: saved, restored, killed at any moment."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysweep.schedulers.tune import (
    ASHAScheduler,
    HyperBandScheduler,
)
from raysweep.schedulers.tune_file import NAME
from raysweep.trials.errors import SpecError
from tests.schedulers.fake_tune import FakeTrial, FakeTune
from tests.schedulers.test_tune_scheduler import KINDS, ran, steady


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_restore_bring_everything_back_as_json(kind: str, tmp_path: Path) -> None:
    scheduler, path = KINDS[kind](), tmp_path / "saved" / "state"
    fake = FakeTune(scheduler, steady, folder=tmp_path)
    for _ in range(15):
        fake.turn()
    scheduler.save(str(path))
    again = KINDS[kind]()
    again.restore(str(path))
    assert again._ledger.state() == json.loads(path.read_text())["ledger"]
    assert json.loads(json.dumps(again._ledger.state())) == json.loads(
        json.dumps(scheduler._ledger.state())
    )


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    ASHAScheduler(max_t=9, mode="min").save(str(path))
    with pytest.raises(SpecError, match=r"of scheduler asha .*not of hyperband"):
        HyperBandScheduler(max_t=9, mode="min").restore(str(path))
    path.write_text('{"half": ')
    with pytest.raises(SpecError, match="give a file that `save` wrote"):
        ASHAScheduler(max_t=9, mode="min").restore(str(path))


def test_other_experiments_leave_nothing_behind(tmp_path: Path) -> None:
    """A new experiment in the folder of an old one, whose trials have other names."""
    first = FakeTune(KINDS["stopping"](), steady, folder=tmp_path, slots=1).fit()
    assert (tmp_path / NAME).exists()
    scheduler = KINDS["stopping"]()
    second = FakeTune(scheduler, steady, folder=tmp_path, slots=1, total=0)
    for number in range(3):
        trial = FakeTrial(number, second.storage)
        trial.trial_id = f"other_{number}"
        second.add(trial)
    second.fit()
    assert ran(first)[0] == ran(second)[0] == 9
    assert scheduler._ledger.scheduler.state()["rungs"][0] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("kind", KINDS)
@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    killed=st.integers(0, 40),
    older=st.integers(0, 10),
    seed=st.integers(0, 10**6),
    state=st.sampled_from(["kept", "kept", "older", "gone", "torn"]),
    checkpoints=st.booleans(),
    limit=st.sampled_from([0, 3]),
    turn_s=st.sampled_from([1.0, 0.004]),
)
def test_killed_at_any_moment_and_restored_it_ends_and_counts_nothing_twice(
    kind: str, killed: int, older: int, seed: int, state: str, checkpoints: bool, limit: int,
    turn_s: float, tmp_path: Path,
) -> None:  # fmt: skip
    """Tune's record may be older than our file, our file older than Tune's record, or gone."""
    folder = Path(mkdtemp(dir=tmp_path))  # one for each example: the files must not meet
    fake = FakeTune(
        KINDS[kind](), steady, folder=folder, total=12, slots=3, length=9, seed=seed,
        checkpoints=checkpoints, max_concurrent=limit, turn_s=turn_s,
    )  # fmt: skip
    path = folder / NAME
    fake.kill_after = max(0, killed - older)
    fake.fit()
    record, saved = fake.snapshot(), path.read_text() if path.exists() else ""
    fake.kill_after = killed
    fake.fit()
    if state == "older" and saved:
        path.write_text(saved)
        record = fake.snapshot()
    elif state == "gone":
        path.unlink(missing_ok=True)
    elif state == "torn" and path.exists():
        path.write_text(path.read_text()[:-7])
    scheduler = KINDS[kind]()
    again = fake.restore(scheduler, record).fit()
    assert all(trial.is_finished() for trial in again.trials)
    assert len(again.trials) == 12
    if state == "kept":
        assert 9 in [*ran(fake).values(), *ran(again).values()], "somebody came to the end"
    rungs = scheduler._ledger.scheduler.state().get("rungs", [[]])
    assert len(rungs[0]) <= 12


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    killed=st.integers(0, 40),
    older=st.integers(0, 10),
    seed=st.integers(0, 10**6),
    checkpoints=st.booleans(),
    limit=st.sampled_from([0, 3]),
)
def test_hyperband_comes_to_the_same_end_whenever_it_is_killed(
    killed: int, older: int, seed: int, checkpoints: bool, limit: int, tmp_path: Path
) -> None:
    """Nine trials in the first bracket and three in the second; Tune's record may be older.

    A trial that was stopped in the moment of the kill is stopped again at its next report.
    """
    fake = FakeTune(
        KINDS["hyperband"](), steady, folder=Path(mkdtemp(dir=tmp_path)), total=12, slots=3,
        seed=seed, checkpoints=checkpoints, max_concurrent=limit,
    )  # fmt: skip
    fake.kill_after = max(0, killed - older)
    record = fake.fit().snapshot()
    fake.kill_after = killed
    fake.fit()
    again = fake.restore(KINDS["hyperband"](), record).fit()
    far = [max(ran(fake).get(n, 0), ran(again).get(n, 0)) for n in range(12)]
    assert [n - (n in (2, 4)) for n in far] == [9, 3, 3, 1, 1, 1, 1, 1, 1, 9, 3, 3]


@pytest.mark.parametrize("kind", ["stopping", "promotion"])
def test_rungs_survive_a_restart(kind: str, tmp_path: Path) -> None:
    """The last trial is worse than the eight before the crash: it is judged against these."""
    fake = FakeTune(KINDS[kind](), steady, folder=tmp_path, slots=1, total=9, length=9)
    while len({number for number, _, _ in fake.reports}) < 8:
        fake.turn()
    scheduler = KINDS[kind]()
    again = fake.restore(scheduler, fake.snapshot())
    assert len(scheduler._ledger.scheduler.state()["rungs"][0]) >= 7
    again.fit()
    assert ran(again)[8] == 1
