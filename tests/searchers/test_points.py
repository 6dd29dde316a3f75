from __future__ import annotations

import json
from typing import Any

import pytest

from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.coverage import confidence_of, trials_needed
from raysweep.searchers.setting import Setting
from raysweep.trials.errors import SpecError
from raysweep.trials.trial import trial_id
from tests.contracts.searcher import GOAL, SearcherContract, ask, space_named

POINTS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "momentum": 0.5},
    {"net": {"width": 64}},
    {"net.width": 32, "optimizer": "adam"},
]


def build(name: str, points: list[dict[str, Any]]) -> Any:
    setting = Setting(space_named("conditional"), 4, GOAL)
    return build_searcher(name, {"points_to_evaluate": points}, setting)


class TestLhs(SearcherContract):
    name = "lhs"


@pytest.mark.parametrize("name", ["random", "grid", "tpe", "auto"])
def test_points_come_first_once_and_are_completed(name: str) -> None:
    options = {"points_to_evaluate": POINTS} | ({"points": 2} if name == "grid" else {})
    space = space_named("conditional")
    searcher = build_searcher(name, options, Setting(space, 4, GOAL))
    asked = [ask(searcher, 4, number) for number in range(5)]
    for config in asked:
        space.check(config)
    assert asked[0] | {"optimizer": "sgd", "momentum": 0.5} == asked[0]
    assert asked[1]["net/width"] == 64
    assert asked[2] | {"net/width": 32, "optimizer": "adam"} == asked[2]
    for number in (0, 1):
        searcher.suggested(trial_id(number), asked[number])
    resumed = build_searcher(name, options, Setting(space, 4, GOAL))
    resumed.load(json.loads(json.dumps(searcher.state())))
    assert ask(resumed, 4, 2) == asked[2]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (
            {"optimiser": "sgd"},
            r"points_to_evaluate\[0\]: optimiser: no such parameter; did you mean",
        ),
        ({"optimizer": "sgdd"}, r"optimizer: got 'sgdd'; allowed is one of"),
        ({"optimizer": "adam", "momentum": 0.5}, r"no config of the space has"),
    ],
)
def test_wrong_points_are_refused(point: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build("random", [point])


def test_trials_needed_is_the_least_number_that_suffices() -> None:
    assert trials_needed(0.05, 0.95) == 59  # Bergstra & Bengio's 60 hit the best 5 % with 95 %
    assert trials_needed(0.01, 0.95) == 299
    for p, confidence in ((0.3, 0.5), (0.02, 0.99)):
        needed = trials_needed(p, confidence)
        assert confidence_of(p, needed) >= confidence > confidence_of(p, needed - 1)
    with pytest.raises(SpecError, match=r"p is 1\.0; it must lie between 0 and 1"):
        trials_needed(1.0, 0.5)


def test_a_hypercube_takes_each_share_once() -> None:
    space = space_named("continuous")
    searcher = build_searcher("lhs", {"points": 20}, Setting(space, 4, GOAL))
    points = [space.encode(ask(searcher, 4, number)) for number in range(20)]
    for axis in zip(*points, strict=True):
        assert sorted(int(u * 20) for u in axis) == list(range(20))
