from __future__ import annotations

import numpy as np
import pytest

from raysweep.searchers.belief import Belief
from raysweep.searchers.gp_axes import Axes
from raysweep.trials.errors import SpecError
from raysweep.trials.streams import Stream
from tests.contracts.searcher import space_named
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
