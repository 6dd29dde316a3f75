from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.schedulers.audit import OF, RULE, Audited
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.trials import events
from raysweep.trials.decisions import CONTINUE, Finish, Pause, Reason, RunTo, Stop
from raysweep.trials.goal import WORST
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Status, trial_id
from tests.contracts.scheduler import OPS, Op, Play, SchedulerContract, inherited, scored
from tests.orchestrator.harness import GOAL, Memory, OneNumber, make_state, run

SHARE = 0.5
DRAWN = [n for n in range(60) if Stream(0, trial_id(n), "audit").uniform() < SHARE]


class TestOfAshaThatStops(SchedulerContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "form": "stopping", "audit": SHARE}


class TestOfAshaThatPromotes(SchedulerContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "reduction_factor": 2, "audit": SHARE}


class TestOfHyperBand(SchedulerContract):
    name = "hyperband"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "audit": SHARE}


class TestOfMedian(SchedulerContract):
    name = "median"
    options: ClassVar[dict[str, Any]] = {"max_t": 5, "audit": SHARE}


class TestOfSmoothedAsha(SchedulerContract):
    name = "asha"
    options: ClassVar[dict[str, Any]] = {
        "max_t": 9,
        "form": "stopping",
        "judge_by": "smoothed",
        "audit": SHARE,
    }


def test_by_hand() -> None:
    """ASHA that stops, η = 3, R = 9: of 1, 2, 3 and 4 at rung 1 only the first may go on.

    With half audited, those drawn of the others run on to 9 under "audit of asha"; the rule's rung
    at 3 never hears of them.
    """
    options = {"max_t": 9, "form": "stopping", "audit": SHARE}
    asha = build_scheduler("asha", options, Setting(GOAL))
    for number in range(4):
        trial = trial_id(number)
        assert asha.grant(trial, {}) == 1
        decision = asha.on_report(scored(trial, 1, 1.0 + number))
        if number == 0:
            assert isinstance(decision, RunTo)
            assert decision.step == 3
        elif number in DRAWN:
            why = Reason(f"{OF}asha", 1, 1.0 + number, 1.0, 1 + number, 1 + number)
            assert decision == RunTo(9, why)
            assert asha.on_report(scored(trial, 3, -5.0)) is CONTINUE
            end = asha.on_report(scored(trial, 9, -7.0))
            assert end == Finish(Reason("max_t", 9, -7.0))
        else:
            assert isinstance(decision, Stop)
    assert set(DRAWN) & {1, 2, 3}, "somebody was audited"
    assert asha.state()["inner"]["rungs"] == [[1.0, 2.0, 3.0, 4.0], []]


def test_what_is_not_finite_is_never_audited() -> None:
    asha = build_scheduler("asha", {"max_t": 9, "form": "stopping", "audit": SHARE}, Setting(GOAL))
    trial = trial_id(DRAWN[0])
    asha.grant(trial, {})
    assert isinstance(asha.on_report(scored(trial, 1, WORST)), Stop)


def test_those_that_wait_are_audited_once_nothing_can_change_any_more() -> None:
    """η = 3: 0, 1 and 2 come to rung 1, of which the best, 2, goes on; the other two wait.

    They are condemned only when no new trial will come and 2, on whom the rule still decides, has
    ended; and those drawn, in the order in which they paused.
    """
    drawn, other = DRAWN[:2], next(n for n in range(60) if n not in DRAWN)
    first, second, third = (trial_id(n) for n in (drawn[0], other, drawn[1]))
    asha = build_scheduler("asha", {"max_t": 9, "audit": SHARE}, Setting(GOAL))
    for trial, score in ((first, 2.0), (second, 3.0), ("best", 1.0), (third, 4.0)):
        asha.grant(trial, {})
        decision = asha.on_report(scored(trial, 1, score))
        assert isinstance(decision, RunTo if trial == "best" else Pause)
    assert asha.next_paused(more=True) is None, "new trials may still come"
    assert asha.next_paused(more=False) is None, "best may still come to rung 3"
    asha.on_end("best", Outcome(Status.FAILED, 2, 1.0))
    found = []
    while promotion := asha.next_paused(more=False):
        found.append(promotion)
    assert [p.trial for p in found] == [first, third]
    assert {p.step for p in found} == {9}
    assert found[0].reason == Reason(RULE, 1, 2.0, None, 1, 1), "as it stood when it paused"


def test_a_real_promotion_comes_first_and_takes_it_off_the_list() -> None:
    drawn = trial_id(DRAWN[0])
    asha = build_scheduler("asha", {"max_t": 9, "audit": SHARE}, Setting(GOAL))
    for trial, score in ((drawn, 1.0), ("b", 2.0), ("c", 3.0)):
        asha.grant(trial, {})
        assert isinstance(asha.on_report(scored(trial, 1, score)), Pause)
    promotion = asha.next_paused(more=False)
    assert promotion is not None
    assert (promotion.trial, promotion.step, promotion.reason.rule) == (drawn, 3, "asha promotion")
    assert asha.next_paused(more=False) is None
    assert drawn not in [trial for trial, *_ in asha.state()["waiting"]]


@inherited
@given(ops=OPS, form=st.sampled_from(["stopping", "promotion"]))
def test_the_rule_decides_as_if_there_were_no_audit(ops: list[Op], form: str) -> None:
    """Everybody but the audited hears the same, and these hear RunTo where they would have stopped."""
    options = {"max_t": 9, "reduction_factor": 2, "form": form}
    plain = Play(lambda: build_scheduler("asha", options, Setting(GOAL)))
    audited = Play(lambda: build_scheduler("asha", {**options, "audit": SHARE}, Setting(GOAL)))
    for op in ops:
        if op.kind == "start":
            assert plain.start() == audited.start()
        elif op.kind == "promote":
            assert plain.promote() == audited.promote()
        elif op.kind == "report" and plain.running:
            trial = sorted(plain.running)[op.pick % len(plain.running)]
            expected, found = (play.report(trial, op.score) for play in (plain, audited))
            if found != expected:
                assert isinstance(expected, Stop)
                why = expected.reason
                assert found == RunTo(9, why._replace(rule=f"{OF}{why.rule}"))
        elif extra := sorted(set(audited.running) - set(plain.running)):
            audited.report(extra[op.pick % len(extra)], op.score)
    assert audited.scheduler.state()["inner"] == plain.scheduler.state()


@pytest.mark.parametrize(
    "scheduler",
    [
        {"name": "asha", "max_t": 9},
        {"name": "hyperband", "max_t": 9},
        {"name": "pasha", "max_t": 9, "reduction_factor": 2},
        {"name": "asha", "max_t": 9, "form": "stopping"},
        {"name": "median", "max_t": 9},
    ],
    ids=lambda scheduler: "-".join(str(v) for v in scheduler.values()),
)
def test_by_the_end_of_a_sweep_everybody_drawn_and_condemned_has_run_to_max_t(
    scheduler: dict[str, Any],
) -> None:
    state = make_state(
        {**scheduler, "audit": SHARE}, OneNumber(), goal=GOAL, budget=Budget(trials=40)
    )
    memory = Memory()
    closed = run(state, Machine(workers=3, step_sigma=0.6), memory)
    assert "run their course" in closed.reason
    audited, condemned, reached = set(), set(state.live), dict[str, int]()
    for event, verdicts in memory.records:
        if isinstance(event, events.Reported):
            reached[event.trial] = event.steps[-1]
        for verdict in verdicts:
            if verdict.rule.startswith("audit"):
                audited.add(verdict.trial)
            elif verdict.verb == "stop" and verdict.value is not None:
                condemned.add(verdict.trial)
    assert len(audited) >= 5
    assert condemned
    drawn = {trial_id(n) for n in DRAWN}
    assert audited <= drawn
    assert not condemned & drawn
    assert {reached[trial] for trial in audited} == {9}


def test_the_draw_is_of_the_seed_and_the_trial_alone() -> None:
    """2,000 draws at 0.05: 100 expected, sd 9.7, so that 50 … 150 fails once in 10^6."""
    audits = [Audited(build_scheduler("asha", {"max_t": 9}), 0.05, 9, seed) for seed in (1, 1, 2)]
    one, again, other = ([a._drawn(trial_id(n)) for n in range(2000)] for a in audits)
    assert one == again != other
    assert 50 < sum(one) < 150


def test_state_is_json() -> None:
    asha = build_scheduler("asha", {"max_t": 9, "audit": SHARE}, Setting(GOAL))
    for number in DRAWN[:3]:
        asha.grant(trial_id(number), {})
        asha.on_report(scored(trial_id(number), 1, 5.0 - number))
    saved = json.loads(json.dumps(asha.state()))
    copy = build_scheduler("asha", {"max_t": 9, "audit": SHARE}, Setting(GOAL))
    copy.load(saved)
    assert json.loads(json.dumps(copy.state())) == saved
    assert copy.next_paused(more=False) == asha.next_paused(more=False)
