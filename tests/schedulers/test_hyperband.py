"""Golden sizes after Li et al., "Hyperband", JMLR 18 (2018), Table 1: R = 81, η = 3."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.schedulers.hyperband import HyperBand, Shape, brackets
from raysweep.trials.decisions import Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status
from tests.contracts.scheduler import OPS, Op, Play, SchedulerContract


class TestHyperBand(SchedulerContract):
    name = "hyperband"
    options: ClassVar[dict[str, Any]] = {"max_t": 9}


class TestHyperBandOfHalves(SchedulerContract):
    name = "hyperband"
    options: ClassVar[dict[str, Any]] = {"max_t": 11, "grace_period": 2, "reduction_factor": 2}


class TestHyperBandWithoutComparisons(SchedulerContract):
    name = "hyperband"
    options: ClassVar[dict[str, Any]] = {"max_t": 4, "grace_period": 4}


def report(trial: str, step: int, score: float) -> Report:
    return Report(trial, 1, step, {}, score)


def test_the_papers_table_1() -> None:
    assert brackets(81) == [
        Shape(81, (1, 3, 9, 27, 81)),
        Shape(27, (3, 9, 27, 81)),
        Shape(9, (9, 27, 81)),
        Shape(6, (27, 81)),
        Shape(5, (81,)),
    ]


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ((100, 1, 3), [(81, (1, 3, 11, 33, 100)), (27, (3, 11, 33, 100)), (9, (11, 33, 100)),
                       (6, (33, 100)), (5, (100,))]),
        ((81, 9, 3), [(9, (9, 27, 81)), (3, (27, 81)), (3, (81,))]),
        ((11, 2, 2), [(4, (2, 5, 11)), (2, (5, 11)), (3, (11,))]),
        ((4, 4, 3), [(1, (4,))]),
        ((1, 1, 2), [(1, (1,))]),
    ],
)  # fmt: skip
def test_other_sizes_by_hand(options: tuple[int, int, int], shapes: list[Any]) -> None:
    assert [tuple(shape) for shape in brackets(*options)] == shapes


@given(st.integers(1, 10**6), st.integers(1, 50), st.integers(2, 10))
def test_brackets_are_sound(max_t: int, grace: int, eta: int) -> None:
    if grace > max_t:
        return
    shapes = brackets(max_t, grace, eta)
    assert shapes[-1].steps == (max_t,)
    for number, shape in enumerate(shapes):
        assert shape.steps == shapes[0].steps[number:]
        assert list(shape.steps) == sorted(set(shape.steps))
        assert shape.steps[0] >= grace
        assert shape.trials // eta ** (len(shape.steps) - 1) >= 1, "somebody reaches the end"


def test_a_whole_round_runs_the_trials_of_table_1() -> None:
    """One worker at a time: of 128 trials, how many reached each step of each bracket."""
    play = Play(lambda: HyperBand(81))
    scores = {}
    for number in range(128):
        scores[play.start()] = float((number * 37) % 128)
    grants = dict(play.heard)
    reached: Counter[tuple[int, int]] = Counter()
    while play.running or play.promote():
        trial = next(iter(play.running))
        target = play.running[trial][1]
        while trial in play.running and play.running[trial][0] < target:
            play.report(trial, scores[trial])
        reached[grants[trial], target] += 1
    assert reached == {
        (1, 1): 81, (1, 3): 27, (1, 9): 9, (1, 27): 3, (1, 81): 1,
        (3, 3): 27, (3, 9): 9, (3, 27): 3, (3, 81): 1,
        (9, 9): 9, (9, 27): 3, (9, 81): 1,
        (27, 27): 6, (27, 81): 2,
        (81, 81): 5,
    }  # fmt: skip


def test_a_bracket_by_hand() -> None:
    """R = 3, η = 3: three trials to step 1, the best one to 3; then two go straight to 3."""
    band = HyperBand(3)
    assert [band.grant(trial, {}) for trial in "abcdef"] == [1, 1, 1, 3, 3, 1]
    assert isinstance(band.on_report(report("a", 1, 5.0)), Pause)
    assert band.next_paused() is None, "b and c can still reach the rung"
    assert isinstance(band.on_report(report("b", 1, 4.0)), Pause)
    assert isinstance(band.on_report(report("c", 1, 6.0)), Pause)
    assert band.next_paused() == ("b", 3, Reason("hyperband", 1, 4.0, 4.0, 1, 3))
    assert band.next_paused() is None
    assert isinstance(band.on_report(report("b", 3, 4.0)), Finish)
    assert band.next_paused(more=False) is None, "f is on its way in the next round"
    assert isinstance(band.on_report(report("f", 1, 9.0)), RunTo), "it has that bracket to itself"


def test_the_last_to_reach_a_rung_goes_on_without_a_pause() -> None:
    band = HyperBand(3)
    for trial in "abc":
        band.grant(trial, {})
    band.on_report(report("a", 1, 5.0))
    band.on_report(report("b", 1, 4.0))
    assert band.on_report(report("c", 1, 3.0)) == RunTo(3, Reason("hyperband", 1, 3.0, 3.0, 1, 3))
    assert band.next_paused() is None


@pytest.mark.parametrize("failing", ["a", "b", "c"])
def test_a_failure_never_blocks_a_rung(failing: str) -> None:
    band = HyperBand(3)
    for trial in "abc":
        band.grant(trial, {})
    for trial in "abc":
        if trial != failing:
            band.on_report(report(trial, 1, 1.0))
    assert band.next_paused() is None
    band.on_end(failing, Outcome(Status.FAILED, 0, WORST))
    promoted = band.next_paused()
    assert promoted
    assert promoted.trial == ("b" if failing == "a" else "a")


def test_the_place_of_a_winner_that_ended_goes_to_the_next() -> None:
    band = HyperBand(3)
    for trial in "abc":
        band.grant(trial, {})
    band.on_report(report("a", 1, 1.0))
    band.on_end("a", Outcome(Status.FAILED, 1, 1.0))
    band.on_report(report("b", 1, 2.0))
    band.on_report(report("c", 1, 3.0))
    assert band.next_paused() == ("b", 3, Reason("hyperband", 1, 2.0, 2.0, 1, 3))


def test_nobody_goes_on_where_nobody_has_a_finite_score() -> None:
    band = HyperBand(3)
    for trial in "abc":
        band.grant(trial, {})
    assert all(isinstance(band.on_report(report(trial, 1, WORST)), Stop) for trial in "abc")
    assert band.next_paused() is None
    assert band.next_paused(more=False) is None


def test_a_bracket_that_never_fills_is_decided_among_those_it_has() -> None:
    band = HyperBand(9)
    for number in range(7):
        band.grant(f"t{number}", {})
        band.on_report(report(f"t{number}", 1, float(number)))
    assert band.next_paused() is None, "two more may come"
    promoted = [band.next_paused(more=False), band.next_paused(more=False)]
    assert [p and p.trial for p in promoted] == ["t0", "t1"], "the best ⌊7/3⌋"
    assert band.next_paused(more=False) is None
    assert band.grant("late", {}) == 3, "whoever comes now opens the next bracket"


class Sweep:
    """`slots` workers on a HyperBand with a limit on trials; any of them may fail, any may crash."""

    def __init__(self, make: Any, trials: int, slots: int, stream: Stream) -> None:
        self.play, self.trials, self.slots, self.stream = Play(make), trials, slots, stream
        self.started = 0

    def fill(self) -> None:
        while len(self.play.running) < self.slots:
            if self.play.promote():
                continue
            if self.started < self.trials:
                self.play.start()
                self.started += 1
            elif not self.last_call():
                return

    def last_call(self) -> bool:
        named = self.play.scheduler.next_paused(more=False)
        if named is None:
            return False
        step, score = self.play.paused.pop(named.trial)
        assert named.step > step
        assert score != WORST
        self.play.running[named.trial] = [step, named.step]
        return True

    def run(self, failing: float, reload: float) -> None:
        for _ in range(100_000):
            self.fill()
            if not self.play.running:
                return
            trial = self.stream.choice(sorted(self.play.running))
            if self.stream.uniform() < failing:
                self.play.kill(trial)
            else:
                score = WORST if self.stream.uniform() < failing else self.stream.uniform()
                self.play.report(trial, score)
            if self.stream.uniform() < reload:
                self.play.reload()
        raise AssertionError("the sweep does not end")


@settings(deadline=None, max_examples=60)
@given(
    shape=st.sampled_from([(9, 1, 3), (27, 1, 3), (16, 1, 2), (11, 2, 2), (10, 3, 4)]),
    trials=st.integers(0, 60),
    slots=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    failing=st.sampled_from([0.0, 0.02, 0.2]),
    reload=st.sampled_from([0.0, 0.1]),
)
def test_every_trial_ends_or_has_lost_whatever_fails_and_whenever_it_resumes(
    shape: tuple[int, int, int], trials: int, slots: int, seed: int, failing: float, reload: float
) -> None:
    sweep = Sweep(lambda: HyperBand(*shape), trials, slots, Stream(seed, "hyperband"))
    sweep.run(failing, reload)
    state = sweep.play.scheduler.state()
    assert sweep.started == trials
    assert state["ready"] == []
    assert all(not b["due"] and not b["waiting"] for b in state["brackets"].values())
    if trials and not failing:
        assert any(decision.__class__ is Finish for decision in sweep.play.decisions)


@settings(deadline=None, max_examples=40)
@given(trials=st.integers(1, 60), slots=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_no_slot_is_idle_while_any_trial_can_start(trials: int, slots: int, seed: int) -> None:
    sweep = Sweep(lambda: HyperBand(9), trials, slots, Stream(seed, "idle"))
    while sweep.started < trials:
        sweep.fill()
        assert len(sweep.play.running) == slots or sweep.started == trials
        sweep.play.report(sweep.stream.choice(sorted(sweep.play.running)), sweep.stream.uniform())


@settings(deadline=None, max_examples=40)
@given(ops=OPS)
def test_a_last_call_at_any_moment_is_survived(ops: list[Op]) -> None:
    """Trials that come after it open another bracket; what was sealed is decided all the same."""
    sweep = Sweep(lambda: HyperBand(9), 0, 1, Stream(0, "unused"))
    for op in ops:
        sweep.play.do(op)
        if op.kind == "promote" and op.pick % 7 == 0:
            sweep.last_call()
    while sweep.play.running or sweep.last_call():
        sweep.play.report(next(iter(sweep.play.running)), 0.5)
