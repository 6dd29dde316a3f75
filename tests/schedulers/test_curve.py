from __future__ import annotations

import json
from math import exp, log, pi, sqrt
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.curve import CurveForecasts, curve_rungs
from raysweep.schedulers.curve_configs import levels
from raysweep.schedulers.curve_learnt import Learnt, Scale
from raysweep.schedulers.curve_model import CurveModel
from raysweep.schedulers.curve_worth import Worth
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Report, Status, trial_id
from tests.contracts.scheduler import Play, SchedulerContract
from tests.orchestrator.harness import GOAL, Memory, make_state, run

NORMAL = NormalDist()
SPACE = Space.from_dict({"x": {"uniform": [0.0, 1.0]}})


class TestCurve(SchedulerContract):
    name = "curve"
    options: ClassVar[dict[str, Any]] = {"max_t": 9}


class TestCurveFromALaterRung(SchedulerContract):
    name = "curve"
    options: ClassVar[dict[str, Any]] = {"max_t": 17, "grace_period": 3, "interval": 3}


class TestCurveWithASpace(SchedulerContract):
    """The contract's trials have no parameter: their axes are inactive."""

    name = "curve"
    options: ClassVar[dict[str, Any]] = {"max_t": 6, "least_chance": 0.2}

    def make(self) -> Scheduler:
        return build_scheduler(self.name, self.options, Setting(self.goal, SPACE))


@pytest.mark.parametrize(
    ("grace", "max_t", "interval", "steps"),
    [
        # ceil(0.4 t) more each time: 1, 1, 2, 2, 3, 4, 6, 8, 12, and 40 + 16 is beyond 50
        (1, 50, 1, [1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 50]),
        # in fives: 0.4 * 5 = 2 is one of them, 0.4 * 15 = 6 are two
        (5, 50, 5, [5, 10, 15, 25, 35, 50]),
        (7, 7, 1, [7]),
    ],
)
def test_rungs_grow_by_two_fifths(grace: int, max_t: int, interval: int, steps: list[int]) -> None:
    assert curve_rungs(grace, max_t, interval) == steps


def test_there_are_sixteen_rungs_or_so_however_long_trials_run() -> None:
    steps = curve_rungs(1, 10**6, 1)
    assert len(steps) <= 17
    assert steps[0] == 1
    assert steps[-1] == 10**6


@pytest.mark.parametrize("x", [-2.0, -1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("sd", [0.5, 2.0])
def test_with_one_rung_to_go_worth_is_expected_improvement_per_step(x: float, sd: float) -> None:
    """EI = sd (x Φ(x) + φ(x)) with x = (best - mean) / sd, over 40 - 30 steps.

    E.g. for x = 0, sd = 2: 2 · φ(0) / 10 = 2 · 0.39894 / 10 = 0.0798. The tables are linear between
    points: they are within 3 %.
    """
    worth = Worth([30, 40], np.ones(1))
    expected = sd * (x * NORMAL.cdf(x) + exp(-x * x / 2) / sqrt(2 * pi)) / 10
    assert worth.of(0, np.array([x * sd]), np.array([sd]))[0] == pytest.approx(expected, rel=0.03)


def test_leave_to_give_up_makes_it_worth_more() -> None:
    """With all doubt gone after 1 of 41 steps, one pays 40 more only if the gain is sure.

    The price λ solves λ · 1 = E[max(0, ξ - 40 λ)] = ψ(40 λ), where ψ(a) = φ(a) - a Φ(-a), for a
    forecast just at the best; found by bisection. Without leave to give up it would be
    φ(0) / 41 = 0.00973.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        price = (low + high) / 2
        a = 40 * price
        rest = exp(-a * a / 2) / sqrt(2 * pi) - a * NORMAL.cdf(-a)
        low, high = (price, high) if rest > price else (low, price)
    worth = Worth([1, 2, 42], np.array([1.0, 1e-9]))
    found = worth.of(0, np.zeros(1), np.ones(1))[0]
    assert found == pytest.approx(low, rel=0.03)
    assert found > 2 * NORMAL.pdf(0.0) / 41


@given(
    st.lists(st.floats(-6, 6), min_size=2, max_size=2),
    st.lists(st.floats(0.01, 3), min_size=2, max_size=2),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=100)
def test_worth_grows_with_the_gain_and_with_the_doubt(
    gains: list[float], sds: list[float], rung: int
) -> None:
    worth = Worth([1, 2, 3, 5, 8, 12, 18], np.ones(6))
    low, high = sorted(gains)
    of = [worth.of(rung, np.array([g]), np.array([sds[0]]))[0] for g in (low, high)]
    assert of[0] <= of[1]
    narrow, wide = sorted(sds)
    of = [worth.of(rung, np.array([low]), np.array([sd]))[0] for sd in (narrow, wide)]
    assert of[0] <= of[1] * 1.02, "the tables are good to 2 %"


def test_normal_scores() -> None:
    """Of 3, the best stands at Φ⁻¹(0.625 / 3.25) = -0.8694, the middle at 0; ties share a place."""
    scale = Scale.of(np.array([3.0, 1.0, 2.0]))
    assert scale.z(np.array([1.0, 2.0, 3.0])) == pytest.approx([-0.8694, 0.0, 0.8694], abs=1e-4)
    assert scale.z(np.array([1.5]))[0] == pytest.approx(-0.8694 / 2, abs=1e-4)
    assert scale.z(np.array([9.0, WORST])).tolist() == scale.z(np.array([3.0, 3.0])).tolist()
    assert scale.z(np.array([0.0]))[0] < -0.8694, "beyond the best it goes on"
    flat = Scale.of(np.full(5, 0.5))
    assert flat.z(np.array([0.5]))[0] == 0.0
    assert np.isfinite(flat.z(np.array([0.4, 0.6]))).all()


STEPS = curve_rungs(1, 50, 1)


def curves(count: int, seed: int) -> tuple[Any, Any]:
    """Curves x + 2 / √t with a little noise, and their configs, which are x alone."""
    drawn = Stream(seed, "curves").generator()
    x = drawn.uniform(size=(count, 1))
    noise = 0.02 * drawn.normal(size=(count, len(STEPS)))
    scores = np.minimum.accumulate(x + 2 / np.sqrt(STEPS) + noise, axis=1)
    return scores, x


def test_it_learns_how_the_curves_of_a_sweep_go_on() -> None:
    """From rung 4, step 7, the rest of 2 / √t is 0.47: of that, less than a tenth is missed."""
    scores, points = curves(80, 1)
    seen = scores.copy()
    seen[40:, 5:] = np.nan
    learnt = Learnt.of(STEPS, seen, points)
    forecast = learnt.forecast(seen[40:], 4, learnt.levels[40:])
    ends = learnt.scale.z(scores[40:, -1])
    before = learnt.scale.z(scores[40:, 4])
    assert np.median(np.abs(forecast.mean - ends)) < 0.1 * np.median(np.abs(before - ends))
    inside = np.abs(ends - forecast.mean) <= 2.5758 * forecast.sd
    assert inside.mean() > 0.8


def test_forecasts_grow_more_certain_from_rung_to_rung() -> None:
    scores, points = curves(40, 2)
    learnt = Learnt.of(STEPS, scores, points)
    sds = [float(learnt.forecast(scores[:1], k, np.zeros(1)).sd[0]) for k in range(1, len(STEPS))]
    assert sds[-1] == 0.0
    assert 0 < sds[-2] < sds[-4] < sds[0]


def test_a_forecast_does_not_depend_on_whose_are_made_with_it() -> None:
    scores, points = curves(60, 3)
    learnt = Learnt.of(STEPS, scores, points)
    together = learnt.forecast(scores, 3, learnt.levels)
    for i in range(60):
        alone = learnt.forecast(scores[i : i + 1], 3, learnt.levels[i : i + 1])
        assert (alone.mean[0], alone.sd[0]) == (together.mean[i], together.sd[i])


def test_levels_tell_a_trial_by_its_config_and_nothing_where_configs_say_nothing() -> None:
    drawn = Stream(4, "levels").generator()
    points, noise = drawn.uniform(size=(60, 2)), drawn.normal(size=60)
    told = levels(points, np.sin(4 * points[:, 0]))
    assert np.corrcoef(told, np.sin(4 * points[:, 0]))[0, 1] > 0.95
    assert np.abs(levels(points, noise)).std() < noise.std() / 2
    assert not levels(np.empty((60, 0)), noise).any(), "no space is known"
    assert not levels(points[:5], noise[:5]).any(), "too few to learn from"


def drive(scheduler: CurveForecasts, trial: str, scores: list[float], start: int = 0) -> Any:
    """Report `scores` at the steps after `start`; the last decision."""
    for step, score in enumerate(scores, start + 1):
        decision = scheduler.on_report(Report(trial, 1, step, {}, score, 1.0 * (step - start)))
    return decision


def made(**options: Any) -> CurveForecasts:
    return CurveForecasts(Setting(GOAL), **{"max_t": 9, **options})


def begun(scheduler: CurveForecasts, scores: list[float]) -> list[Any]:
    """New trials with these scores at the first rung; what is decided of each."""
    decisions = []
    for number, score in enumerate(scores):
        scheduler.grant(trial_id(number), {})
        decisions.append(drive(scheduler, trial_id(number), [score]))
    return decisions


def test_nothing_is_judged_before_eight_trials_were_seen_unless_no_more_come() -> None:
    scheduler = made()
    assert all(isinstance(one, Pause) for one in begun(scheduler, [0.5, 0.4, 0.6]))
    assert scheduler.next_paused() is None
    promotion = scheduler.next_paused(more=False)
    assert promotion is not None
    assert promotion[:2] == (trial_id(1), 2)


def test_the_best_goes_on_at_once_and_a_worse_one_makes_way_for_it() -> None:
    scheduler = made()
    decisions = begun(scheduler, [0.9, 0.8, 0.9, 0.8, 0.9, 0.8, 0.9, 0.8, 0.1, 0.95])
    assert isinstance(decisions[8], RunTo)
    assert decisions[8].step == 2
    assert isinstance(decisions[9], Pause)
    last = drive(scheduler, trial_id(8), [0.1] * 8, start=1)
    assert last == Finish(Reason("max_t", 9, 0.1))


def test_a_decision_names_the_model_and_what_it_said() -> None:
    scheduler = made()
    decisions = begun(scheduler, [0.9, 0.8, 0.9, 0.8, 0.9, 0.8, 0.9, 0.8])
    assert isinstance(decisions[7], RunTo), "nobody of the seven that wait is worth more"
    promotion = scheduler.next_paused()
    assert promotion is not None
    reason = promotion.reason
    assert reason.rule == "curve promotion"
    assert (reason.rung, reason.score, reason.cutoff, reason.peers) == (1, 0.8, 0.8, 7)
    assert reason.model is not None
    assert reason.model.startswith("curve v1 fit 7: chance 0.")


def test_a_slow_trial_is_worth_less_than_a_quick_one_that_does_as_well() -> None:
    """Of two like curves, the one whose steps take 1 s comes before the one whose take 100 s."""
    for quick in (3, 4):
        scheduler = made()
        for number in range(8):
            scheduler.grant(trial_id(number), {})
            score, pace_s = (0.5, 100.0) if number in (3, 4) else (0.9, 50.0)
            elapsed_s = 1.0 if number == quick else pace_s
            scheduler.on_report(Report(trial_id(number), 1, 1, {}, score, elapsed_s))
        scheduler._leader = ""  # or it would be the first of the two in any case
        promotion = scheduler.next_paused()
        assert promotion is not None
        assert promotion.trial == trial_id(quick)


@pytest.mark.parametrize("at", [0, 1, 4])
def test_what_is_not_finite_at_a_rung_ends_there(at: int) -> None:
    scheduler = made()
    begun(scheduler, [0.9] * 8)
    scheduler.grant("bad", {})
    for step in range(1, 9):
        decision = scheduler.on_report(Report("bad", 1, step, {}, WORST if step > at else 0.1))
        if isinstance(decision, Stop):
            break
    assert isinstance(decision, Stop)
    assert decision.reason.score == WORST
    assert "bad" not in scheduler._waiting


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), workers=st.integers(1, 5), trials=st.integers(1, 24))
def test_a_sweep_ends_with_its_best_trained_to_the_end(
    seed: int, workers: int, trials: int
) -> None:
    state = make_state({"name": "curve", "max_t": 9}, seed=seed, budget=Budget(trials=trials))
    memory = Memory()
    closed = run(state, Machine(workers=workers, step_sigma=0.5), memory, seed=seed)
    assert "run their course" in closed.reason
    assert state.advice.errors == 0
    assert all(trial.status is Status.PAUSED for trial in state.live.values())
    finished = [v.value for r in memory.records for v in r.verdicts if v.verb == "finish"]
    told = [v.value for r in memory.records for v in r.verdicts if v.value is not None]
    if told:
        assert min(finished) == min(told)


def test_it_may_be_saved_in_the_middle_and_says_the_same_of_everything() -> None:
    play = Play(lambda: CurveForecasts(Setting(GOAL, SPACE), max_t=50))
    drawn = Stream(7, "play")
    for _ in range(40):
        trial = play.start()
        play.report(trial, drawn.uniform())
    copy = CurveForecasts(Setting(GOAL, SPACE), max_t=50)
    copy.load(json.loads(json.dumps(play.scheduler.state())))
    for _ in range(30):
        assert copy.next_paused(False) == play.scheduler.next_paused(False)
    assert json.dumps(copy.state()) == json.dumps(play.scheduler.state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"scheduler curve: max_t is missing; it may be a whole number, 1 or more"),
        ({"max_t": 5, "grace_period": 9}, r"grace_period 9 is beyond max_t 5; lower it"),
        (
            {"max_t": 5, "least_chance": 0.7},
            r"least_chance is 0.7; it may be a number from 0 to 0.5",
        ),
        ({"max_t": 5, "interval": 0}, r"interval is 0; it may be a whole number, 1 or more"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_scheduler("curve", options)


def test_one_regression_by_hand() -> None:
    """Two rungs, at 1 and 2; one trial, from z = 0 to z = -log 2, so r_1 = 1; h = 0.

    w² = 0.3, so x = (1, 0, 0, 0) / √0.3 and the target is 1 / √0.3. The prior of the constant is
    N(0.2, v / (v / 0.4²)), v = 0.2: precision 0.2 / 0.16 = 1.25. Mean (1 / 0.3 + 1.25 · 0.2) /
    (1 / 0.3 + 1.25) = 3.58333 / 4.58333 = 0.781818. What is left is (1 - 0.781818)² / 0.3 =
    0.158678, and v = (4 · 0.2 + 0.158678) / 5 = 0.191736.
    """
    model = CurveModel.fit([1, 2], np.array([[0.0, -log(2)]]), np.zeros(1))
    assert model.weights[0] == pytest.approx([0.781818, 0, 0, 0], abs=1e-6)
    assert model.noise[0] == pytest.approx(0.191736, abs=1e-6)
    said = model.forecast(np.zeros(1), np.zeros(1), np.zeros(1), 0)
    assert said.mean[0] == pytest.approx(-0.781818 * log(2), abs=1e-6)
    # its variance: l² (0.3 v + v / 4.58333), the second term the doubt about the constant
    assert said.sd[0] == pytest.approx(log(2) * sqrt(0.191736 * (0.3 + 1 / 4.58333)), abs=1e-6)


@pytest.mark.parametrize("seed", [0, 5])
def test_a_copy_that_was_loaded_answers_as_the_rule_itself(seed: int) -> None:
    """Before each call a copy is made, so that nothing remembered may differ from what is known."""
    stream = Stream(seed, "twins")
    setting = Setting(GOAL, SPACE)
    rule = build_scheduler("curve", {"max_t": 6, "least_chance": 0.2}, setting)
    running: dict[str, int] = {}
    steps: dict[str, int] = {}
    for number in range(60):
        twin = build_scheduler("curve", {"max_t": 6, "least_chance": 0.2}, setting)
        twin.load(json.loads(json.dumps(rule.state())))
        named = rule.next_paused()
        assert twin.next_paused() == named
        trial = named.trial if named else trial_id(number)
        if named is None:
            rule.grant(trial, {"x": stream.uniform()})
            steps[trial] = 0
        running[trial] = steps[trial]
        while len(running) >= 4:
            trial = stream.choice(sorted(running))
            running[trial] = steps[trial] = running[trial] + 1
            loss = stream.uniform() / steps[trial]
            report = Report(trial, 1, steps[trial], {"loss": loss}, loss, 1.0 + stream.uniform())
            twin = build_scheduler("curve", {"max_t": 6, "least_chance": 0.2}, setting)
            twin.load(json.loads(json.dumps(rule.state())))
            decision = rule.on_report(report)
            assert twin.on_report(report) == decision
            if not isinstance(decision, RunTo):
                del running[trial]
