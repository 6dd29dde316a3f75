"""PB2: the process against its formula, and where its bound sends a child."""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar

import numpy as np
import pytest

from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.catalog import build_scheduler
from raysweep.schedulers.explorer import Interval
from raysweep.schedulers.pb2 import Bandit
from raysweep.schedulers.pb2_bandit import Belief, Law, best_point, exploration, kernel
from raysweep.schedulers.setting import Setting
from raysweep.trials.errors import SpecError
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from tests.orchestrator.harness import GOAL, SPACE
from tests.schedulers.test_pbt import TestPbt

LAW = Law(length=0.5, noise=0.01, epsilon=0.2)


class TestPb2(TestPbt):
    name = "pb2"
    options: ClassVar[dict[str, Any]] = {"max_t": 9, "interval": 2}

    def make(self) -> Scheduler:
        return build_scheduler(self.name, self.options, Setting(GOAL, SPACE, 0, 12))


def points(*values: float) -> Any:
    return np.array(values)[:, None]


def test_the_kernel_is_the_paper_s() -> None:
    """At distance 0.3 and a fifth of all time apart, which is 2 units of it:
    0.8^(2/2) · exp(-0.09 / (2 · 0.25)) = 0.8 · exp(-0.18) = 0.66822."""
    found = kernel(LAW, points(0.1), np.array([0.5]), points(0.4), np.array([0.7]))
    assert found == pytest.approx(0.8 * math.exp(-0.18))
    assert found[0, 0] == pytest.approx(0.66822, abs=1e-5)


def test_one_observation_gives_mean_and_deviation_by_hand() -> None:
    """Two observations, standardised to -1 and 1, far apart: at the second, mean k/(1 + noise)."""
    belief = Belief(
        points(0.0, 1.0), np.array([0.0, 1.0]), np.array([3.0, 5.0]), Law(0.05, 0.25, 0.0)
    )
    x, t = points(1.0), np.array([1.0])
    assert belief.mean(x, t) == pytest.approx([1.0 / 1.25])
    none = np.empty((0, 1)), np.empty(0)
    assert belief.deviation(*none)(x, t) == pytest.approx([math.sqrt(1 - 1 / 1.25)])


def test_what_is_long_past_says_less() -> None:
    at = np.array([1.0])
    values = np.array([1.0, 0.0])
    fresh = Belief(points(0.2, 0.9), np.array([1.0, 0.0]), values, LAW)
    stale = Belief(points(0.2, 0.9), np.array([0.0, 0.0]), values, LAW)
    assert abs(fresh.mean(points(0.2), at)[0]) > abs(stale.mean(points(0.2), at)[0])


def test_a_pending_point_shrinks_the_deviation_and_leaves_the_mean() -> None:
    belief = Belief(points(0.0, 1.0), np.array([0.0, 1.0]), np.array([0.0, 1.0]), LAW)
    x, t = points(0.5), np.array([1.0])
    alone = belief.deviation(np.empty((0, 1)), np.empty(0))(x, t)
    known = belief.deviation(points(0.5), np.array([1.0]))(x, t)
    assert known[0] < 0.2 < alone[0]


def test_the_law_is_at_least_as_likely_as_others() -> None:
    """-log p(y) by its definition, at the law found and at a grid of others."""
    stream = Stream(3, "data").generator()
    x, t = stream.random((30, 2)), np.linspace(0, 1, 30)
    y = np.sin(4 * x[:, 0]) + 0.3 * t + 0.1 * stream.normal(size=30)
    belief = Belief(x, t, y)
    standard = (y - y.mean()) / y.std()

    def loss(law: Law) -> float:
        covariance = kernel(law, x, t, x, t) + law.noise * np.eye(30)
        _, logdet = np.linalg.slogdet(covariance)
        return float(0.5 * standard @ np.linalg.solve(covariance, standard) + 0.5 * logdet)

    others = [
        Law(length, noise, epsilon)
        for length in (0.06, 0.2, 0.5, 1.0, 2.5)
        for noise in (2e-4, 1e-2, 0.1, 0.9)
        for epsilon in (0.0, 0.1, 0.4)
    ]
    assert loss(belief.law) <= min(map(loss, others)) + 1e-6


def test_the_bound_is_highest_where_gains_were_and_not_where_others_are_already() -> None:
    """Gains peak at 0.7; with two points pending there, the next child is sent elsewhere."""
    x = np.linspace(0, 1, 21)[:, None]
    t = np.ones(21)
    belief = Belief(x, t, -((x[:, 0] - 0.7) ** 2), Law(0.2, 1e-3, 0.0))
    chance = Stream(0, "child").generator()
    alone, _ = best_point(belief, 1.0, np.empty((0, 1)), chance, 2)
    assert alone[0] == pytest.approx(0.7, abs=0.05)
    assert exploration(2) == 0.0  # 0.2 + log 0.8 is below 0
    assert exploration(10) == pytest.approx(0.2 + math.log(4.0))


def test_children_are_sent_where_a_rate_has_gained_most() -> None:
    """Eight members gain by how near their rate is to 0.01, on a logarithmic scale."""
    space = Space.from_dict(
        {"lr": {"loguniform": [1e-4, 1.0]}, "act": {"choice": ["relu", "tanh"]}}
    )
    bandit = Bandit(space, ["lr"])
    for number in range(24):
        lr = 10 ** (-4 + 4 * (number % 12) / 11)
        gain = 1.0 - abs(math.log10(lr) + 2)
        config = {"lr": lr, "act": "relu"}
        bandit.learn(
            Interval(config, 5 * (number // 12), 5 * (number // 12) + 5, 10.0, 10.0 - gain)
        )
    donor = {"lr": 0.5, "act": "tanh"}
    child = bandit.explore(donor, 10, [], Stream(0, "t000009", "pb2"))
    assert child["act"] == "tanh", "what is no number stays as the donor has it"
    assert 10**-2.6 < child["lr"] < 10**-1.4
    loaded = Bandit(space, ["lr"])
    loaded.load(json.loads(json.dumps(bandit.state())))
    assert loaded.explore(donor, 10, [], Stream(0, "t000009", "pb2")) == child


def test_before_anything_is_known_numbers_are_drawn() -> None:
    bandit = Bandit(SPACE, ["x"])
    drawn = {bandit.explore({"x": 0.5}, 0, [], Stream(0, str(n)))["x"] for n in range(20)}
    assert len(drawn) == 20


def test_a_space_without_numbers_is_refused() -> None:
    space = Space.from_dict({"act": {"choice": ["relu", "tanh"]}})
    with pytest.raises(SpecError, match="its bandit chooses numbers, and act are none; take pbt"):
        build_scheduler("pb2", {"interval": 1}, Setting(GOAL, space, 0, 8))
