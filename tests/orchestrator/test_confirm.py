"""Who is trained again on fresh seeds, and what becomes of the replicates."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.cli import app
from raysweep.orchestrator.confirm import Confirm
from raysweep.orchestrator.rebuild import Objects, new_state, rules_of
from raysweep.orchestrator.recorded_sweep import recorded_sweep
from raysweep.orchestrator.replay import check_replay
from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.state import SweepState
from raysweep.orchestrator.summary import summary
from raysweep.results.read import read
from raysweep.results.verify import verify
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.trials import actions, events
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Event, Reported, Suggested
from raysweep.trials.goal import Goal
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Status
from tests.orchestrator.cli_sweeps import SPEC, simulated_sweep
from tests.orchestrator.harness import GOAL, SPACE, Memory, check_record, make_state, run
from tests.orchestrator.test_state_properties import ROUGH, SCHEDULERS, SHARES

FIFO = {"name": "fifo", "max_t": 2}


class Hand:
    """A state machine fed by hand, with one slot; trial i has the config x = xs[i]."""

    def __init__(self, state: SweepState, *xs: float) -> None:
        self.state, self.xs = state, xs
        self.done: list[Any] = []
        self.give(events.Opened(0.0, 1, 0.0, "here"))
        self.give(events.SlotUp(0.0, "s0", "n0", ""))

    def give(self, event: Event) -> None:
        for action in self.state.handle(event).actions:
            self.done.append(action)
            if isinstance(action, actions.Suggest):
                config = {"x": self.xs[int(action.trial[1:])]}
                self.give(Suggested(0.0, action.trial, config))
            elif isinstance(action, actions.Fork):
                self.give(Suggested(0.0, *action))
            elif isinstance(action, actions.Finish):
                self.give(events.Finished(0.0, action.trial, action.attempt, 2, None))

    def train(self, *losses: float) -> actions.Start:
        """The running trial reports these from its first step on; what it was started with."""
        start = self.of(actions.Start)[-1]
        for step, loss in enumerate(losses, 1):
            columns = {"loss": [loss]}
            self.give(Reported(0.0, start.trial, start.attempt, [step], [1.0], columns))
        return start

    def of(self, kind: type) -> list[Any]:
        return [action for action in self.done if isinstance(action, kind)]


def confirming(top: int, seeds: int, trials: int, **more: Any) -> SweepState:
    asked, scheduler = Confirm(top, seeds, more.pop("max_t", 2)), more.pop("scheduler", FIFO)
    return make_state(scheduler, **{"budget": Budget(trials=trials), "confirm": asked, **more})


def test_the_best_of_different_configs_are_trained_again_on_fresh_seeds() -> None:
    """By best reports t0 has 0.3, t1 0.5, t2 0.4, t3 0.2 with the config of t0, and t4 NaN."""
    hand = Hand(confirming(2, 2, 5), 0.1, 0.2, 0.3, 0.1, 0.4)
    for losses in ((0.3, 0.9), (0.5, 0.5), (0.8, 0.4), (0.6, 0.2), (math.nan, math.nan)):
        assert not hand.of(actions.Fork)
        hand.train(*losses)
    assert hand.of(actions.Fork) == [
        actions.Fork(
            "t000005", {"x": 0.1}, {"rank": 1, "value": 0.2, "to_step": 2}, None, None, "t000003"
        ),
        actions.Fork(
            "t000006", {"x": 0.1}, {"rank": 1, "value": 0.2, "to_step": 2}, None, None, "t000003"
        ),
        actions.Fork(
            "t000007", {"x": 0.3}, {"rank": 2, "value": 0.4, "to_step": 2}, None, None, "t000002"
        ),
        actions.Fork(
            "t000008", {"x": 0.3}, {"rank": 2, "value": 0.4, "to_step": 2}, None, None, "t000002"
        ),
    ]
    assert not hand.of(actions.Close)
    starts = [hand.train(0.01, 0.02) for _ in range(4)]
    assert [(s.trial, s.attempt, s.step, s.checkpoint, s.run_to) for s in starts] == [
        (f"t{5 + i:06d}", 1, 0, None, 2) for i in range(4)
    ]
    assert [s.seed for s in starts] == [
        Stream(0, f"t{5 + i:06d}", "train").integer(0, 1 << 31) for i in range(4)
    ]
    assert len({s.seed for s in hand.of(actions.Start)}) == 9
    assert hand.of(actions.Close) == [actions.Close("all 9 trials have run their course", 0)]
    assert len(hand.of(actions.Fork)) == 4, "however good replicates are, nobody replicates them"
    assert hand.state.waiting.issued == 5
    assert hand.state.spend.steps == 18


def test_neither_searcher_nor_scheduler_hears_of_replicates() -> None:
    state = confirming(1, 3, 2, scheduler={"name": "asha", "max_t": 2, "form": "stopping"})
    searcher, scheduler = state.advice.searcher, state.advice.scheduler
    hand = Hand(state, 0.1, 0.2)
    hand.train(0.5, 0.5)
    hand.train(0.4, 0.4)
    told, known = json.dumps(searcher.state()), json.dumps(scheduler.state())
    for _ in range(3):
        hand.train(0.9, math.nan)
    assert (json.dumps(searcher.state()), json.dumps(scheduler.state())) == (told, known)
    assert state.ended[Status.COMPLETED] == 5
    assert hand.of(actions.Close)


def test_without_max_t_a_replicate_runs_as_far_as_its_original_did() -> None:
    hand = Hand(confirming(2, 1, 2, scheduler={"name": "fifo"}, max_t=None), 0.1, 0.2)
    for losses in ((0.5, 0.4, 0.3), (0.6,)):
        start = hand.train(*losses)
        hand.give(events.Ended(0.0, start.trial, 1, len(losses)))
    assert [fork.why["to_step"] for fork in hand.of(actions.Fork)] == [3, 1]
    hand.train(0.5, 0.4, 0.3)
    hand.train(0.6)
    assert hand.of(actions.Close)


def test_a_paused_trial_may_be_among_the_best_and_stays_paused() -> None:
    scheduler = {"name": "asha", "max_t": 3, "reduction_factor": 3}
    hand = Hand(confirming(2, 1, 3, scheduler=scheduler, max_t=3), 0.1, 0.2, 0.3)
    for loss in (0.3, 0.1, 0.2):
        start = hand.train(loss)
        hand.give(events.Paused(0.0, start.trial, start.attempt, 1, f"c/{start.trial}/1-1"))
    promoted = hand.of(actions.Start)[-1]
    assert (promoted.trial, promoted.step) == ("t000001", 1)
    for step in (2, 3):
        hand.give(Reported(0.0, "t000001", 2, [step], [1.0], {"loss": [0.1]}))
    assert [(f.replicate_of, f.why["to_step"]) for f in hand.of(actions.Fork)] == [
        ("t000001", 3),
        ("t000002", 3),
    ]
    hand.train(0.5, 0.5, 0.5)
    hand.train(0.5, 0.5, 0.5)
    assert hand.of(actions.Close)
    assert {trial.id: trial.status for trial in hand.state.live.values()} == dict.fromkeys(
        ("t000000", "t000002"), Status.PAUSED
    )


def test_a_larger_budget_replicates_only_what_is_new_among_the_best() -> None:
    state = confirming(1, 2, 1)
    hand = Hand(state, 0.1, *[math.inf] * 2, 0.2, 0.3)
    for _ in range(3):
        hand.train(0.5, 0.5)
    assert len(hand.of(actions.Close)) == 1
    hand.give(events.Closed(0.0, "done", 0))
    state.adopt(state.rules._replace(budget=Budget(trials=3)))
    hand.give(events.Opened(0.0, 2, 0.0, "here"))
    hand.give(events.SlotUp(0.0, "s1", "n0", ""))
    hand.train(0.7, 0.7)
    hand.train(0.1, 0.4)
    assert [fork.replicate_of for fork in hand.of(actions.Fork)] == ["t000000"] * 2 + [
        "t000004"
    ] * 2


def test_a_driver_that_dies_before_a_replicate_is_recorded_is_asked_again() -> None:
    state = confirming(1, 2, 1)
    hand = Hand(state, 0.1)
    handle = state.handle
    hand.train(0.5)
    turn = handle(Reported(0.0, "t000000", 1, [2], [1.0], {"loss": [0.5]}))
    turn = handle(events.Finished(0.0, "t000000", 1, 2, None))
    forks = [action for action in turn.actions if isinstance(action, actions.Fork)]
    assert len(forks) == 2
    handle(Suggested(0.0, *forks[0]))
    saved = json.loads(json.dumps(state.state()))
    again = confirming(1, 2, 1)
    again.load(saved)
    turn = again.handle(events.Opened(0.0, 2, 0.0, "here"))
    assert turn.actions == [forks[1]], "and not the one that is on record"
    handle(Suggested(0.0, *forks[1]))
    started = again.handle(Suggested(0.0, *forks[1]))
    assert not started.actions, "no slot is up yet"
    turn = again.handle(events.SlotUp(0.0, "s1", "n0", ""))
    assert [action.trial for action in turn.actions] == ["t000001"]


def test_a_replicate_that_fails_is_tried_again_from_scratch_and_then_given_up() -> None:
    hand = Hand(confirming(1, 1, 4), 0.1, 0.2, 0.3, 0.4)
    for _ in range(4):
        hand.train(0.5, 0.5)
    start = hand.train(0.6)
    hand.give(events.Failed(0.0, start.trial, 1, "infra", "node lost", ""))
    hand.give(events.SlotUp(0.0, "s1", "n0", ""))
    hand.give(events.Ticked(60.0))
    start = hand.of(actions.Start)[-1]
    assert (start.trial, start.attempt, start.step) == ("t000004", 2, 0)
    hand.give(events.Failed(60.0, start.trial, 2, "error", "boom", ""))
    assert hand.state.ended[Status.FAILED] == 1
    assert hand.of(actions.Close) == [actions.Close("all 5 trials have run their course", 0)]


def test_a_sweep_that_comes_to_rest_replicates_nobody() -> None:
    state = confirming(1, 2, 3, budget=Budget(trials=3, steps=4))
    hand = Hand(state, 0.1, 0.2, 0.3)
    hand.train(0.5, 0.5)
    hand.train(0.5, 0.5)
    assert not hand.of(actions.Fork)
    assert "budget of 4 steps" in hand.of(actions.Close)[-1].reason


@settings(deadline=None, max_examples=100)
@given(
    machine=ROUGH,
    seed=st.integers(0, 10**6),
    scheduler=st.sampled_from(SCHEDULERS),
    shares=SHARES,
    top=st.integers(1, 4),
    seeds=st.integers(1, 3),
)
def test_whatever_goes_wrong_the_sweep_closes_and_every_replicate_ends(
    machine: Machine, seed: int, scheduler: dict[str, Any], shares: Any, top: int, seeds: int
) -> None:
    asked = Confirm(top, seeds, scheduler.get("max_t"))
    state, memory = make_state(scheduler, seed=seed, shares=shares, confirm=asked), Memory()
    closed = run(state, machine, memory, seed=seed)
    assume("failed alike" not in closed.reason)
    made = [r.event for r in memory.records if isinstance(r.event, Suggested)]
    replicates = {event.trial: event for event in made if event.replicate_of}
    assert len(made) - len(replicates) == 12
    finite = {
        event.trial
        for event, _ in memory.records
        if isinstance(event, Reported) and any(map(math.isfinite, event.metrics["loss"]))
    }
    originals = {event.trial for event in made if event.trial in finite} - replicates.keys()
    assert len(replicates) == seeds * min(top, len(originals))
    assert not replicates.keys() & state.live.keys(), "every one has ended"
    configs = {event.trial: event.config for event in made}
    assert all(e.config == configs[e.replicate_of] for e in replicates.values() if e.replicate_of)
    verbs = {v.verb for _, vs in memory.records for v in vs if v.trial in replicates}
    assert verbs <= {"start", "resume", "retry", "finish", "pause", "park"}
    assert state.waiting.issued == 12
    check_record(memory)


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec.from_dict({**SPEC, **changes})


def test_a_spec_says_how_many_and_how_far() -> None:
    assert rules_of(spec()).confirm is None
    assert rules_of(spec(confirm={})).confirm == (5, 3, 9)
    assert rules_of(spec(confirm={"top": 2, "seeds": 10})).confirm == (2, 10, 9)
    timed = {"name": "asha", "max_t": 9, "unit": "seconds"}
    assert rules_of(spec(confirm={}, scheduler=timed)).confirm == (5, 3, None)
    assert rules_of(spec(confirm={}, scheduler="fifo")).confirm == (5, 3, None)
    again = SweepSpec.from_dict(spec(confirm={"top": 2}).to_dict())
    assert again.confirm is not None
    assert (again.confirm.top, again.confirm.seeds) == (2, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confirm": {"top": 0}}, r"confirm\.top: got 0; it should be greater than or equal to 1"),
        ({"confirm": {"top": 2.5}}, r"confirm\.top: got 2\.5; it should be a valid integer"),
        ({"confirm": {"seeds": 0}}, r"confirm\.seeds: got 0; it should be greater than or equal"),
        ({"confirm": {"seeds": "3"}}, r"confirm\.seeds: got '3'; it should be a valid integer"),
        ({"confirm": {"seed": 3}}, r"confirm\.seed: unknown key; did you mean 'seeds'"),
        ({"confirm": 5}, "confirm: got 5; it should map top, seeds to values"),
        (
            {"confirm": {"top": 21}},
            "confirm: top is 21, and budget.trials is 20; give top a whole number from 1 to that",
        ),
        (
            {"confirm": {}, "scheduler": {"name": "pbt", "interval": 2, "max_t": 9}},
            "confirm: under pbt configs change as training goes on.*leave confirm out",
        ),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(**changes)


def test_a_scheduler_object_that_makes_children_is_refused_before_anything_starts() -> None:
    options = {"interval": 2, "max_t": 9}
    breeder = build_scheduler("pbt", options, Setting(GOAL, SPACE, 0, 20))
    with pytest.raises(
        SpecError, match=r"confirm: the scheduler makes children.*leave confirm out"
    ):
        new_state(spec(confirm={}, scheduler=breeder), Objects(scheduler=breeder))


def test_a_sweep_directory_tells_of_its_replicates(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="random", confirm={"top": 2, "seeds": 3})
    results = read(path)
    rows = {row["trial_id"]: row for row in results.arrow("trials").to_pylist()}
    replicates = {name: row for name, row in rows.items() if row["replicate_of"]}
    assert len(rows) == 26
    assert len(replicates) == 6
    for row in replicates.values():
        original = rows[row["replicate_of"]]
        assert row["config_json"] == original["config_json"]
        assert (row["status"], row["steps"], row["attempts"]) == ("COMPLETED", 9, 1)
        assert (row["parent"], row["stop_rule"]) == (None, "replicate")
        assert json.loads(row["why"])["value"] == original["best_value"]
    assert verify(path) == []
    assert list(check_replay(path)) == []
    assert results.status()["budget"]["trials"] == {"limit": 20, "used": 20}
    assert len(recorded_sweep(path).trials) == 20, "what is replayed is what was searched"


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="random", confirm={"top": 3, "seeds": 4})
    found = read(path).confirmed()
    assert found is not None
    facts = json.loads(invoke("confirmed", path, "--json").stdout)
    assert (facts["selected"], facts["best"]) == (found.selected, found.best)
    assert facts["differs"] == (found.selected != found.best)
    assert [row["trial_id"] for row in facts["configs"]] == [one.trial_id for one in found.configs]
    first = found.configs[0]
    assert first.mean is not None
    assert facts["configs"][0]["mean"] == first.mean._asdict()
    assert first.expected is not None
    assert facts["configs"][0]["expected"] == first.expected._asdict()
    assert first.mean.estimate == min(one.mean.estimate for one in found.configs if one.mean)
    said = invoke("confirmed", path)
    assert said.exit_code == 0, said.output
    assert "3 configs trained again, 12 replicates in all" in said.output
    assert f"selected  {found.selected}: loss" in said.output
    assert "of another training, as this is the best of 3 means" in said.output
    narrow = json.loads(invoke("confirmed", path, "--json", "--confidence", "0.5").stdout)
    assert narrow["configs"][0]["mean"]["low"] > facts["configs"][0]["mean"]["low"]
    assert invoke("confirmed", path, "--confidence", "95").exit_code == 2


def test_a_trial_tells_of_what_it_replicates_and_of_its_replicates(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="random", confirm={"top": 1, "seeds": 2})
    found = read(path).confirmed()
    assert found is not None
    replicate = invoke("explain", path, "20").stdout
    assert f"replicate of {found.selected}, which ranked 1 with" in replicate
    assert "complete, it has run as far as a replicate is to" in replicate
    original = invoke("explain", path, found.selected).stdout
    assert original.count("trains its config again, from scratch and on a seed of its own") == 2


def test_the_last_screen_of_a_run_names_the_best_by_fresh_seeds(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="random", confirm={"top": 2, "seeds": 2})
    results, console = read(path), Console(width=500, color_system=None)
    with console.capture() as capture:
        console.print(summary(results, events.Closed(1.0, "done", 0)))
    best = results.confirmed()
    assert best is not None
    assert f"confirmed {best.best}, loss" in capture.get()
    assert "on average of 2 fresh seeds: raysweep confirmed" in capture.get()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"no config was trained again.*confirm: \{top: 5, seeds: 3\}"),
        (
            {"confirm": {"top": 2}, "budget": {"steps": 10}},
            r"comes when all trials have run their course.*budget\.trials",
        ),
    ],
)
def test_of_nobody_nothing_is_concluded(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = simulated_sweep(tmp_path, searcher="random", **changes)
    assert read(path).confirmed() is None
    said = invoke("confirmed", path)
    assert said.exit_code == 1
    assert re.search(message, said.output.replace("\n", " "))


def test_with_several_metrics_the_first_one_chooses() -> None:
    goal = Goal((("loss", "max"), ("other", "min")))
    state = make_state(FIFO, goal=goal, budget=Budget(trials=2), confirm=Confirm(1, 1, 2))
    hand = Hand(state, 0.1, 0.2)
    hand.train(0.5, 0.5)
    hand.train(0.6, 0.4)
    assert [(f.replicate_of, f.why["value"]) for f in hand.of(actions.Fork)] == [("t000001", 0.6)]
