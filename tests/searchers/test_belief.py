from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raysweep.searchers.base import Proposal
from raysweep.searchers.belief import Belief
from raysweep.searchers.catalog import SEARCHERS, build_searcher
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.parzen import Parzen
from raysweep.searchers.setting import Earlier, Setting
from raysweep.trials.errors import SpecError
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.searcher import GOAL, space_named, stream
from tests.searchers.test_learners import PLANE, branin, search

SPACE = space_named("conditional")


def test_the_density_integrates_to_one() -> None:
    belief = Belief(SPACE, {"net.width": 64, "optimizer": {"value": "adam", "confidence": "high"}})
    points = Stream(0, "p").generator().random((200_000, len(SPACE.dims)))
    settled = points.copy()
    axis = SPACE.dims.index("optimizer")
    settled[:, axis] = (np.floor(settled[:, axis] * 3) + 0.5) / 3
    assert np.exp(belief.log_density(settled)).mean() == pytest.approx(1.0, rel=0.03)


def test_draws_follow_the_density() -> None:
    belief = Belief(SPACE, {"net/width": 64, "optimizer": {"value": "adam", "confidence": "high"}})
    points = Axes(SPACE).settle(belief.sample(Stream(1, "d").generator(), 4000))
    configs = [SPACE.decode(point) for point in points]
    share = np.mean([config["optimizer"] == "adam" for config in configs])
    assert share == pytest.approx(15 / 17, abs=0.02)
    assert np.median([config["net/width"] for config in configs]) == pytest.approx(64, rel=0.1)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"widht": 3}, "prior: 'widht' is no parameter that varies; did you mean"),
        ({"net.width": 3}, r"prior.net.width: got 3; allowed is integers from 16 to 256"),
        ({"optimizer": {"value": "sgd", "confidence": "huge"}}, "it may be low, medium or high"),
        ({"optimizer": {"is": "sgd"}}, "write a value, or {value: ..., confidence: medium}"),
    ],
)
def test_wrong_beliefs_are_refused(written: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Belief(SPACE, written)


def test_a_right_belief_helps_and_a_wrong_one_is_forgotten() -> None:
    right, wrong = {"x": 3.14, "y": 2.3}, {"x": -4.5, "y": 0.5}
    early = [
        min(s for _, s in search("prior", PLANE, branin, 8, seed, prior=right)) for seed in range(3)
    ]
    blind = [min(s for _, s in search("gp", PLANE, branin, 8, seed)) for seed in range(3)]
    late = [
        min(s for _, s in search("prior", PLANE, branin, 35, seed, prior=wrong))
        for seed in range(2)
    ]
    assert np.mean(early) < np.mean(blind)
    assert max(late) < 0.397887 + 0.5


@pytest.mark.parametrize("name", ["tpe", "bohb"])
def test_parzen_estimators_follow_a_right_belief_and_forget_a_wrong_one(name: str) -> None:
    """Of branin, over six seeds; with this belief a run of 25 trials does as one of 60 without."""
    right = {"x": 3.14, "y": 2.3}
    wrong = {"x": {"value": -4.5, "confidence": "high"}, "y": 0.5}

    def mean(trials: int, **options: Any) -> float:
        runs = [search(name, PLANE, branin, trials, seed, **options) for seed in range(6)]
        return float(np.mean([min(score for _, score in run) for run in runs])) - 0.397887

    assert mean(25, prior=right) < 0.5 * mean(25)
    assert mean(8, prior=wrong) > 20.0  # it was believed
    assert mean(60, prior=wrong) < 1.0


def test_the_believed_component_keeps_the_density_one_and_is_drawn_from_by_its_weight() -> None:
    axes = Axes(PLANE)
    belief = Belief(PLANE, {"x": {"value": 6.0, "confidence": "high"}})
    centres = np.array([[0.1, 0.2], [0.15, 0.9]])
    parzen = Parzen(axes, centres, belief=belief, trust=3.0)  # half of all: 2 kernels, 1 uniform
    generator = Stream(3, "p").generator()
    uniform = generator.random((100_000, 2))
    assert np.exp(parzen.log_density(uniform)).mean() == pytest.approx(1.0, rel=0.03)
    drawn = parzen.sample(generator, 4000)
    near = np.abs(drawn[:, 0] - PLANE.encode({"x": 6.0, "y": 0.0})[0]) < 0.15
    # three standard deviations of the belief; 0.3 of the uniform kernel and 0.02 of the others'
    assert near.mean() == pytest.approx(0.5 * 0.997 + 0.3 / 6 + 0.02 / 3, abs=0.03)


EARLIER = Earlier("before", tuple({"x": float(i), "y": 2.0} for i in range(5)), (3, 2, 1, 4, 5))


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("gp", Setting(PLANE, 1, GOAL)),
        ("mobster", Setting(PLANE, 1, GOAL, levels=(1, 3, 9))),
        ("tpe", Setting(PLANE, 1, GOAL)),
        ("bohb", Setting(PLANE, 1, GOAL, levels=(1, 3, 9))),
        ("auto", Setting(PLANE, 1, GOAL)),
        ("auto", Setting(PLANE, 1, GOAL, levels=(1, 3, 9))),
    ],
)
def test_first_trials_are_drawn_from_the_belief(name: str, setting: Setting) -> None:
    options = {"prior": {"x": {"value": 6.0, "confidence": "high"}}}
    searcher = build_searcher(name, options, setting)
    for number in range(4):
        answer = searcher.ask(trial_id(number), stream(1, number))
        assert isinstance(answer, Proposal)
        assert answer.why["model"] == "prior"
        assert abs(answer.config["x"] - 6.0) < 3.5 * 0.05 * 15


@pytest.mark.parametrize(("levels", "method"), [((), "tpe"), ((1, 3), "bohb")])
def test_auto_hands_the_belief_on_under_load(levels: tuple[int, ...], method: str) -> None:
    options = {"prior": {"x": {"value": 6.0, "confidence": "high"}}}
    searcher = build_searcher("auto", options, Setting(PLANE, 1, GOAL, levels=levels))
    for number in range(65):
        answer = searcher.ask(trial_id(number), stream(1, number))
    assert isinstance(answer, Proposal)
    assert answer.why["auto"].startswith(f"{method}: 64 trials under way")
    assert answer.why["model"] == "prior"
    assert abs(answer.config["x"] - 6.0) < 3.5 * 0.05 * 15


@pytest.mark.parametrize("name", ["transfer", "auto"])
def test_transfer_goes_by_earlier_sweeps_first_and_by_the_belief_then(name: str) -> None:
    """Both the earlier sweep and this one have their best at x = 2; the belief is x = 9."""
    setting = Setting(PLANE, 1, GOAL, earlier=(EARLIER,))
    given: dict[str, Any] = {"sweeps": ["before"], "portfolio": 5} if name == "transfer" else {}
    found = []
    for prior in ({}, {"prior": {"x": {"value": 9.0, "confidence": "high"}}}):
        searcher = build_searcher(name, {**given, **prior}, setting)
        for number in range(6):
            answer = searcher.ask(trial_id(number), stream(1, number))
            assert isinstance(answer, Proposal)
            score = abs(answer.config["x"] - 2.0)
            searcher.suggested(trial_id(number), answer.config)
            searcher.tell(Report(trial_id(number), 1, 1, {}, score))
            searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, score))
            if number == 0:
                assert score == pytest.approx(0.0)
        assert answer.why["model"] == "transfer"
        found.append(answer.config["x"])
    assert found[0] < 5.0 < found[1]


def test_whatever_learns_by_a_model_takes_a_belief() -> None:
    modelled = {"auto", "gp", "prior", "mobster", "hyper_tune", "tpe", "bohb", "transfer"}
    assert {name for name, entry in SEARCHERS.items() if "prior" in entry.options} == modelled
