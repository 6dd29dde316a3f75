"""What every scheduler must do; a scheduler's tests inherit `SchedulerContract`.

Rules that compare trials by rank at rungs inherit `RungContract`, which asks for more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.schedulers.base import Promotion, Scheduler
from raysweep.schedulers.catalog import build_scheduler, check_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.trials.decisions import Continue, Decision, Finish, Pause, RunTo, Stop, Verdict
from raysweep.trials.events import Event
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.trial import Config, Outcome, Report, Status, trial_id
from tests.orchestrator.harness import GOAL, Memory, OneNumber, curve, make_state, retries, run

TWICE = Goal((("loss", "min"), ("again", "min")))
"""For rules that look at several metrics: every report has its score as both."""
_LIMITS = Budget(trials=12, steps=600)
_ENDS = {Stop: Status.STOPPED, Finish: Status.COMPLETED}


class Op(NamedTuple):
    """One thing that happens: `pick` chooses the trial that it happens to."""

    kind: str
    pick: int
    score: float


SCORES = st.sampled_from([WORST, 0.0, 1.0]) | st.floats(-10, 10)
OPS = st.lists(
    st.builds(
        Op,
        st.sampled_from(["start", "start", "report", "report", "report", "promote", "end"]),
        st.integers(0, 999),
        SCORES,
    ),
    max_size=120,
)


def scored(trial: str, step: int, score: float) -> Report:
    """A report whose metrics are its score, and that a step is a second and a sample."""
    metrics = {"loss": score, "again": score, "samples": step}
    return Report(trial, 1, step, metrics, score, float(step), 1.0, "cpu")


def twice(config: Config, seed: int, step: int) -> dict[str, Any]:
    """The curve of the simulated sweeps, with its loss under both names and a sample a step."""
    metrics = curve(config, seed, step)
    return {**metrics, "again": metrics["loss"], "samples": step}


inherited = settings(
    deadline=None,
    max_examples=60,
    # every subclass runs the test on itself; a failure of one is a fair example for the others
    suppress_health_check=[HealthCheck.differing_executors],
)
ROUGH = st.builds(
    Machine()._replace,  # of the class itself it would draw even the fields with defaults
    workers=st.integers(1, 5),
    step_sigma=st.sampled_from([0.0, 0.9]),
    save_s=st.sampled_from([0.0, 0.7]),
    error_rate=st.sampled_from([0.0, 0.05]),
    loss_rate=st.sampled_from([0.0, 0.05]),
    can_save=st.booleans(),
)


class Play:
    """A scheduler driven by hand; every call checks what the seam promises of its answer."""

    def __init__(self, make: Callable[[], Scheduler]) -> None:
        self._make = make
        self.scheduler = make()
        self.running: dict[str, list[int]] = {}  # trial → [step, granted step]
        self.paused: dict[str, tuple[int, float]] = {}  # trial → its step and last score
        self.over: set[str] = set()
        self.heard: list[Any] = []
        self.decisions: list[RunTo | Pause | Stop | Finish] = []

    def start(self) -> str:
        trial = trial_id(len(self.running) + len(self.paused) + len(self.over))
        granted = self.scheduler.grant(trial, {"x": 0.5})
        assert granted >= 1
        self.heard.append((trial, granted))
        self.running[trial] = [0, granted]
        return trial

    def report(self, trial: str, score: float) -> Decision:
        """One step further."""
        place = self.running[trial]
        place[0] += 1
        step, granted = place
        decision = self.scheduler.on_report(scored(trial, step, score))
        self.heard.append((trial, step, decision))
        if step < granted:
            assert isinstance(decision, Continue), f"{decision} before the grant at {granted}"
        else:
            self._obey(trial, step, score, decision)
        return decision

    def _obey(self, trial: str, step: int, score: float, decision: Decision) -> None:
        assert not isinstance(decision, Continue), "no decision at the granted step"
        self.decisions.append(decision)
        if isinstance(decision, RunTo):
            assert decision.step > step, "RunTo must go strictly forward"
            if decision.reason.rung is not None:  # else it is still on its way to one
                assert score != WORST, "what is not finite must not survive"
            self.running[trial][1] = decision.step
            return
        del self.running[trial]
        if isinstance(decision, Pause):
            self.paused[trial] = (step, score)
        else:
            self._end(trial, _ENDS[type(decision)], step)

    def _end(self, trial: str, status: Status, step: int) -> None:
        self.over.add(trial)
        self.scheduler.on_end(trial, Outcome(status, step, 0.0))

    def promote(self) -> Promotion | None:
        promotion = self.scheduler.next_paused()
        self.heard.append(promotion)
        if promotion is not None:
            assert promotion.trial not in self.over, "an ended trial was named again"
            assert promotion.trial in self.paused, "a trial was promoted that does not pause"
            step, score = self.paused.pop(promotion.trial)
            assert promotion.step > step
            assert score != WORST
            self.running[promotion.trial] = [step, promotion.step]
        return promotion

    def kill(self, trial: str) -> None:
        """The trial fails, whether it runs or pauses."""
        step = self.running.pop(trial, [0])[0] or self.paused.pop(trial, (0, 0.0))[0]
        self._end(trial, Status.FAILED, step)

    def reload(self) -> None:
        """Go on with a new scheduler that only has what `state` gave, as JSON carries it."""
        text = json.dumps(self.scheduler.state())
        self.scheduler = self._make()
        self.scheduler.load(json.loads(text))

    def do(self, op: Op) -> None:
        if op.kind == "start":
            self.start()
        elif op.kind == "promote":
            self.promote()
        elif op.kind == "report" and self.running:
            self.report(sorted(self.running)[op.pick % len(self.running)], op.score)
        elif op.kind == "end" and op.pick % 3 == 0:  # seldom, or nobody comes far
            for trial in sorted([*self.running, *self.paused])[op.pick % 5 :][:1]:
                self.kill(trial)

    def tournament(self, scores: Sequence[float]) -> dict[str, int]:
        """All trials one after the other, each with one score for life; how far each came."""
        reached: dict[str, int] = {}
        lifelong: dict[str, float] = {}
        for score in scores:
            lifelong[self.start()] = score
            while self.running or self.promote():
                trial = next(iter(self.running))
                step = self.running[trial][0] + 1
                self.report(trial, lifelong[trial])
                reached[trial] = step
        return reached


class SchedulerContract:
    """Set `name` and `options`; `max_t` among these should be small, so that trials get there."""

    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    goal: ClassVar[Goal] = GOAL

    def make(self) -> Scheduler:
        return build_scheduler(self.name, self.options, Setting(self.goal))

    @property
    def filled(self) -> dict[str, Any]:
        return check_scheduler(self.name, self.options)

    @inherited
    @given(ops=OPS)
    def test_every_answer_is_one_that_the_seam_allows(self, ops: list[Op]) -> None:
        play = Play(self.make)
        for op in ops:
            play.do(op)

    @inherited
    @given(ops=OPS)
    def test_saved_and_loaded_after_every_call_it_decides_the_same(self, ops: list[Op]) -> None:
        straight, reloaded = Play(self.make), Play(self.make)
        for op in ops:
            straight.do(op)
            reloaded.do(op)
            reloaded.reload()
        assert reloaded.heard == straight.heard
        assert reloaded.scheduler.state() == json.loads(json.dumps(straight.scheduler.state()))

    @inherited
    @given(ops=OPS, scores=st.tuples(SCORES, SCORES))
    def test_a_better_score_never_fares_worse(
        self, ops: list[Op], scores: tuple[float, float]
    ) -> None:
        play = Play(self.make)
        for op in ops:
            play.do(op)
        if not play.running:
            return
        trial, (step, granted) = next(iter(play.running.items()))
        saved, decided = json.dumps(play.scheduler.state()), []
        for score in sorted(scores):
            copy = self.make()
            copy.load(json.loads(saved))
            for each in range(step + 1, granted + 1):
                decision = copy.on_report(scored(trial, each, score))
            decided.append(isinstance(decision, RunTo))
        assert decided[0] >= decided[1], "the worse score went on, the better one did not"

    def test_failed_trials_that_are_retried_run_their_course(self) -> None:
        """After a mended bug: the rule grants them steps anew, and the sweep comes to rest."""
        options = {"name": self.name, **self.filled}
        state = make_state(options, goal=TWICE, budget=_LIMITS, max_failed_share=1.0)
        memory = Memory()
        run(state, Machine(workers=3, error_rate=0.25), memory, seed=5, train=twice)
        again = retries(state, memory)
        failed = state.ended[Status.FAILED]
        assert again, "none failed: the test shows nothing"
        mended = Machine(workers=3)
        closed = run(state, mended, memory, seed=5, epoch=2, train=twice, retried=again)
        assert closed.exit_code == 0, closed
        assert state.ended[Status.FAILED] == failed - len(again)
        assert all(trial.status is Status.PAUSED for trial in state.live.values())
        assert not state.advice.errors, state.advice.last_error
        replay = make_state(options, goal=TWICE, budget=_LIMITS, max_failed_share=1.0)
        for record in memory.records:
            replay.handle(record.event)
        assert replay.state() == state.state()

    def test_the_end_of_an_unknown_trial_is_nothing_to_it(self) -> None:
        scheduler, fresh = self.make(), self.make()
        for status in (Status.FAILED, Status.COMPLETED, Status.STOPPED):
            scheduler.on_end("from-elsewhere", Outcome(status, 3, WORST))
        assert scheduler.state() == fresh.state()
        assert scheduler.next_paused() is None

    def test_a_paused_trial_that_ended_is_never_called_back(self) -> None:
        play = Play(self.make)
        for number in range(12):
            trial = play.start()
            while trial in play.running:
                play.report(trial, 12.0 - number)  # each better than all before it
            for paused in list(play.paused):
                play.kill(paused)
            assert play.promote() is None

    def test_nobody_is_granted_more_than_max_t(self) -> None:
        play = Play(self.make)
        reached = play.tournament([float(n % 7) for n in range(40)])
        assert max(reached.values()) == self.filled["max_t"]

    def test_every_decision_carries_a_rule_and_a_place(self) -> None:
        play = Play(self.make)
        play.tournament([float(n % 5) for n in range(20)])
        assert play.decisions
        for *_, reason in play.decisions:
            assert reason.rule
            assert reason.rung is not None
            assert reason.rank is None or 1 <= reason.rank <= reason.peers

    @settings(inherited, max_examples=25)
    @given(machine=ROUGH, seed=st.integers(0, 10**6))
    def test_no_promotable_trial_waits_while_a_slot_is_free(
        self, machine: Machine, seed: int
    ) -> None:
        """Liveness: after every event of a whole sweep, and at its end, nobody is forgotten."""
        state = make_state(
            {"name": self.name, **self.options}, OneNumber(), goal=self.goal, seed=seed
        )
        state.advice.scheduler = self.make()  # as the copies are, with all that they know

        def nobody_is_forgotten(event: Event, verdicts: Sequence[Verdict]) -> None:
            if not state.slots.free or state.draining:
                return
            copy = self.make()
            copy.load(json.loads(json.dumps(state.advice.scheduler.state())))
            assert copy.next_paused() is None, f"a slot is free after {event}"

        closed = run(state, machine, Memory(), seed=seed, observe=nobody_is_forgotten, train=twice)
        assert "run their course" in closed.reason or "failed" in closed.reason
        assert state.slots.free == machine.workers
        assert sum(state.ended.values()) + len(state.live) == 12
        assert all(trial.status is Status.PAUSED for trial in state.live.values())


class RungContract(SchedulerContract):
    """For rules that let the best `1/reduction_factor` at each rung go on."""

    def test_a_constant_metric_does_not_let_everybody_through(self) -> None:
        trials, filled = 27, self.filled
        reached = Play(self.make).tournament([0.5] * trials)
        beyond = sum(step > filled["grace_period"] for step in reached.values())
        assert 0 < beyond <= trials // filled["reduction_factor"]

    @pytest.mark.parametrize("place", [0, 13, 26])
    def test_the_best_of_all_is_never_lost(self, place: int) -> None:
        """It wins every comparison, whenever it comes, if so many come that there is one."""
        scores = [1.0 + n % 4 for n in range(27)]
        scores[place] = 0.0
        reached = Play(self.make).tournament(scores)
        assert reached[trial_id(place)] == self.filled["max_t"]

    def test_nobody_with_nothing_but_worst_scores_gets_beyond_the_first_rung(self) -> None:
        reached = Play(self.make).tournament([WORST] * 12)
        assert set(reached.values()) == {self.filled["grace_period"]}

    def test_what_one_trial_showed_counts_after_it_is_gone(self) -> None:
        """Eleven worse trials at the rung make room for the best; their ends take nothing back."""
        play, first = Play(self.make), self.filled["grace_period"]
        for score in range(1, 12):
            trial = play.start()
            for _ in range(first):
                play.report(trial, float(score))
            if trial in play.running or trial in play.paused:
                play.kill(trial)
        best = play.start()
        decisions = [play.report(best, 0.0) for _ in range(first)]
        assert isinstance(decisions[-1], RunTo)

    def test_a_sweep_in_the_simulator_thins_out_from_rung_to_rung(self) -> None:
        state = make_state(
            {"name": self.name, **self.options}, goal=self.goal, budget=Budget(trials=60)
        )
        memory = Memory()
        run(state, Machine(workers=4, step_sigma=0.5), memory, train=twice)
        reached: dict[int, set[str]] = {}
        for _, verdicts in memory.records:
            for verdict in verdicts:
                if verdict.verb in ("pause", "stop", "run_to", "finish"):
                    reached.setdefault(verdict.step, set()).add(verdict.trial)
        counts = [len(reached[step]) for step in sorted(reached)]
        assert counts[0] == 60
        assert all(low > high for low, high in pairwise(counts))
        assert counts[-1] >= 1
