from __future__ import annotations

from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers.asha import PromotionAsha
from raysweep.schedulers.pasha import Pasha
from raysweep.schedulers.rungs import rung_steps
from raysweep.trials.decisions import Decision, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.scheduler import Play, RungContract


class Steady(RungContract):
    """The contract's trials have one score for life, so they rank alike everywhere."""

    def second(self) -> int:
        return int(self.filled["grace_period"] * self.filled["reduction_factor"])

    def test_nobody_is_granted_more_than_max_t(self) -> None:
        reached = Play(self.make).tournament([float(n % 7) for n in range(40)])
        assert max(reached.values()) == self.second() < self.filled["max_t"]

    @pytest.mark.parametrize("place", [0, 13, 26])
    def test_the_best_of_all_is_never_lost(self, place: int) -> None:
        scores = [1.0 + n % 4 for n in range(27)]
        scores[place] = 0.0
        reached = Play(self.make).tournament(scores)
        assert reached[trial_id(place)] == max(reached.values()) == self.second()


class TestPasha(Steady):
    name = "pasha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9}


class TestPashaFromALaterRung(Steady):
    name = "pasha"
    options: ClassVar[dict[str, Any]] = {"max_t": 17, "grace_period": 2, "reduction_factor": 2}


class TestPashaWithOneRung(RungContract):
    """There is nothing to hold back: as ASHA."""

    name = "pasha"
    options: ClassVar[dict[str, Any]] = {"max_t": 3}


def run(pasha: Pasha, trial: str, curve: list[float], start: int = 0) -> Decision:
    """Report `curve` at the steps after `start`; the last decision."""
    for step, score in enumerate(curve, start + 1):
        decision = pasha.on_report(Report(trial, 1, step, {}, score))
    return decision


def test_the_rule_by_hand() -> None:
    """r = 1, η = 2, R = 16: rungs 1, 2, 4, 8, of which 1 and 2 are open.

    a and b are the best two of four at 1 and come to 2, where they rank alike: a waits there
    though ⌊2/2⌋ = 1 could go on. c, better than both at 1, is the worst of the three at 2: the
    rankings differ, rung 4 opens, and a, the best at 2, is promoted to it.
    """
    pasha = Pasha(16, 1, 2)
    run(pasha, "a", [2.0])
    assert run(pasha, "b", [3.0]) == Pause(Reason("pasha", 1, 3.0, 2.0, 2, 2))
    run(pasha, "x", [8.0])
    run(pasha, "y", [9.0])
    assert [p.trial for p in iter(pasha.next_paused, None)] == ["a", "b"]
    assert run(pasha, "a", [1.0], 1) == Pause(Reason("pasha limit", 2, 1.0, None, 1, 1))
    assert run(pasha, "b", [1.5], 1) == Pause(Reason("pasha limit", 2, 1.5, 1.0, 2, 2))
    assert pasha.next_paused() is None, "they rank alike at 1 and at 2"
    assert run(pasha, "c", [1.0]) == RunTo(2, Reason("pasha", 1, 1.0, 2.0, 1, 5))
    assert run(pasha, "c", [1.8], 1) == Pause(Reason("pasha", 2, 1.8, 1.0, 3, 3))
    assert pasha.next_paused() == ("a", 4, Reason("pasha promotion", 2, 1.0, 1.0, 1, 3))
    assert pasha.next_paused() is None


def test_who_upsets_the_ranking_may_itself_go_on_at_once() -> None:
    pasha = Pasha(16, 1, 2)
    for trial, score in (("a", 2.0), ("x", 9.0), ("b", 3.0), ("y", 9.0)):
        run(pasha, trial, [score])
    assert [p.trial for p in iter(pasha.next_paused, None)] == ["a", "b"]
    run(pasha, "a", [2.0], 1)
    assert run(pasha, "b", [1.0], 1) == RunTo(4, Reason("pasha", 2, 1.0, 1.0, 1, 2))


def test_max_t_opens_last_and_is_the_ceiling() -> None:
    """r = 1, η = 2, R = 3: rungs 1 and 2. Once the rankings at 2 differ, R is open, and stays so."""
    pasha = Pasha(3, 1, 2)
    for trial, score in (("a", 2.0), ("x", 9.0), ("b", 3.0), ("y", 9.0)):
        run(pasha, trial, [score])
    assert [p.trial for p in iter(pasha.next_paused, None)] == ["a", "b"]
    run(pasha, "a", [2.0], 1)
    assert run(pasha, "b", [1.0], 1) == RunTo(3, Reason("pasha", 2, 1.0, 1.0, 1, 2))
    assert isinstance(run(pasha, "b", [1.0], 2), Finish)
    assert pasha.state()["curves"] == {}, "nothing is left to compare curves for"


def test_what_is_missing_takes_no_part_in_a_ranking() -> None:
    pasha = Pasha(16, 1, 2)
    for trial, score in (("a", 2.0), ("x", 9.0), ("b", 3.0), ("y", 9.0)):
        run(pasha, trial, [score])
    assert [p.trial for p in iter(pasha.next_paused, None)] == ["a", "b"]
    assert run(pasha, "a", [WORST], 1) == Stop(Reason("pasha", 2, WORST, None, 1, 1))
    assert isinstance(run(pasha, "b", [1.0], 1), Pause)
    assert len(pasha.state()["ranking"]["members"]) == 1


def test_noise_that_swaps_trials_on_the_way_opens_nothing() -> None:
    """r = 1, η = 3: a and b cross twice between 1 and 3, so they are equals there.

    b, second at 1, is first at 3: without the crossings, that opens rung 9.
    """

    def after(a: list[float], b: list[float]) -> int:
        pasha = Pasha(27)
        for trial, score in (("a", a[0]), ("b", b[0]), *((f"x{n}", 9.0) for n in range(4))):
            run(pasha, trial, [score])
        assert {p.trial for p in iter(pasha.next_paused, None)} == {"a", "b"}
        run(pasha, "a", a[1:], 1)
        run(pasha, "b", b[1:], 1)
        return int(pasha.state()["open"])

    assert after([1.0, 1.0, 1.0], [1.2, 1.2, 0.9]) == 2
    assert after([1.0, 1.3, 1.3, 1.0][:3], [1.2, 1.2, 0.9]) == 2, "one crossing is no noise"


def test_a_curve_keeps_a_few_steps_between_two_rungs_and_each_rung() -> None:
    """r = 16, η = 2, R = 64: to 16 every 2nd step, from there to 32 again every 2nd; 8 each."""
    pasha = Pasha(64, 16, 2)
    run(pasha, "a", [1.0 / step for step in range(1, 33)])
    steps = [step for step, _ in pasha.state()["curves"]["a"]]
    assert steps == list(range(2, 33, 2))


def test_the_curve_of_an_ended_trial_goes_and_its_place_in_the_ranking_stays() -> None:
    pasha = Pasha(16, 1, 2)
    for trial, score in (("a", 2.0), ("x", 9.0)):
        run(pasha, trial, [score])
    assert pasha.next_paused()
    run(pasha, "a", [1.0], 1)
    pasha.on_end("a", Outcome(Status.FAILED, 2, 1.0))
    state = pasha.state()
    assert "a" not in state["curves"]
    assert [trial for trial, *_ in state["ranking"]["members"]] == ["a"]


class Naive:
    """Algorithm 1 as plainly as it can be written; every curve is kept whole."""

    def __init__(self, max_t: int, grace: int, eta: int) -> None:
        self.steps, self.max_t, self.eta = rung_steps(grace, max_t, eta), max_t, eta
        self.rungs: list[list[tuple[float, int, str]]] = [[] for _ in self.steps]
        self.waiting: list[set[str]] = [set() for _ in self.steps]
        self.curves: dict[str, dict[int, float]] = {}
        self.top, self.epsilon = min(1, len(self.steps)), 0.0

    def best(self, k: int) -> list[str]:
        ranked = [trial for _, _, trial in sorted(self.rungs[k])]
        return ranked[: len(ranked) // self.eta]

    def crossed(self, a: str, b: str, step: int) -> bool:
        both = [(self.curves[a][s], self.curves[b][s]) for s in range(1, step + 1)]
        gaps = [one - other for one, other in both if WORST not in (one, other)]
        if gaps[-1] < 0:
            gaps = [-gap for gap in gaps]
        return gaps[-1] > 0 and any(x > 0 > y for x, y in combinations(gaps[:-1], 2))

    def differs(self) -> bool:
        step, below = self.steps[self.top], self.steps[self.top - 1]
        here = [trial for score, _, trial in sorted(self.rungs[self.top]) if score != WORST]
        noise = [
            abs(self.curves[a][step] - self.curves[b][step])
            for a, b in combinations(here, 2)
            if self.crossed(a, b, step)
        ]
        self.epsilon = float(np.percentile(noise, 90)) if noise else self.epsilon
        was = [self.curves[trial][below] for trial in here]
        return any(abs(a - b) > self.epsilon for a, b in zip(was, sorted(was), strict=True))

    def on_report(self, trial: str, step: int, score: float) -> str:
        self.curves.setdefault(trial, {})[step] = score
        if step == self.max_t:
            return "Finish"
        if step not in self.steps:
            return "Continue"
        k = self.steps.index(step)
        self.rungs[k].append((score, len(self.rungs[k]), trial))
        if score == WORST:
            return "Stop"
        self.top += k == self.top and self.differs()
        if k < self.top and trial in self.best(k):
            return "RunTo"
        self.waiting[k].add(trial)
        return "Pause"

    def next_paused(self) -> str | None:
        for k in reversed(range(self.top)):
            for trial in self.best(k):
                if trial in self.waiting[k]:
                    self.waiting[k].remove(trial)
                    return trial
        return None


@settings(deadline=None, max_examples=25)
@given(
    ladder=st.sampled_from([(9, 1, 3), (27, 1, 3), (16, 1, 2), (11, 2, 2), (10, 3, 4)]),
    seed=st.integers(0, 10**6),
    noise=st.sampled_from([0.0, 0.01, 0.3]),
)
def test_it_decides_as_the_naive_algorithm_does(
    ladder: tuple[int, int, int], seed: int, noise: float
) -> None:
    """Eight slots, 120 trials with curves a + b/step and noise on top; one report in 50 is lost.

    No two of these rungs are more than eight steps apart, so every step of a curve is kept.
    """
    stream = Stream(seed, "pasha duel")
    ours, naive = Pasha(*ladder), Naive(*ladder)
    running: dict[str, int] = {}
    paused: dict[str, int] = {}
    shape: dict[str, tuple[float, float]] = {}
    started = 0
    while started < 120:
        while len(running) < 8:
            named, theirs = ours.next_paused(), naive.next_paused()
            assert (named and named.trial) == theirs
            if named:
                running[named.trial] = paused.pop(named.trial)
            else:
                trial = trial_id(started)
                shape[trial] = stream.uniform(), stream.uniform()
                running[trial], started = 0, started + 1
        trial = stream.choice(sorted(running))
        running[trial] += 1
        step = running[trial]
        flat, fall = shape[trial]
        score = WORST if stream.uniform() < 0.02 else flat + fall / step + noise * stream.uniform()
        decision = ours.on_report(Report(trial, 1, step, {}, score))
        assert type(decision).__name__ == naive.on_report(trial, step, score), f"{trial} at {step}"
        if isinstance(decision, Pause):
            paused[trial] = step
        if isinstance(decision, Pause | Stop | Finish):
            del running[trial]


def steps_run(scheduler: PromotionAsha, noise: float) -> tuple[int, int]:
    """Of 81 trials whose curves never cross but for noise: the longest, and all steps."""
    stream = Stream(7, "saving")
    play = Play(lambda: scheduler)
    quality: dict[str, float] = {}
    while len(quality) < 81:
        quality[play.start()] = stream.uniform()
        while play.running or play.promote():
            trial = next(iter(play.running))
            step = play.running[trial][0] + 1
            play.report(trial, quality[trial] + 1 / step + noise * stream.uniform())
    reached = [heard[1] for heard in play.heard if isinstance(heard, tuple) and len(heard) == 3]
    return max(r for r in reached if isinstance(r, int)), len(reached)


def test_where_curves_do_not_cross_it_stops_at_the_second_rung_and_asha_does_not() -> None:
    assert steps_run(Pasha(81), 0.0)[0] == 3
    assert steps_run(PromotionAsha(81), 0.0)[0] >= 27
    assert steps_run(Pasha(81), 0.0)[1] < steps_run(PromotionAsha(81), 0.0)[1]


def test_where_ranks_are_all_noise_it_goes_further() -> None:
    assert steps_run(Pasha(81), 5.0)[0] > 3
