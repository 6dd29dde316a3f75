"""Replaying a sweep by other rules: what is saved, what is lost, and what nobody can know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.recorded import ROW, Track
from raysweep.orchestrator.recorded_sweep import Recorded, RecordedSweep, recorded_sweep
from raysweep.orchestrator.what_if import named, spec_of, what_if
from raysweep.results.store import Store
from raysweep.trials.clock import ManualClock
from raysweep.trials.errors import SpecError
from raysweep.trials.events import Ended, Event, Failed, Opened, Reported, Started, Suggested
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.trial import Status, trial_id
from tests.orchestrator.cli_sweeps import simulated_sweep

ASHA = {"name": "asha", "max_t": 9, "form": "stopping"}


def trial(
    number: int, losses: list[float], status: Status = Status.COMPLETED, step_s: float = 1.0
) -> Recorded:
    track = Track({"loss": losses}, [step_s] * len(losses))
    config = {"x": number / 10}
    return Recorded(trial_id(number), config, status, False, track, tuple(losses))


def sweep(*trials: Recorded, **changes: Any) -> RecordedSweep:
    space = Space.from_dict({"x": {"uniform": [0.0, 1.0]}})
    goal = Goal((("loss", "min"),))
    whole = RecordedSweep(
        Path("sweeps/old"), "old", goal, 3, trials, 0, space, 0.5, 1, 0.0, timed=True
    )
    return whole._replace(**changes)


def flat(level: float, length: int = 9) -> list[float]:
    return [level] * length


def test_stopping_saves_what_the_stopped_would_have_cost() -> None:
    recorded = sweep(trial(0, flat(1.0)), *(trial(n, flat(1.0 + n)) for n in (1, 2, 3)))
    found = what_if(recorded, ASHA)
    # on one worker, one after the other: the first runs 9 steps, each worse one is stopped at 1
    assert (found.recorded.steps, found.replayed.steps) == (36, 12)
    assert (found.recorded.slot_s, found.replayed.slot_s) == (36.0, 12.0)
    assert (found.recorded.time_s, found.replayed.time_s) == (36.0, 12.0)
    assert found.replayed.best == found.recorded.best == 1.0
    assert found.replayed.final == 1.0
    assert found.replayed.trials["STOPPED"] == 3
    assert found.top == ("t000000", "t000001", "t000002", "t000003")
    assert found.killed == ("t000001", "t000002", "t000003")
    assert found.unknown == ()


def test_stopping_loses_what_starts_slowly() -> None:
    late = [5.0] * 8 + [0.5]
    found = what_if(sweep(trial(0, flat(1.0)), trial(1, late)), ASHA)
    assert (found.recorded.best, found.replayed.best) == (0.5, 1.0)
    assert (found.recorded.final, found.replayed.final) == (0.5, 1.0)
    assert found.top[0] == "t000001"
    assert found.killed == ("t000001",)


def test_a_curve_that_was_cut_off_ends_there_and_says_so() -> None:
    cut = trial(1, flat(0.1, 2), Status.STOPPED)
    found = what_if(sweep(trial(0, flat(1.0)), cut), ASHA)
    assert found.unknown == ("t000001",)
    assert found.replayed.steps == 9 + 2
    assert found.killed == ()
    assert found.replayed.best == 0.1


def test_a_cut_curve_whose_end_the_rule_does_not_reach_is_known_enough() -> None:
    cut = trial(1, flat(2.0, 1), Status.PAUSED)
    found = what_if(sweep(trial(0, flat(1.0)), cut), ASHA)
    assert found.unknown == ()
    assert found.replayed.trials["STOPPED"] == 1


def test_a_cut_curve_is_unknown_only_once_the_rule_promotes_it() -> None:
    promotion = {"name": "asha", "max_t": 9, "form": "promotion"}
    paused = [trial(n, flat(1.0 + n, 1), Status.PAUSED) for n in range(3)]
    found = what_if(sweep(*paused), promotion)
    # of three at the first rung the best is promoted, and that is where its recording ends
    assert found.unknown == ("t000000",)
    assert found.replayed.trials["PAUSED"] == 2


def test_what_failed_fails_there_and_is_not_unknown() -> None:
    found = what_if(
        sweep(trial(0, flat(1.0, 4), Status.FAILED), trial(1, flat(2.0))), {"name": "fifo"}
    )
    assert (found.failed, found.unknown) == (("t000000",), ())
    assert found.replayed.steps == 13


def test_training_that_ended_by_itself_is_whole_at_any_length() -> None:
    short = trial(0, flat(1.0, 4))._replace(by_itself=True)
    found = what_if(sweep(short, trial(1, flat(2.0))), {"name": "fifo"})
    assert found.unknown == ()
    beyond = what_if(sweep(trial(0, flat(1.0, 9))), {"name": "fifo", "max_t": 20})
    assert beyond.unknown == ("t000000",), "it was complete for a sweep of 9 steps, not of 20"


def test_a_rule_that_ends_trials_earlier_kills_none_that_it_sees_through() -> None:
    found = what_if(sweep(trial(0, flat(1.0)), trial(1, flat(2.0))), {"name": "fifo", "max_t": 3})
    assert found.killed == ()
    assert found.replayed.steps == 6
    assert found.replayed.final == float("inf"), "none came to its recorded end"


def test_workers_share_the_trials() -> None:
    recorded = sweep(*(trial(n, flat(1.0 + n), step_s=2.0) for n in range(4)), setup_s=5.0)
    found = what_if(recorded, {"name": "fifo"}, workers=4)
    assert found.recorded.time_s == found.replayed.time_s == 5.0 + 18.0
    assert found.replayed.slot_s == 4 * 23.0


def test_a_searcher_chooses_the_order_and_nothing_else() -> None:
    recorded = sweep(*(trial(n, flat(10.0 - n)) for n in range(10)))
    found = what_if(recorded, {"name": "fifo"}, searcher={"name": "tpe"})
    assert found.replayed.steps == found.recorded.steps == 90
    assert found.replayed.best == 1.0
    assert found.recorded.best_at_s == 82.0, "the best is the last on record"
    assert found.replayed.best_at_s != 82.0


def test_twins_are_two_trials() -> None:
    twins = [trial(0, flat(1.0)), trial(1, flat(2.0))._replace(config={"x": 0.0})]
    assert what_if(sweep(*twins), {"name": "fifo"}).replayed.steps == 18


@pytest.mark.parametrize(
    ("scheduler", "searcher", "message"),
    [
        ({"name": "asah"}, None, r"'asah' is not one; did you mean 'asha'"),
        ({"name": "asha", "eta": 3}, None, "eta"),
        ({"name": "fifo"}, {"name": "grid"}, "a list of its own"),
        ({"name": "fifo"}, {"name": "tqe"}, "did you mean 'tpe'"),
    ],
)
def test_bad_rules_are_refused(scheduler: Any, searcher: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        what_if(sweep(trial(0, flat(1.0))), scheduler, searcher=searcher)
    with pytest.raises(SpecError, match="--workers is 0"):
        what_if(sweep(trial(0, flat(1.0))), {"name": "fifo"}, workers=0)


def test_without_a_space_nobody_can_choose() -> None:
    blind = sweep(trial(0, flat(1.0)), space=None)
    assert what_if(blind, {"name": "fifo"}).replayed.steps == 9
    with pytest.raises(SpecError, match="does not say what space"):
        what_if(blind, {"name": "fifo"}, searcher={"name": "random"})


def test_names_and_options_are_read_as_in_a_spec() -> None:
    assert named("asha:max_t=27,form=stopping", "scheduler") == {
        "name": "asha", "max_t": 27, "form": "stopping",
    }  # fmt: skip
    assert named("fifo", "scheduler") == {"name": "fifo"}
    with pytest.raises(SpecError, match=r"--scheduler 'asha:9': '9' is no option; write NAME:opt"):
        named("asha:9", "scheduler")
    assert (
        spec_of(sweep(trial(0, flat(1.0, 7))), named("asha", "x"), None, 1).scheduler["max_t"] == 7
    )


# -- reading a directory -------------------------------------------------------------------------


def test_a_simulated_sweep_is_read_as_it_ran(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="random", budget={"trials": 20})
    found = recorded_sweep(path)
    assert [one.trial for one in found.trials] == [trial_id(n) for n in range(20)]
    assert {len(one.scores) for one in found.trials} == {1, 3, 9}
    assert all(one.cut == (len(one.scores) < 9) for one in found.trials)
    assert (found.slots, found.longest, found.timed, found.silent) == (4, 9, True, 0)
    again = what_if(found, {"name": "asha", "max_t": 9})
    # ASHA's own rule on what ASHA recorded: nothing was cut where it would not be cut again,
    # as long as reports come in the same order
    assert again.recorded.steps == sum(len(one.scores) for one in found.trials)
    assert again.replayed.steps == again.recorded.steps
    assert again.recorded.slot_s == pytest.approx(again.replayed.slot_s)


def write(path: Path, *events: Event) -> Path:
    manifest = {
        "name": "made", "seed": 0, "spec": {}, "metrics": {"loss": "min"}, "columns": {"x": "float64"},
    }  # fmt: skip
    store = Store.create(path, manifest, clock=ManualClock(), fsync="os")
    for event in (Opened(0.0, 1, 0.0, "here"), *events):
        store.append(event, ())
    store.close()
    return path


def life(number: int) -> list[Event]:
    name = trial_id(number)
    return [
        Suggested(0.0, name, {"x": number / 10}),
        Started(0.0, name, 1, 0, "s0", "n0", 2.0),
    ]


def test_seconds_of_steps_count_within_an_attempt(tmp_path: Path) -> None:
    name = trial_id(0)
    path = write(
        tmp_path / "made",
        *life(0),
        Reported(1.0, name, 1, [1, 2, 3], [1.0, 3.0, 6.0], {"loss": [3.0, 2.0, 1.5]}),
        Started(9.0, name, 2, 2, "s0", "n0", 4.0),
        Reported(9.0, name, 2, [3, 4], [5.0, 7.0], {"loss": [1.4, float("nan")]}),
        Ended(9.0, name, 2, 4),
        *life(1),
        Failed(9.0, trial_id(1), 1, "error", "it raised", ""),
    )
    found = recorded_sweep(path)
    (only,) = found.trials
    # the second attempt repeats step 3 in its own 5 s, and takes 2 s for step 4
    assert only.track.seconds == [1.0, 2.0, 5.0, 2.0]
    assert only.scores == (3.0, 2.0, 1.4, float("inf"))
    assert only.by_itself
    assert (found.silent, found.setup_s, found.space, found.slots) == (
        1,
        pytest.approx(8 / 3),
        None,
        1,
    )
    assert found.recording().curves({ROW: 0}, 0, 3) == {"loss": 1.4}


def test_a_curve_ends_before_its_first_missing_step_and_time_may_be_unknown(tmp_path: Path) -> None:
    name = trial_id(0)
    gap = Reported(1.0, name, 1, [1, 2, 5], [0.0, 0.0, 0.0], {"loss": [3.0, 2.0, 1.0]})
    found = recorded_sweep(write(tmp_path / "made", *life(0), gap, Ended(2.0, name, 1, 5)))
    assert found.trials[0].scores == (3.0, 2.0)
    assert (found.timed, found.trials[0].track.seconds) == (False, [1.0, 1.0])


def test_a_sweep_without_reports_has_nothing_to_replay(tmp_path: Path) -> None:
    path = write(tmp_path / "made", *life(0))
    with pytest.raises(SpecError, match="no trial has reported loss"):
        recorded_sweep(path)
