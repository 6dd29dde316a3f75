"""Failed trials that get another attempt: what is kept, what is recorded, and that nothing is lost."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.simulated import Machine, SimulatedPool
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.loop import FOREVER_S, Loop
from raysweep.orchestrator.proposer import Proposer
from raysweep.orchestrator.rebuild import new_state, replayed
from raysweep.orchestrator.replay import check_replay
from raysweep.orchestrator.retry import failed_trials
from raysweep.orchestrator.rules import Keep
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.story import tell
from raysweep.results.read import read
from raysweep.results.store import Store
from raysweep.results.verify import verify
from raysweep.trainables.checkpoint import write_checkpoint
from raysweep.trials import actions, events
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Closed, ErrorClass, Event, Opened, Retried
from raysweep.trials.trial import Status
from tests.orchestrator.cli_sweeps import SPEC
from tests.orchestrator.harness import Crash, Hand, dropped, make_state

FIFO = {"name": "fifo", "max_t": 9}
ASHA = {"name": "asha", "max_t": 9}
ROUGH = Machine(workers=3, error_rate=0.1, every_steps=2)
MENDED = Machine(workers=3, every_steps=2)


class Driver:
    """Drives a sweep directory on the simulated pool, as `Sweep` does on Ray's."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        changes = {"max_failed_share": 1.0, **changes}
        self.spec = SweepSpec.from_dict({**SPEC, **changes}, folder)
        self.path, self.epoch = folder / "s", 0

    def drive(self, machine: Machine, retry: list[str] | None = None, last: int = 10**9) -> Closed:
        """A driver's life; `last` is the number of events after which it dies."""
        clock, state, spec = ManualClock(), new_state(self.spec), self.spec
        retried: list[Retried] = []
        self.epoch += 1
        if self.epoch == 1:
            manifest = {
                "name": spec.name, "seed": spec.seed, "spec": spec.to_dict(),
                "folder": str(self.path.parent), "metrics": dict(spec.goal.metrics),
                "columns": spec.parsed_space.columns(),
            }  # fmt: skip
            store = Store.create(self.path, manifest, clock=clock, fsync="os")
        else:
            if retry is not None:
                retried = failed_trials(read(self.path), retry)
            store, recovered = Store.open(self.path, clock=clock, fsync="os")
            if recovered.state is not None:
                state.load(recovered.state)
            for _ in replayed(spec, state, recovered.records):
                pass
        at, seen = state.spend.at, iter(range(last))

        def observe(event: Event, verdicts: Any) -> None:
            if next(seen, None) is None:
                raise Crash

        clock.jump_to(at)
        loop = Loop(
            state,
            SimulatedPool(machine, self.train, clock, seed=self.epoch),
            store,
            clock=clock,
            origin_s=0.0,
            propose=Proposer(state.advice.searcher, spec.parsed_space.check, spec.seed),
            observe=observe,
            patience_s=FOREVER_S,
        )
        try:
            return loop.run(
                Opened(at, self.epoch, 0.0, "here"), [each._replace(at=at) for each in retried]
            )
        finally:
            store.close()

    @staticmethod
    def train(config: Any, seed: int, step: int) -> dict[str, Any]:
        return {"loss": config["lr"] + 1 / step}

    @property
    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = read(self.path).status()["trials"]
        return counts

    def check(self) -> None:
        """Nothing is wrong with the directory but that the simulator writes no checkpoints."""
        findings = [each for each in verify(self.path) if "checkpoint" not in each.message]
        assert not findings
        assert not list(check_replay(self.path))


@pytest.mark.parametrize(
    "scheduler",
    [FIFO, ASHA, {**ASHA, "form": "stopping"}, {"name": "hyperband", "max_t": 9},
     {"name": "median", "max_t": 9}, {"name": "curve", "max_t": 9}],
    ids=lambda scheduler: "-".join(map(str, scheduler.values())),
)  # fmt: skip
def test_every_failed_trial_runs_and_the_record_is_whole(
    tmp_path: Path, scheduler: dict[str, Any]
) -> None:
    driver = Driver(tmp_path, scheduler=scheduler)
    driver.drive(ROUGH)
    failed = read(driver.path).trials.query("status == 'FAILED'")["trial_id"]
    before, configs = driver.counts, read(driver.path).trials.set_index("trial_id")["config_json"]
    assert before["FAILED"] >= 2
    used = read(driver.path).status()["budget"]["trials"]["used"]
    closed = driver.drive(MENDED, retry=[])
    assert closed.exit_code == 0
    assert "FAILED" not in driver.counts
    assert sum(driver.counts.values()) == sum(before.values()) == 20
    after = read(driver.path)
    assert after.trials.set_index("trial_id")["config_json"].equals(configs)
    assert after.status()["budget"]["trials"]["used"] == used, "no budget counts them again"
    assert after.trials["error"].isna().all()
    assert "goes on (failed before)" in " ".join(
        m.text for m in tell(after, failed.iloc[0]).moments
    )
    driver.check()


def test_only_those_that_are_named(tmp_path: Path) -> None:
    driver = Driver(tmp_path, scheduler=FIFO)
    driver.drive(ROUGH)
    failed = read(driver.path).trials.query("status == 'FAILED'")["trial_id"].tolist()
    driver.drive(MENDED, retry=failed[:1])
    assert driver.counts["FAILED"] == len(failed) - 1
    driver.check()


def test_one_that_fails_again_has_failed(tmp_path: Path) -> None:
    driver = Driver(tmp_path, scheduler=FIFO)
    driver.drive(ROUGH)
    before = driver.counts
    two = read(driver.path).trials.query("status == 'FAILED'")["trial_id"].tolist()[:2]
    driver.drive(Machine(workers=3, raises_at=1), retry=two)
    assert driver.counts == before
    driver.drive(MENDED, retry=[])
    assert "FAILED" not in driver.counts
    driver.check()


@pytest.mark.parametrize("scheduler", [FIFO, ASHA])
def test_a_driver_that_dies_at_any_event_of_a_retry_loses_none(
    tmp_path: Path, scheduler: dict[str, Any]
) -> None:
    """As of every seventh event; those not yet on record are asked for again."""
    for last in range(0, 60, 7):
        driver = Driver(tmp_path / str(last), scheduler=scheduler, budget={"trials": 8})
        (tmp_path / str(last)).mkdir()
        driver.drive(ROUGH)
        with suppress(Crash):  # under asha it may have come to its end
            driver.drive(MENDED, retry=[], last=last)
        assert driver.drive(MENDED, retry=[]).exit_code == 0
        assert "FAILED" not in driver.counts
        assert sum(driver.counts.values()) == 8
        driver.check()


def test_what_cannot_be_retried_is_refused(tmp_path: Path) -> None:
    driver = Driver(tmp_path, scheduler=FIFO)
    driver.drive(ROUGH)
    rows = read(driver.path).trials
    fine = rows.query("status == 'COMPLETED'")["trial_id"].iloc[0]
    for name, why in (("t000099", "there is no trial 't000099'"), (fine, "has not failed")):
        with pytest.raises(SpecError, match=why):
            failed_trials(read(driver.path), [name])


def test_a_checkpoint_that_is_whole_is_gone_on_from(tmp_path: Path) -> None:
    driver = Driver(tmp_path, scheduler=FIFO, checkpoint={"keep_stopped": True})
    driver.drive(ROUGH)
    rows = read(driver.path).trials.query("status == 'FAILED' and checkpoint.notna()")
    whole, lost = rows.iloc[0], rows.iloc[1]
    attempt, step = map(int, whole["checkpoint"].rsplit("/", 1)[-1].split("-"))
    write_checkpoint(driver.path, whole["trial_id"], attempt, step, lambda f: (f / "x").touch())
    found = {each.trial: each for each in failed_trials(read(driver.path), [])}
    assert found[whole["trial_id"]][4:] == (step, whole["checkpoint"])
    assert found[lost["trial_id"]][4:] == (0, None)
    driver.drive(MENDED, retry=[])
    attempts = read(driver.path).attempts.query(f"trial_id == '{whole['trial_id']}'")
    assert attempts["start_step"].tolist()[-1] == step
    driver.check()


def failed_once(keep: Keep = Keep()) -> Hand:  # noqa: B008 - immutable
    """A sweep of one trial that has failed at step 3, after a checkpoint at step 2."""
    hand = Hand(make_state(FIFO, budget=Budget(trials=1), keep=keep, max_failed_share=1.0))
    for step in (1, 2, 3):
        hand.report("t000000", step, 0.5)
    hand.give(events.Checkpointed(0.0, "t000000", 1, 2, "c/1-2"))
    hand.give(events.Failed(0.0, "t000000", 1, ErrorClass.ERROR, "bug", ""))
    hand.give(events.Opened(1.0, 2, 0.0, "here"))
    return hand


def test_the_last_checkpoint_of_one_that_completes_in_the_end_stays() -> None:
    """It had failed, and what failed trials write late is deleted: that is over."""
    hand = failed_once()
    assert dropped(hand) == ["c/1-2"]
    hand.give(Retried(1.0, "t000000", {"x": 0.5}, 1))
    hand.give(events.SlotUp(1.0, "s9", "n0", ""))
    hand.answers = False
    for step in range(1, 10):
        hand.report("t000000", step, 0.5, attempt=2)
    hand.give(events.Finished(2.0, "t000000", 2, 9, "c/2-9"))
    assert dropped(hand) == ["c/1-2"]
    assert hand.state.ended[Status.COMPLETED] == 1


def test_a_checkpoint_that_its_rule_does_not_go_on_from_is_deleted() -> None:
    """Promotion ASHA grants one step: it wants to see the trial from the start."""
    hand = Hand(make_state(ASHA, budget=Budget(trials=1), keep=Keep(stopped=True)))
    hand.give(events.Failed(0.0, "t000000", 1, ErrorClass.ERROR, "bug", ""))
    hand.give(events.Opened(1.0, 2, 0.0, "here"))
    hand.give(Retried(1.0, "t000000", {"x": 0.5}, 1, 2, "c/1-2"))
    hand.give(events.SlotUp(1.0, "s9", "n0", ""))
    start = hand.last(actions.Start)
    assert (start.attempt, start.step, start.checkpoint, start.run_to) == (2, 0, None, 1)
    assert dropped(hand) == ["c/1-2"]
