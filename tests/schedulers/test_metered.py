"""Rung rules in seconds, money and metrics."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.metered import Metered
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import Continue, Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import (
    OPS,
    TWICE,
    Op,
    Play,
    RungContract,
    SchedulerContract,
    inherited,
)
from tests.orchestrator.harness import GOAL
from tests.schedulers.test_pasha import Steady

RULES: list[dict[str, Any]] = [
    {"name": "asha", "max_t": 9},
    {"name": "asha", "max_t": 9, "form": "stopping"},
    {"name": "asha", "max_t": 9, "brackets": 2},
    {"name": "pasha", "max_t": 16, "reduction_factor": 2},
    {"name": "hyperband", "max_t": 9},
    {"name": "mo_asha", "max_t": 9},
    {"name": "fifo", "max_t": 4},
]


TWO_METRICS = Setting(TWICE)


def built(rule: dict[str, Any], setting: Setting = TWO_METRICS, **more: Any) -> Scheduler:
    options = {**rule, **more}
    return build_scheduler(options.pop("name"), options, setting)


class TestAshaInSamples(RungContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "unit": "samples"}


class TestStoppingAshaInSamples(RungContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "form": "stopping", "unit": "samples"}


class TestPashaInSamples(Steady):
    name = "pasha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "unit": "samples"}


class TestMoAshaInSeconds(SchedulerContract):
    name = "mo_asha"
    goal = TWICE
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "unit": "seconds"}


class TestHyperbandInSeconds(SchedulerContract):
    name = "hyperband"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "unit": "seconds"}

    def test_every_decision_carries_a_rule_and_a_place(self) -> None:
        """But the grants on the way to a first rung beyond the first step."""
        play = Play(self.make)
        play.tournament([float(n % 5) for n in range(20)])
        assert any(reason.rung == 3 for *_, reason in play.decisions)
        for *_, reason in play.decisions:
            assert reason.rung is not None or reason.rule in (
                "1 of 3 seconds are spent",
                "1 of 9 seconds are spent",
            )


class Lab:
    """Trials driven by hand on devices, each step as long as it says."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.step: dict[str, int] = {}
        self.granted: dict[str, int] = {}

    def start(self, trial: str) -> int:
        self.step[trial], self.granted[trial] = 0, self.scheduler.grant(trial, {})
        return self.granted[trial]

    def report(
        self, trial: str, score: float, step_s: float = 1.0, device: str = "cpu", **metrics: Any
    ) -> Decision:
        self.step[trial] += 1
        report = Report(trial, 1, self.step[trial], metrics, score, 0.0, step_s, device)
        decision = self.scheduler.on_report(report)
        if isinstance(decision, RunTo):
            self.granted[trial] = decision.step
        return decision

    def run(self, trial: str, score: float, step_s: float, device: str = "cpu") -> Decision:
        """Report until the rule has more to say than how far the trial may go to its target."""
        while True:
            decision = self.report(trial, score, step_s, device)
            if not isinstance(decision, Continue) and decision.reason.rung is not None:
                return decision


ASHA = {"name": "asha", "max_t": 36, "grace_period": 4, "form": "stopping"}
"""Rungs at 4 and 12."""


def test_by_hand_half_as_fast_is_judged_after_twice_the_time() -> None:
    """The slow device takes 2 s for what the fast one does in 1 s.

    In seconds of the fast one, a step is 1 on both, so the rungs at 4 and 12 are the steps 4 and 12
    on both, as they are by steps. By wall time, the rung at 4 s is step 2 on the slow device.
    """
    speeds = {"fast": 1.0, "slow": 0.5}
    seconds = Lab(built(ASHA, Setting(GOAL, speeds=speeds), unit="seconds"))
    wall = Lab(built(ASHA, Setting(GOAL, speeds={"fast": 1.0, "slow": 1.0}), unit="seconds"))
    steps = Lab(built(ASHA, Setting(GOAL)))
    for lab in (seconds, wall, steps):
        for trial in "abcd":
            lab.start(trial)
    for trial, score in zip("abcd", (3.0, 1.0, 2.0, 4.0), strict=True):
        device, step_s = ("slow", 2.0) if trial in "bd" else ("fast", 1.0)
        normal, by_step = (lab.run(trial, score, step_s, device) for lab in (seconds, steps))
        assert normal == by_step
        assert seconds.step[trial] == 4
        wall.run(trial, score, step_s, device)
        assert wall.step[trial] == (2 if device == "slow" else 4)
    # b is the best of two, c the second of three, d the last of four: max(1, n // 3) go on
    assert seconds.granted == steps.granted == {"a": 12, "b": 12, "c": 4, "d": 4}


def test_by_hand_grants_follow_the_trial_s_own_pace() -> None:
    lab = Lab(built(ASHA, unit="seconds"))
    assert lab.start("a") == 1, "one step, to see what a step costs"
    # 0.5 s of the 4: 3.5 s more are 7 steps of 0.5 s
    assert lab.report("a", 1.0, 0.5) == RunTo(8, Reason("0 of 4 seconds are spent"))
    for _ in range(6):  # they take 0.25 s: at step 7 it is at 2.0 s
        assert isinstance(lab.report("a", 1.0, 0.25), Continue)
    # at step 8 it is at 2.25 s; by its newest step, the cheaper, 1.75 s more are 7 steps
    assert lab.report("a", 1.0, 0.25) == RunTo(15, Reason("2 of 4 seconds are spent"))
    for _ in range(2):
        assert isinstance(lab.report("a", 1.0, 0.25), Continue)
    # a step of 2 s brings it from 2.75 to 4.75 s, four steps before the grant: judged there, and
    # 7.25 s more are at most 16.57 steps of 4.75 s / 11
    decision = lab.report("a", 1.0, 2.0)
    assert decision == RunTo(11 + 17, Reason("asha", 4, 1.0, 1.0, 1, 1))


def test_by_hand_one_long_step_is_judged_at_each_rung_that_it_passes() -> None:
    lab = Lab(built(ASHA, unit="seconds"))
    for trial in "ab":
        lab.start(trial)
    # 15 s: at 4 it is the first of one, at 12 as well; 21 s more are 2 steps
    assert lab.report("a", 1.0, 15.0) == RunTo(3, Reason("asha", 12, 1.0, 1.0, 1, 1))
    # the second of two at 4: it hears of that, and never came to 12
    assert lab.report("b", 2.0, 15.0) == Stop(Reason("asha", 4, 2.0, 1.0, 2, 2))
    assert lab.report("a", 1.0, 99.0) == Finish(Reason("max_t", 36, 1.0))


def test_by_hand_money_and_moves_between_devices() -> None:
    """36 dollars an hour are a cent a second, 18 half a cent: 3 s there and 2 s here are 3.5 cents."""
    setting = Setting(GOAL, prices={"H100": 36.0, "T4": 18.0})
    lab = Lab(built({**ASHA, "unit": "cents"}, setting))
    lab.start("a")
    assert lab.report("a", 1.0, 3.0, "T4") == RunTo(3, Reason("1 of 4 cents are spent"))
    assert isinstance(lab.report("a", 1.0, 2.0, "H100"), Continue)
    assert lab.report("a", 1.0, 1.0, "T4").reason.rung == 4  # type: ignore[union-attr]
    assert lab.report("a", 1.0, 1.0, "L4") == Stop(
        Reason("a slot on 'L4' has no price in cluster.prices, which has 'H100', 'T4'", score=1.0)
    )


def test_a_dollar_is_a_hundred_cents() -> None:
    rule = {"name": "fifo", "max_t": 2, "unit": "dollars"}
    lab = Lab(built(rule, Setting(GOAL, prices={"cpu": 3600.0})))
    lab.start("a")
    assert isinstance(lab.report("a", 1.0, 1.9), RunTo)
    assert isinstance(lab.report("a", 1.0, 0.1), Finish)


def test_a_metric_that_falls_or_is_missing_takes_nothing_back() -> None:
    lab = Lab(built({**ASHA, "unit": "tokens"}))
    lab.start("a")
    assert lab.report("a", 1.0, tokens=3).reason.rule == "3 of 4 tokens are spent"  # type: ignore[union-attr]
    for tokens in (1, None, float("nan"), "many"):  # e.g. after a restart that counts from 0
        decision = lab.report("a", 1.0, tokens=tokens)
        assert isinstance(decision, Continue) or decision.reason.rung is None
    assert isinstance(lab.report("a", 1.0), Continue | RunTo)
    assert lab.report("a", 1.0, tokens=4).reason.rung == 4  # type: ignore[union-attr]


@pytest.mark.parametrize("metrics", [{"loss": 1.0}, {"loss": 1.0, "tokens": None}])
def test_a_first_report_without_the_metric_stops_the_trial_with_a_reason(
    metrics: dict[str, Any],
) -> None:
    lab = Lab(built({**ASHA, "unit": "tokens"}))
    lab.start("a")
    decision = lab.report("a", 1.0, **metrics)
    assert isinstance(decision, Stop)
    assert "unit is 'tokens', and its first report has loss" in decision.reason.rule


def test_a_metric_that_stands_still_is_waited_for_with_ever_longer_grants() -> None:
    """1, 2, 4, 8 … steps: ten driver's answers in a thousand steps, not a thousand."""
    lab = Lab(built({**ASHA, "unit": "tokens"}))
    lab.start("a")
    answers = [lab.report("a", 1.0, tokens=0) for _ in range(1024)]
    assert sum(not isinstance(answer, Continue) for answer in answers) == 11


def test_a_promoted_trial_that_ran_on_while_it_paused_is_judged_at_its_next_report() -> None:
    lab = Lab(built({"name": "asha", "max_t": 27, "unit": "seconds", "reduction_factor": 3}))
    for trial, score in zip("abc", (1.0, 2.0, 3.0), strict=True):
        lab.start(trial)
        assert isinstance(lab.report(trial, score, 1.0), Pause)
    assert isinstance(lab.report("a", 1.0, 4.0), Pause), "on its way out it passes 3 s as well"
    promotion = lab.scheduler.next_paused()
    assert promotion is not None
    assert (promotion.trial, promotion.step) == ("a", 3)
    decision = lab.report("a", 1.0, 1.0)
    assert isinstance(decision, Pause)
    assert decision.reason.rung == 3


def test_what_is_not_finite_never_passes_a_rung_in_any_unit() -> None:
    for rule in RULES[:-1]:
        lab = Lab(built(rule, unit="seconds"))
        lab.start("a")
        assert not isinstance(lab.run("a", WORST, 5.0), RunTo), rule


@inherited
@given(ops=OPS, rule=st.sampled_from(RULES), unit=st.sampled_from(["seconds", "samples"]))
def test_with_steps_of_one_second_on_one_device_it_decides_as_by_steps(
    ops: list[Op], rule: dict[str, Any], unit: str
) -> None:
    """Every decision and every promotion but the first grant, which is a step."""
    by_step, metered = Play(lambda: built(rule)), Play(lambda: built(rule, unit=unit))
    for op in ops:
        by_step.do(op)
        metered.do(op)
    assert _decided(metered) == _decided(by_step)
    assert metered.paused == by_step.paused
    assert metered.over == by_step.over


def _decided(play: Play) -> list[Any]:
    said = [heard for heard in play.heard if heard is not None and len(heard) == 3]
    return [
        each
        for each in said
        if not isinstance(each[2], Continue)
        and not (isinstance(each[2], RunTo) and each[2].reason.rung is None)
    ]


STEP_S = st.sampled_from([0.3, 1.0, 1.0, 2.5, 40.0])


@settings(inherited, max_examples=100)
@given(
    ops=st.lists(st.tuples(OPS, STEP_S), max_size=4),
    rule=st.sampled_from(RULES),
    given_speeds=st.sampled_from([{}, {"fast": 1.0, "slow": 0.25}]),
)
def test_whatever_steps_take_each_rung_is_decided_once_and_a_reload_changes_nothing(
    ops: list[tuple[list[Op], float]], rule: dict[str, Any], given_speeds: dict[str, float]
) -> None:
    setting = Setting(TWICE, speeds=given_speeds)
    straight, reloaded = (Rough(built(rule, setting, unit="seconds")) for _ in range(2))
    for several, step_s in ops:
        for op in several:
            straight.do(op, step_s)
            reloaded.do(op, step_s)
            copy = built(rule, setting, unit="seconds")
            copy.load(json.loads(json.dumps(reloaded.scheduler.state())))
            reloaded.scheduler = copy
    assert reloaded.heard == straight.heard
    assert reloaded.scheduler.state() == json.loads(json.dumps(straight.scheduler.state()))
    for trial, rungs in straight.judged.items():
        assert rungs == sorted(set(rungs)), trial


class Rough:
    """Trials on two devices whose steps take any time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.running: dict[str, int] = {}
        self.paused: dict[str, int] = {}
        self.granted: dict[str, int] = {}
        self.judged: dict[str, list[int]] = {}
        self.heard: list[Any] = []
        self._made = 0

    def do(self, op: Op, step_s: float) -> None:
        if op.kind == "start":
            trial, self._made = f"t{self._made}", self._made + 1
            self.running[trial], self.granted[trial] = 0, self.scheduler.grant(trial, {})
        elif op.kind == "promote" and (promotion := self.scheduler.next_paused()):
            self.heard.append(promotion)
            self.running[promotion.trial] = self.paused.pop(promotion.trial)
            assert promotion.step > self.running[promotion.trial]
            self.granted[promotion.trial] = promotion.step
        elif op.kind == "report" and self.running:
            self._report(sorted(self.running)[op.pick % len(self.running)], op, step_s)

    def _report(self, trial: str, op: Op, step_s: float) -> None:
        self.running[trial] += 1
        step, device = self.running[trial], ("fast", "slow")[op.pick % 2]
        metrics = {"loss": op.score, "again": op.score}
        report = Report(trial, 1, step, metrics, op.score, 0.0, step_s, device)
        decision = self.scheduler.on_report(report)
        self.heard.append((trial, step, decision))
        if isinstance(decision, Continue):
            assert step < self.granted[trial], "no decision at the granted step"
            return
        if decision.reason.rung is not None:
            self.judged.setdefault(trial, []).append(decision.reason.rung)
        if isinstance(decision, RunTo):
            assert decision.step > step
            self.granted[trial] = decision.step
            return
        del self.running[trial]
        if isinstance(decision, Pause):
            self.paused[trial] = step
        else:
            status = Status.STOPPED if isinstance(decision, Stop) else Status.COMPLETED
            self.scheduler.on_end(trial, Outcome(status, step, op.score))


def test_steps_need_no_meter() -> None:
    assert not isinstance(built(RULES[0], unit="steps"), Metered)
