"""Shares that grow: by hand, on a rough simulated cluster, and on real Ray."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from raysweep.cluster.session import Session
from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.cli import app
from raysweep.orchestrator.rebuild import Objects
from raysweep.orchestrator.replay import check_replay
from raysweep.orchestrator.shares import Shares
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.sweep import Sweep
from raysweep.results.read import Results, read
from raysweep.results.verify import verify
from raysweep.schedulers.base import Promotion
from raysweep.trainables.base import TrialContext
from raysweep.trials import events
from raysweep.trials.decisions import CONTINUE, Decision, Finish, Pause, Reason, Verdict
from raysweep.trials.errors import SpecError
from raysweep.trials.trial import Config, Outcome, Report
from tests.orchestrator.harness import Memory, make_state, run

ASHA = {"name": "asha", "max_t": 81, "form": "promotion"}
STOPPING = {"name": "asha", "max_t": 81, "form": "stopping"}
LADDER = Shares(((9, 2), (27, 4)))
FOUR_GPUS = Machine(workers=16, slots_per_device=4, step_sigma=0.3, slot_start_s=1.0, gpu=0.25)


class Watch:
    """Who ran on slots of which size, and how much of the cluster was busy."""

    def __init__(self, machine: Machine, shares: Shares, scheduler: dict[str, Any], **rules: Any):
        self.state, self.memory = make_state(scheduler, shares=shares, **rules), Memory()
        self.places: dict[str, tuple[str, str, int]] = {}
        self.sizes: Counter[tuple[int, int]] = Counter()  # (first step, size) → attempts
        self.most: Counter[tuple[str, str]] = Counter()
        self.busy_s = self._at = 0.0
        self._busy = 0
        self.use_until_last_new = 0.0
        self._machine = machine
        seed = rules.get("seed", 0)
        self.closed = run(self.state, machine, self.memory, seed=seed, observe=self._see)

    def _see(self, event: events.Event, verdicts: Sequence[Verdict]) -> None:
        self.busy_s += (event.at - self._at) * self._busy
        self._at, self._busy = event.at, self.state.slots.busy_units
        if isinstance(event, events.SlotUp):
            self.places[event.slot] = (event.node, event.device, event.size)
        elif isinstance(event, events.SlotDown):
            self.places.pop(event.slot, None)
        elif isinstance(event, events.Started):
            self.sizes[event.step, self.places[event.slot][2]] += 1
        elif isinstance(event, events.Suggested) and event.at:
            self.use_until_last_new = self.busy_s / event.at / self._machine.workers
        there: Counter[tuple[str, str]] = Counter()
        for node, device, size in self.places.values():
            there[node, device] += size
        self.most |= there


def test_promoted_trials_hold_more_and_the_cluster_stays_busy() -> None:
    """Slots come up in as long as a step takes, and at most 0.1 of all slot time is idle."""
    watch = Watch(FOUR_GPUS, LADDER, ASHA, budget=Budget(trials=1000))
    assert set(watch.sizes) == {(0, 1), (1, 1), (3, 1), (9, 2), (27, 4)}
    assert watch.sizes[27, 4] > 10
    assert watch.use_until_last_new > 0.9
    assert max(watch.most.values()) == 4, "no device is booked over"


def test_a_trial_that_need_not_pause_pauses_where_its_share_grows() -> None:
    watch = Watch(FOUR_GPUS, LADDER, STOPPING, budget=Budget(trials=300))
    assert {(9, 2), (27, 4)} < set(watch.sizes)
    assert set(watch.sizes) == {(0, 1), (9, 2), (27, 4)}
    verbs = Counter(v.rule for _, verdicts in watch.memory.records for v in verdicts)
    assert verbs["larger share"] == watch.sizes[9, 2] + watch.sizes[27, 4]


def test_survivors_end_with_a_whole_device() -> None:
    watch = Watch(FOUR_GPUS, Shares(elastic=True), ASHA, budget=Budget(trials=100))
    assert (27, 4) in watch.sizes
    assert not any(size > 1 for step, size in watch.sizes if step < 3)


def test_whose_patience_is_over_runs_small() -> None:
    """All slots are on one device, where long trials never leave three slots at once."""
    machine = FOUR_GPUS._replace(workers=4)
    hasty = Watch(machine, Shares(((1, 4),), patience_s=0.0), ASHA, budget=Budget(trials=60))
    assert hasty.sizes[1, 1] > hasty.sizes[1, 4]
    patient = Watch(machine, Shares(((1, 4),), patience_s=1e6), ASHA, budget=Budget(trials=60))
    assert {size for step, size in patient.sizes if step} == {4}


def test_nodes_are_given_back_before_the_last_trial_has_ended() -> None:
    """Each device is a node of its own in the simulator; one trial is the last to run."""
    machine = FOUR_GPUS._replace(step_sigma=1.0)
    plain, elastic = (
        Watch(machine, Shares(elastic=given), {"name": "fifo", "max_t": 9})
        for given in (False, True)
    )
    assert len(plain.places) == 16
    assert len({node for node, _, _ in elastic.places.values()}) == 1
    assert elastic.closed.exit_code == 0
    assert elastic.closed.at == plain.closed.at


def test_what_was_spent_counts_the_shares() -> None:
    """Each attempt's time on its slot times the slot's size times a quarter of a GPU."""
    watch = Watch(FOUR_GPUS, LADDER, ASHA, gpu=0.25, budget=Budget(trials=200))
    assert watch.state.spend.gpu_s == pytest.approx(watch.busy_s * 0.25)
    alike = Watch(FOUR_GPUS, Shares(), ASHA, gpu=0.25, budget=Budget(trials=200))
    assert watch.state.spend.gpu_s > 1.1 * alike.state.spend.gpu_s


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    shares=st.builds(
        Shares,
        sizes=st.sampled_from([((1, 2),), ((1, 2), (3, 4)), ((3, 4),)]),
        elastic=st.booleans(),
        patience_s=st.sampled_from([0.0, 5.0, 1000.0]),
    ),
    crash_rate=st.sampled_from([0.0, 0.1]),
    start_s=st.sampled_from([0.0, 3.0]),
)
def test_no_device_is_ever_booked_over_and_nobody_waits_for_ever(
    seed: int, shares: Shares, crash_rate: float, start_s: float
) -> None:
    machine = Machine(
        workers=8, slots_per_device=4, step_sigma=0.8, save_s=0.5, slot_start_s=start_s,
        crash_rate=crash_rate, loss_rate=crash_rate / 2,
    )  # fmt: skip
    scheduler = {"name": "asha", "max_t": 9, "form": "promotion"}
    watch = Watch(machine, shares, scheduler, seed=seed, retries={"crash": 99, "infra": 99})
    assume("failed alike" not in watch.closed.reason)
    assert watch.closed.exit_code == 0
    assert set(watch.most.values()) == {4}


BASE: dict[str, Any] = {
    "name": "s",
    "trainable": "train:train",
    "space": {"x": {"choice": [1, 2, 3, 4, 5, 6, 7, 8, 9]}},
    "metric": "loss",
    "mode": "min",
    "searcher": "grid",
    "scheduler": {"name": "asha", "max_t": 9},
}


def test_a_spec_says_what_grows() -> None:
    spec = SweepSpec.from_dict({**BASE, "resources": {"gpu": 0.25, "gpu_from": {9: 0.5, 27: 1}}})
    assert spec.resources.shares() == Shares(((9, 2), (27, 4)))
    again = SweepSpec.from_dict(spec.to_dict())
    assert again == spec
    pairs = [[27, 1], [9, 0.5]]
    text = {**BASE, "resources": {"gpu": 0.25, "gpu_from": pairs, "patience": "2m"}}
    assert SweepSpec.from_dict(text).resources.shares() == Shares(((9, 2), (27, 4)), False, 120.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources": {"gpu": 0.25, "gpu_from": {9: 0.3}}}, "allowed are 0.5, 1"),
        (
            {"resources": {"gpu": 0.25, "gpu_from": 0.5}},
            r"pairs of a step and an amount, e.g. \[\[9, 0.5",
        ),
        (
            {"resources": {"gpu": 0.25, "gpu_from": {9: 1}}, "scheduler": "fifo"},
            "under fifo a trial runs to its end in one go",
        ),
        (
            {"resources": {"gpu": 0.25, "gpu_from": {9: 1}}, "cluster": {"max_slots": 3}},
            "max_slots is 3, .* allow 4 or more",
        ),
        ({"resources": {"patience": -1}}, "patience"),
        (
            {
                "resources": {"gpu": 0.25, "elastic": True},
                "scheduler": {"name": "asha", "max_t": 9, "unit": "seconds"},
            },
            "unit is seconds, and what a step costs hangs on the share",
        ),
    ],
)
def test_a_spec_that_cannot_grow_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SweepSpec.from_dict({**BASE, **changes})


def training(gate: Path) -> Any:
    """The smaller x, the better and the faster; it begins once there is a file at `gate`."""

    def train(config: Mapping[str, Any], trial: TrialContext) -> Iterator[dict[str, float]]:
        import ray

        trial.on_save(lambda folder: (folder / "x").write_text(str(config["x"])))
        assigned = ray.get_runtime_context().get_assigned_resources()
        while not gate.exists():
            threading.Event().wait(0.05)
        for _ in range(trial.step, 100):
            threading.Event().wait(0.03 * config["x"])
            yield {"loss": config["x"], "assigned": assigned["GPU"], "told": trial.gpu}

    return train


class BestOfAll:
    """Everybody pauses after one step; once all have, the best one alone goes on to step 9."""

    def __init__(self) -> None:
        self.paused: list[tuple[float, str]] = []

    def grant(self, trial: str, config: Config) -> int:
        return 1

    def on_report(self, report: Report) -> Decision:
        if report.step == 1:
            self.paused.append((report.score, report.trial))
            return Pause(Reason("wait"))
        return Finish(Reason("won")) if report.step == 9 else CONTINUE

    def next_paused(self, more: bool = True) -> Promotion | None:
        if more or len(self.paused) != 9:
            return None
        best, self.paused = min(self.paused)[1], []
        return Promotion(best, 9, Reason("best of all"))

    def on_end(self, trial: str, outcome: Outcome) -> None:
        pass

    def state(self) -> dict[str, Any]:
        return {"paused": self.paused}

    def load(self, state: dict[str, Any]) -> None:
        self.paused = [(score, trial) for score, trial in state["paused"]]


def on_ray(folder: Path, slots: int, resources: dict[str, Any], scheduler: Any = None) -> Results:
    """A sweep whose trials begin once all `slots` are there."""
    gate, up, changes = folder / "gate", set[str](), {"scheduler": scheduler} if scheduler else {}
    train = training(gate)

    def observe(event: events.Event, verdicts: Sequence[Verdict]) -> None:
        if isinstance(event, events.SlotUp):
            up.add(event.slot)
        if len(up) == slots:
            gate.touch()

    spec = SweepSpec.from_dict(
        {**BASE, "trainable": train, "storage": str(folder), "resources": resources, **changes}
    )
    sweep = Sweep.create(spec, train=train, objects=Objects(scheduler=scheduler))
    assert sweep.run(handle_signals=False, observe=observe).exit_code == 0
    assert verify(sweep.path) == []
    assert scheduler or check_replay(sweep.path) == []
    results = read(sweep.path)
    assert (results.reports["assigned"] == results.reports["told"]).all()
    return results


@pytest.mark.ray
def test_a_promoted_trial_runs_on_a_larger_share(tmp_path: Path, ray_cluster: Session) -> None:
    results = on_ray(tmp_path, 4, {"cpu": 0.5, "gpu": 0.5, "gpu_from": {3: 1}})
    reports, attempts = results.reports, results.attempts
    assert set(reports[reports.step <= 3]["assigned"]) == {0.5}
    assert set(reports[reports.step > 3]["assigned"]) == {1.0}
    assert set(attempts[attempts.start_step >= 3]["gpu"]) == {1.0}
    finished = results.trials[results.trials.status == "COMPLETED"].trial_id.iloc[0]
    told = CliRunner().invoke(app, ["explain", str(results.path), finished]).stdout
    assert "attempt 1 starts on 0.5 GPU; it may run to step 1" in told
    assert "starts at step 3 on 1 GPU and may run to step 9" in told


@pytest.mark.ray
def test_the_last_one_ends_with_a_whole_device(tmp_path: Path, ray_cluster: Session) -> None:
    results = on_ray(tmp_path, 8, {"cpu": 0.5, "gpu": 0.25, "elastic": True}, BestOfAll())
    reports = results.reports
    assert set(reports[reports.step == 1]["assigned"]) == {0.25}
    assert list(reports[reports.step > 1]["assigned"]) == [1.0] * 8
