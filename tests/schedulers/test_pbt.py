"""Population based training by hand: who loses, who is copied, and with what config."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.explorer import Perturb, changeable, perturbed
from raysweep.schedulers.pbt import Pbt
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import Pause, RunTo, Stop
from raysweep.trials.domains import Choice, Float, Int
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import SchedulerContract
from tests.orchestrator.harness import GOAL, SPACE, Memory, make_state, run

LR = Space.from_dict({"lr": {"loguniform": [1e-4, 1.0]}})


class TestPbt(SchedulerContract):
    name = "pbt"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "interval": 2}

    def make(self) -> Scheduler:
        return build_scheduler(self.name, self.options, Setting(GOAL, SPACE, 0, 12))

    def test_no_promotable_trial_waits_while_a_slot_is_free(self) -> None:  # type: ignore[override]
        """As the contract has it, with children beside the budget's twelve trials."""
        for workers in (1, 3, 12, 20):
            state = make_state({"name": self.name, **self.options}, seed=workers)
            machine = Machine(workers=workers, step_sigma=0.4, every_steps=2, loss_rate=0.02)
            closed = run(state, machine, Memory(), seed=workers)
            made = 12 + state.waiting.children
            assert closed.reason == f"all {made} trials have run their course"
            assert state.waiting.children > 0
            assert not state.live
            assert not state.advice.errors, state.advice.last_error


def population(**options: Any) -> Pbt:
    """Four members with rates 0.1 to 0.4, and a rung every two steps; all have been started."""
    filled = {"interval": 2, "quantile": 0.25, "resample_probability": 0.0, **options}
    scheduler = build_scheduler("pbt", filled, Setting(GOAL, LR, 0, 4))
    assert isinstance(scheduler, Pbt)
    for number in range(4):
        assert scheduler.grant(f"t00000{number}", {"lr": (number + 1) / 10}) == 2
    return scheduler


def report(scheduler: Scheduler, number: int, step: int, score: float) -> Any:
    return scheduler.on_report(Report(f"t00000{number}", 1, step, {"loss": score}, score))


def test_the_lineage_of_a_population_of_four() -> None:
    """Four scores, a quarter of four is one: the worst goes, a child of the best comes.

    t000000 shows 0.5, t000001 0.7, t000002 0.2, t000003 0.9 at step 2. ⌊4 · 0.25⌋ = 1 is the worst
    and 1 the best: t000003 is stopped, and the child t000004 goes on from step 2 of t000002, whose
    rate is 0.3. Nothing is drawn anew, so it has 0.3 · 0.8 = 0.24 or 0.3 · 1.2 = 0.36, of which the
    stream (seed 0, t000004, "pbt") chooses after the donor and the coin of the resampling.
    """
    scheduler = population()
    for number, score in enumerate((0.5, 0.7, 0.2)):
        decision = report(scheduler, number, 2, score)
        assert isinstance(decision, RunTo)
        assert decision.step == 4
        scheduler.saved(f"t00000{number}", 2)
    lost = report(scheduler, 3, 2, 0.9)
    assert isinstance(lost, Stop)
    assert lost.reason == ("pbt exploit", 2, 0.9, None, 4, 4, None)
    scheduler.on_end("t000003", Outcome(Status.STOPPED, 2, 0.9))

    fork = scheduler.next_fork("t000004")
    stream = Stream(0, "t000004", "pbt")
    stream.choice(["t000002"])
    stream.uniform()
    factor = stream.choice([0.8, 1.2])
    assert fork is not None
    assert (fork.parent, fork.why) == ("t000002", {"instead": "t000003"})
    assert fork.config == {"lr": pytest.approx(0.3 * factor)}
    assert fork.config["lr"] == pytest.approx(0.24)  # what that stream draws
    assert scheduler.next_fork("t000005") is None, "one place, one child"
    assert scheduler.grant("t000004", fork.config) == 4, "its next rung: it goes on at step 2"


def test_a_child_stands_where_its_donor_stood_until_it_has_shown_more() -> None:
    scheduler = population()
    for number, score in enumerate((0.5, 0.7, 0.2, 0.9)):
        report(scheduler, number, 2, score)
        scheduler.saved(f"t00000{number}", 2)
    scheduler.on_end("t000003", Outcome(Status.STOPPED, 2, 0.9))
    scheduler.next_fork("t000004")
    decision = report(scheduler, 0, 4, 0.3)
    assert decision.reason[4:6] == (3, 4)  # at step 2: after t000002 and its child
    decision = report(scheduler, 4, 4, 0.8)
    assert isinstance(decision, RunTo)
    assert decision.reason[4:6] == (3, 4)  # after t000000 at step 4, and t000002, the elder, at 2


def test_who_is_ahead_is_none_the_better_for_it() -> None:
    """The worst of four at step 2 has the least loss of all at step 4, where nobody else is yet."""
    scheduler = population()
    for number, score in ((3, 0.9), (0, 0.8), (1, 0.7), (2, 0.75)):
        assert isinstance(report(scheduler, number, 2, score), RunTo), "nobody can be copied yet"
        scheduler.saved(f"t00000{number}", 2)
    decision = report(scheduler, 3, 4, 0.5)
    assert isinstance(decision, Stop)
    assert decision.reason[4:6] == (4, 4)


def test_who_has_no_checkpoint_is_never_copied() -> None:
    scheduler = population()
    for number, score in enumerate((0.5, 0.7, 0.2)):
        report(scheduler, number, 2, score)
    assert isinstance(report(scheduler, 3, 2, 0.9), RunTo), "nobody can be copied: it goes on"
    scheduler.saved("t000002", 2)
    scheduler.saved("t000002", 0)  # it could not be read
    assert isinstance(report(scheduler, 3, 4, 0.9), RunTo)
    scheduler.saved("t000002", 4)
    assert isinstance(report(scheduler, 3, 6, 0.9), Stop)


def test_a_member_that_is_not_finite_goes_at_once_and_its_place_waits_for_a_donor() -> None:
    scheduler = population()
    assert isinstance(report(scheduler, 0, 2, WORST), Stop)
    scheduler.on_end("t000000", Outcome(Status.STOPPED, 2, WORST))
    assert scheduler.next_fork("t000004") is None
    report(scheduler, 1, 2, 0.4)
    assert scheduler.next_fork("t000004") is None
    scheduler.saved("t000001", 2)
    fork = scheduler.next_fork("t000004")
    assert fork is not None
    assert (fork.parent, fork.why) == ("t000001", {"instead": "t000000"})


def failed(scheduler: Scheduler, number: int) -> str:
    """The trial fails; who is copied for its place, "" for nobody."""
    scheduler.on_end(f"t{number:06}", Outcome(Status.FAILED, 0, WORST))
    fork = scheduler.next_fork(f"t{number + 1:06}")
    if fork is None:
        return ""
    assert fork.why == {"instead": f"t{number:06}"}
    scheduler.grant(f"t{number + 1:06}", fork.config)
    return fork.parent


def test_who_fails_is_replaced_and_who_is_complete_is_not() -> None:
    scheduler = population()
    for number, score in enumerate((0.1, 0.2, 0.3)):
        report(scheduler, number, 2, score)
        scheduler.saved(f"t00000{number}", 2)
    scheduler.on_end("t000002", Outcome(Status.COMPLETED, 2, 0.3))
    assert scheduler.next_fork("t000004") is None
    assert failed(scheduler, 3) == "t000000", "its config did not fit, say"


def test_where_no_child_comes_to_a_rung_there_is_an_end_to_children() -> None:
    """Four in a row may fail, as many as there are members; one that comes to a rung is forgiven."""
    scheduler = population()
    for number in range(4):
        report(scheduler, number, 2, number / 10)
        scheduler.saved(f"t00000{number}", 2)
    assert [failed(scheduler, number) for number in range(3, 7)] == ["t000000"] * 4
    report(scheduler, 7, 4, 0.05)
    scheduler.saved("t000000", 4)  # the place of one that came to a rung waits until others trained
    assert [failed(scheduler, number) for number in range(7, 12)] == ["t000000"] * 5
    assert failed(scheduler, 12) == "", "8 to 11 and now 12"


def test_nobody_is_replaced_before_the_whole_population_has_been_started() -> None:
    """Three of four stand at the rung: they pause, so that the fourth gets a slot first."""
    scheduler = build_scheduler("pbt", {"interval": 2, "quantile": 0.5}, Setting(GOAL, LR, 0, 4))
    assert isinstance(scheduler, Pbt)
    for number in range(3):
        scheduler.grant(f"t00000{number}", {"lr": 0.1})
        scheduler.saved(f"t00000{number}", 2)
        assert isinstance(report(scheduler, number, 2, float(number)), Pause)
    assert scheduler.next_paused() is None
    scheduler.grant("t000003", {"lr": 0.1})
    assert scheduler.next_paused() == ("t000000", 4, ("pbt turn", *[None] * 6))


def test_who_is_least_far_goes_on_first_and_nobody_new_need_be_waited_for_in_vain() -> None:
    scheduler = build_scheduler("pbt", {"interval": 2}, Setting(GOAL, LR, 0, 4))
    for number in range(2):
        scheduler.grant(f"t00000{number}", {"lr": 0.1})
    report(scheduler, 1, 2, 0.1)
    report(scheduler, 0, 2, 0.1)
    assert scheduler.next_paused(more=True) is None
    first, second = scheduler.next_paused(more=False), scheduler.next_paused(more=False)
    assert first is not None
    assert second is not None
    assert [first.trial, second.trial] == ["t000000", "t000001"]


def test_the_state_survives_json_in_the_middle_of_a_replacement() -> None:
    straight = population()
    for number, score in enumerate((0.5, 0.7, 0.2, 0.9)):
        straight.saved(f"t00000{number}", 2)
        report(straight, number, 2, score)
    straight.on_end("t000003", Outcome(Status.STOPPED, 2, 0.9))
    loaded = population()
    loaded.load(json.loads(json.dumps(straight.state())))
    assert loaded.next_fork("t000004") == straight.next_fork("t000004")
    assert loaded.state() == straight.state()


@pytest.mark.parametrize(
    ("domain", "value", "factor", "expected"),
    [
        (Float(0.0, 1.0), 0.5, 1.2, 0.6),
        (Float(0.0, 1.0), 0.9, 1.2, 1.0),  # 1.08, cut at the bound
        (Float(1e-3, 1.0, log=True), 1.1e-3, 0.8, 1e-3),
        (Float(0.0, 1.0, step=0.25), 0.5, 1.2, 0.5),  # 0.6 is nearest to 0.5
        (Int(1, 100), 10, 1.2, 12),
        (Int(1, 100), 2, 1.2, 3),  # 2.4 rounds back to 2, so it moves one on
        (Int(1, 100), 2, 0.8, 1),
        (Int(1, 100), 1, 0.8, 1),
        (Int(-9, 9), -2, 1.2, -3),
        (Int(8, 64, step=8), 16, 1.2, 24),
        (Int(0, 9), 0, 1.2, 0),
        (Choice(["s", "m", "l"], ordered=True), "m", 1.2, "l"),
        (Choice(["s", "m", "l"], ordered=True), "s", 0.8, "s"),
        (Choice(["a", "b"]), "a", 1.2, "a"),
    ],
)
def test_a_value_is_perturbed_within_its_domain(
    domain: Any, value: Any, factor: float, expected: Any
) -> None:
    found = perturbed(domain, value, factor)
    assert found == pytest.approx(expected) if isinstance(expected, float) else found == expected
    assert domain.contains(found)


MIXED = Space.from_dict(
    {
        "lr": {"loguniform": [1e-4, 1.0]},
        "batch": {"qrandint": [8, 64, 8]},
        "size": {"ordinal": ["s", "m", "l"]},
        "optimizer": {"choice": ["sgd", "adam"]},
        "momentum": {"uniform": [0.0, 0.9], "when": {"optimizer": "sgd"}},
        "act": {"choice": ["relu", "tanh"]},
        "classes": 10,
    },
    ["batch >= 16 or lr < 0.5"],
)


def test_what_decides_or_exists_only_at_times_stays_by_default() -> None:
    assert set(changeable(MIXED, "pbt", None)) == {"lr", "batch", "size", "act"}


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_child_s_config_is_one_of_the_space(seed: int, resample: float) -> None:
    donor = MIXED.sample(Stream(seed, "donor"))
    explorer = Perturb(MIXED, changeable(MIXED, "pbt", None), [0.5, 2.0], resample)
    child = explorer.explore(donor, 4, [], Stream(seed, "child"))
    MIXED.check(child)
    kept = {"optimizer", "momentum", "classes"} & donor.keys()
    assert {name: child[name] for name in kept} == {name: donor[name] for name in kept}


def test_where_every_change_violates_a_constraint_the_donor_s_config_stays() -> None:
    space = Space.from_dict({"a": {"uniform": [0, 1]}, "b": {"uniform": [0, 1]}}, ["a + b <= 1"])
    explorer = Perturb(space, ["a", "b"], [1.5], 0.0)
    donor = {"a": 0.5, "b": 0.5}
    assert explorer.explore(donor, 0, [], Stream(0, "child")) == donor


@pytest.mark.parametrize(
    ("name", "options", "trials", "message"),
    [
        ("pbt", {}, 8, "interval is missing; it may be a whole number"),
        ("pbt", {"interval": 5, "max_t": 5}, 8, "interval 5 leaves no rung before max_t 5"),
        ("pbt", {"interval": 1, "quantile": 0.6}, 8, "quantile is 0.6; it may be a number above 0"),
        ("pbt", {"interval": 1, "factors": [1.0]}, 8, "factors is .*; it may be a list of numbers"),
        (
            "pbt",
            {"interval": 1, "change": []},
            8,
            r"change is \[\]; it may be a list of parameters",
        ),
        (
            "pbt",
            {"interval": 1},
            3,
            "of a population of 3, a quantile of 0.25 is nobody; raise the",
        ),
        ("pbt", {"interval": 1}, None, "its population is the budget of trials"),
        (
            "pbt",
            {"interval": 1, "change": ["lrr"]},
            8,
            "'lrr', which is no parameter; did you mean",
        ),
        (
            "pbt",
            {"interval": 1, "change": ["momentum"]},
            8,
            "'momentum', which exists in some conf",
        ),
        ("pbt", {"interval": 1, "change": ["optimizer"]}, 8, "'optimizer', which decides which"),
        ("pbt", {"interval": 1, "change": ["classes"]}, 8, "'classes', which never varies"),
        (
            "pb2",
            {"interval": 1, "change": ["act", "lr"]},
            8,
            "names act, and its bandit chooses num",
        ),
    ],
)
def test_bad_options_are_refused_with_a_way_out(
    name: str, options: dict[str, Any], trials: int | None, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        build_scheduler(name, options, Setting(GOAL, MIXED, 0, trials))


def test_a_space_in_which_nothing_may_change_is_refused() -> None:
    with pytest.raises(SpecError, match="no parameter may change from trial to child: a never var"):
        build_scheduler("pbt", {"interval": 1}, Setting(GOAL, Space.from_dict({"a": 1}), 0, 8))


def test_the_budget_counts_founders_alone() -> None:
    state = make_state({"name": "pbt", "max_t": 20, "interval": 2}, budget=Budget(trials=8))
    run(state, Machine(workers=8, every_steps=2), Memory())
    assert state.waiting.issued == 8
    assert state.waiting.children > 8
