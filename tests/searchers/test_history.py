from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.searchers.history import Fate, History
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.space import Space
from raysweep.trials.trial import Outcome, Report, Status, trial_id

SPACE = Space.from_dict(
    {
        "kind": {"choice": ["a", "b"]},
        "x": {"uniform": [0.0, 1.0]},
        "y": {"loguniform": [1e-3, 1.0], "when": {"kind": "b"}},
    }
)
TWO = Goal((("acc", "max"), ("ms", "min")))


def report(trial: str, step: int, score: float, **metrics: float) -> Report:
    return Report(trial, 1, step, metrics, score, elapsed_s=2.0 * step)


def test_a_trial_from_suggestion_to_end() -> None:
    history = History(SPACE, TWO, levels=(1, 3, 9))
    history.suggested("t000000", {"kind": "a", "x": 0.25})
    assert history.pending.tolist() == [0]
    assert np.isnan(history.points[0]).tolist() == [name == "y" for name in SPACE.dims]
    history.tell(report("t000000", 1, -0.5, acc=0.5, ms=8.0))
    history.tell(report("t000000", 3, -0.25, acc=0.25, ms=9.0))
    assert history.rungs[0, :2].tolist() == [-0.5, -0.5]
    assert math.isnan(history.rungs[0, 2])
    assert history.objectives.tolist() == [[-0.25, 9.0]]  # at the last report, each minimised
    history.end("t000000", Outcome(Status.STOPPED, 3, -0.5))
    assert (history.done.tolist(), history.pending.tolist()) == ([0], [])
    assert (history.scores[0], history.steps[0], history.costs_s[0]) == (-0.5, 3, 6.0)


@pytest.mark.parametrize(
    ("status", "score", "fate"),
    [
        (Status.COMPLETED, 1.0, Fate.DONE),
        (Status.STOPPED, 1.0, Fate.DONE),
        (Status.COMPLETED, WORST, Fate.INFEASIBLE),
        (Status.FAILED, 1.0, Fate.INFEASIBLE),
    ],
)
def test_failures_and_nan_are_infeasible(status: Status, score: float, fate: Fate) -> None:
    history = History(SPACE)
    history.suggested("t000000", {"kind": "a", "x": 0.5})
    history.end("t000000", Outcome(status, 1, score))
    assert history.fates.tolist() == [fate]
    assert history.ended == [0]


@given(
    st.lists(st.tuples(st.sampled_from([*range(4), WORST]), st.booleans(), st.booleans())),
    st.data(),
)
def test_ranked_is_done_by_score_however_often_it_was_looked_at(
    trials: list[tuple[float, bool, bool]], data: st.DataObject
) -> None:
    history = History(SPACE)
    for number in range(len(trials)):
        history.suggested(trial_id(number), {"kind": "a", "x": 0.5})
    order = data.draw(st.permutations(range(len(trials))))
    for number in order:
        score, failed, look = trials[number]
        status = Status.FAILED if failed else Status.COMPLETED
        history.end(trial_id(number), Outcome(status, 1, score))
        if look:
            assert len(history.ranked) == len(history.done)
    done = [n for n in order if not trials[n][1] and trials[n][0] < WORST]
    assert history.done.tolist() == done
    assert history.ranked.tolist() == sorted(done, key=lambda n: trials[n][0])
    again = History(SPACE)
    again.load(json.loads(json.dumps(history.state())))
    assert again.done.tolist() == done
    assert again.ranked.tolist() == history.ranked.tolist()


def test_what_was_suggested_is_known_again_by_its_config() -> None:
    history = History(SPACE)
    history.suggested("t000000", {"kind": "b", "x": 0.5, "y": 0.01})
    assert history.seen({"kind": "b", "x": 0.5, "y": 0.01})
    assert not history.seen({"kind": "b", "x": 0.5, "y": 0.02})


def test_a_level_that_was_jumped_over_takes_the_best_so_far() -> None:
    history = History(SPACE, levels=(2, 4))
    history.suggested("t000000", {"kind": "a", "x": 0.5})
    history.tell(report("t000000", 1, 3.0))
    assert np.isnan(history.rungs).all()
    history.tell(report("t000000", 5, 4.0))
    assert history.rungs.tolist() == [[3.0, 3.0]]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["suggest", "tell", "end"]), st.integers(0, 90), st.floats(-5, 5)
        ),
        max_size=300,
    )
)
def test_state_carries_everything(calls: list[tuple[str, int, float]]) -> None:
    history, known = History(SPACE, TWO, levels=(1, 2)), set()
    for what, number, value in calls:
        name = trial_id(number)
        if what == "suggest" and name not in known:
            known.add(name)
            history.suggested(name, {"kind": "a", "x": number / 100})
        elif what == "tell":
            history.tell(report(name, 1 + number % 3, value, acc=value))
        elif what == "end":
            status = Status.FAILED if number % 7 == 0 else Status.COMPLETED
            history.end(name, Outcome(status, 1, value if number % 5 else WORST))
    state = history.state()
    copy = History(SPACE, TWO, levels=(1, 2))
    copy.load(json.loads(json.dumps(state, allow_nan=False)))
    assert copy.state() == state
    for column in (
        "points",
        "fates",
        "scores",
        "steps",
        "costs_s",
        "rungs",
        "values",
        "done",
        "pending",
    ):
        assert np.array_equal(
            getattr(copy, column), getattr(history, column), equal_nan=column != "fates"
        )
    for number in range(91):  # both go on alike
        for each in (history, copy):
            each.end(trial_id(number), Outcome(Status.COMPLETED, 2, 0.5))
    assert copy.state() == history.state()
