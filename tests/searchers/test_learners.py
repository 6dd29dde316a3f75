"""Every searcher that learns keeps the contract that all searchers keep, and does so under load."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from raysweep.searchers.base import Proposal
from raysweep.searchers.catalog import SEARCHERS, build_searcher
from raysweep.searchers.setting import Setting
from raysweep.trials.clock import SystemClock
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.searcher import GOAL, SearcherContract, ask, space_named

OPTIONS: dict[str, dict[str, Any]] = {"prior": {"prior": {"lr": 1e-3}}}
NAMES = sorted(name for name, entry in SEARCHERS.items() if entry.learns and name != "transfer")
PLANE = Space.from_dict({"x": {"uniform": [-5.0, 10.0]}, "y": {"uniform": [0.0, 15.0]}})


def branin(config: dict[str, Any]) -> float:
    """Minimum 0.397887 at three points (Dixon & Szegö, 1978)."""
    x, y = config["x"], config["y"]
    curve = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def search(
    name: str, space: Space, loss: Any, trials: int, seed: int = 0, **options: Any
) -> list[tuple[dict[str, Any], float]]:
    """Run trials one after the other."""
    searcher = build_searcher(name, options, Setting(space, seed, GOAL, trials=trials))
    found = []
    for number in range(trials):
        config = ask(searcher, seed, number)
        space.check(config)
        value = loss(config)
        score = value if math.isfinite(value) else WORST
        searcher.suggested(trial_id(number), config)
        searcher.tell(Report(trial_id(number), 1, 1, {"loss": value}, score, 1.0))
        status = Status.COMPLETED if score < WORST else Status.FAILED
        searcher.end(trial_id(number), Outcome(status, 1, score))
        found.append((config, score))
    return found


class TestTpe(SearcherContract):
    name = "tpe"


class TestBohb(SearcherContract):
    name = "bohb"


class TestGp(SearcherContract):
    name = "gp"


class TestMobster(SearcherContract):
    name = "mobster"


class TestHyperTune(SearcherContract):
    name = "hyper_tune"


class TestDehb(SearcherContract):
    name = "dehb"


class TestAuto(SearcherContract):
    name = "auto"


class TestCmaes(SearcherContract):
    name = "cmaes"


class TestDe(SearcherContract):
    name = "de"


class TestEvolution(SearcherContract):
    name = "evolution"


class TestNsga2(SearcherContract):
    name = "nsga2"


class TestLhs(SearcherContract):
    name = "lhs"


@pytest.mark.parametrize("name", ["tpe", "cmaes", "de", "evolution", "nsga2", "bohb"])
def test_what_was_learnt_helps(name: str) -> None:
    """The typical value of the later half of 40 trials, its logarithm averaged over 16 seeds.

    Random search passes with odds of 0.005 (3.56, standard deviation of the mean 0.086, of 1,600
    searches), `de`, the slowest to learn, fails with 8e-5 (3.03 and 0.081, of 320), the others with
    less than 1e-8 (2.36 and 0.15 at most).
    """
    logs = []
    for seed in range(16):
        late = [score for _, score in search(name, PLANE, branin, 40, seed)[20:]]
        logs.append(math.log(np.median(late)))
    assert np.mean(logs) < 3.34


@pytest.mark.parametrize("seed", [0, 1])
def test_the_process_finds_branins_minimum(seed: int) -> None:
    assert min(score for _, score in search("gp", PLANE, branin, 35, seed)) < 0.397887 + 0.05


SLOW = ("gp", "hyper_tune", "mobster", "prior")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "auto"])
def test_half_of_the_trials_fail(name: str) -> None:
    """NaN wherever y is above 7: the searcher goes on and learns to stay below.

    At random 8/15 of the later 20 trials fail: no more than 65 of 160 with odds of 8e-4, no more than
    4 of 20 with 0.0025. Measured over 60 seeds, `tpe` fails most often, 5.0 of 20 times with a
    standard deviation of 2.2: more than 65 of 160 with odds of 3e-5. The slow ones have one seed.
    """
    space = Space.from_dict({"lr": {"uniform": [0.0, 1.0]}, "y": {"uniform": [0.0, 15.0]}})

    def loss(config: dict[str, Any]) -> float:
        return math.nan if config["y"] > 7.0 else (config["lr"] - 0.3) ** 2

    seeds, most = (range(1), 4) if name in SLOW else (range(8), 65)
    failed = 0
    for seed in seeds:
        found = search(name, space, loss, 40, seed, **OPTIONS.get(name, {}))
        failed += sum(score == WORST for _, score in found[20:])
    assert failed <= most


@pytest.mark.parametrize("name", NAMES)
def test_hundreds_of_pending_trials_are_spread(name: str) -> None:
    space = space_named("continuous")
    searcher = build_searcher(name, OPTIONS.get(name, {}), Setting(space, 3, GOAL))
    for number in range(12):
        config = ask(searcher, 3, number)
        searcher.suggested(trial_id(number), config)
        searcher.tell(Report(trial_id(number), 1, 1, {}, config["drop"]))
        searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, config["drop"]))
    asked = []
    for number in range(12, 76):
        config = ask(searcher, 3, number)
        searcher.suggested(trial_id(number), config)
        asked.append(space.encode(config))
    points = np.array(asked)
    assert len(np.unique(points.round(6), axis=0)) > 60
    assert points.std(axis=0).max() > 0.05


@pytest.mark.parametrize(("name", "seeds"), [("gp", 1), ("tpe", 4), ("nsga2", 4)])
def test_several_metrics_spread_over_the_front(name: str, seeds: int) -> None:
    """f = (x², (x − 1)²) + y: every x in [0, 1] with y = 0 is on the front.

    Of the later 25 trials, 5.0 of random search are near it (standard deviation 2.0, of 800 searches),
    11 or more with odds of 0.004; 18.0 of `nsga2` (3.3, of 40), so fewer than 44 in four searches with
    odds of 2e-5.
    """
    goal = Goal((("a", "min"), ("b", "min")))
    space = Space.from_dict({"x": {"uniform": [-2.0, 2.0]}, "y": {"uniform": [0.0, 1.0]}})
    near = []
    for seed in range(seeds):
        searcher = build_searcher(name, {}, Setting(space, seed, goal))
        for number in range(50):
            config = ask(searcher, seed, number)
            x, y = config["x"], config["y"]
            metrics = {"a": x**2 + y, "b": (x - 1) ** 2 + y}
            searcher.suggested(trial_id(number), config)
            searcher.tell(Report(trial_id(number), 1, 1, metrics, metrics["a"]))
            searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, metrics["a"]))
            if number >= 25 and -0.3 <= x <= 1.3 and y < 0.5:
                near.append(x)
    assert len(near) >= 11 * seeds
    assert max(near) - min(near) > 0.5


@pytest.mark.parametrize("name", ["bohb", "mobster", "hyper_tune", "auto"])
def test_partial_results_are_learnt_from(name: str) -> None:
    """All trials pause at step 1; none ends, yet proposals move to where the loss is low.

    At random 10 or more of 20 come within 0.1 with odds of 0.0026; the median distance of `bohb` is
    0.047 with a standard deviation of 0.012 (of 30 seeds), that of the others is below 0.002.
    """
    space = Space.from_dict({"x": {"uniform": [0.0, 1.0]}})
    searcher = build_searcher(name, {}, Setting(space, 0, GOAL, levels=(1, 3, 9)))
    proposed = []
    for number in range(40):
        config = ask(searcher, 0, number)
        searcher.suggested(trial_id(number), config)
        searcher.tell(Report(trial_id(number), 1, 1, {}, (config["x"] - 0.8) ** 2))
        proposed.append(config["x"])
    assert np.median(np.abs(np.array(proposed[20:]) - 0.8)) < 0.1


@pytest.mark.parametrize("name", ["bohb", "mobster", "hyper_tune"])
def test_at_rungs_a_share_is_drawn_without_the_model(name: str) -> None:
    """A half of those after the first four: 18 of 36 on average, 9 to 27 within three deviations."""
    space = Space.from_dict({"x": {"uniform": [0.0, 1.0]}})
    for share, least, most in ((0.5, 9, 27), (0.0, 0, 0)):
        options = {"initial": 4, "random_share": share}
        searcher = build_searcher(name, options, Setting(space, 0, GOAL, levels=(1, 3)))
        models = []
        for number in range(40):
            answer = searcher.ask(trial_id(number), Stream(0, trial_id(number)))
            assert isinstance(answer, Proposal)
            searcher.suggested(trial_id(number), answer.config)
            searcher.tell(Report(trial_id(number), 1, 1, {}, answer.config["x"]))
            models.append(answer.why["model"])
        assert least <= models.count("random") <= most


@pytest.mark.parametrize(
    "name", sorted({n for n, entry in SEARCHERS.items() if entry.learns} - {"transfer"})
)
def test_many_workers_may_ask_before_anybody_has_reported(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is known of thirty trials, then only that six have no finite value."""
    space = Space.from_dict({"x": {"uniform": [0.0, 1.0]}, "y": {"uniform": [0.0, 1.0]}})
    options = {"prior": {"x": 0.5}} if name == "prior" else {}
    searcher = build_searcher(name, options, Setting(space, 0, GOAL, levels=(1, 3)))
    for number in range(36):
        config = ask(searcher, 0, number)
        searcher.suggested(trial_id(number), config)
        if number >= 30:
            searcher.tell(Report(trial_id(number - 30), 1, 1, {}, WORST))
    assert capfd.readouterr() == ("", "")


def test_limits_are_kept() -> None:
    space = Space.from_dict({"x": {"uniform": [0.0, 1.0]}})
    searcher = build_searcher("gp", {"limits": {"ms": 0.5}}, Setting(space, 0, GOAL))
    late = []
    for number in range(25):
        config = ask(searcher, 0, number)
        searcher.suggested(trial_id(number), config)
        loss = -config["x"]  # the best lies beyond the limit
        searcher.tell(Report(trial_id(number), 1, 1, {"loss": loss, "ms": config["x"]}, loss))
        searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, loss))
        late.append(config["x"])
    assert np.median(late[12:]) <= 0.55
    assert max(x for x in late if x <= 0.5) > 0.42


def test_quick_configs_are_preferred_by_the_second() -> None:
    """Two basins, equally deep; the one on the left trains eleven times as fast."""
    space = Space.from_dict({"x": {"uniform": [0.0, 1.0]}})

    def mean_cost_s(per_second: bool) -> float:
        searcher = build_searcher("gp", {"per_second": per_second}, Setting(space, 0, GOAL))
        xs = []
        for number in range(25):
            config = ask(searcher, 0, number)
            searcher.suggested(trial_id(number), config)
            loss = 50 * (config["x"] - 0.2) ** 2 * (config["x"] - 0.8) ** 2
            cost_s = math.exp(4 * config["x"])
            searcher.tell(Report(trial_id(number), 1, 1, {"loss": loss}, loss, cost_s))
            searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, loss))
            xs.append(config["x"])
        return float(np.mean([math.exp(4 * x) for x in xs[8:]]))

    assert mean_cost_s(True) < 0.8 * mean_cost_s(False)


def test_every_proposal_says_why() -> None:
    searcher = build_searcher("gp", {}, Setting(PLANE, 0, GOAL))
    for number in range(8):
        answer = searcher.ask(trial_id(number), Stream(0, trial_id(number), "ask"))
        assert isinstance(answer, Proposal)
        assert answer.why["model"] in ("sobol", "gp")
        score = branin(answer.config)
        searcher.suggested(trial_id(number), answer.config)
        searcher.tell(Report(trial_id(number), 1, 1, {}, score))
        searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, score))
    assert answer.why["acquisition"] == "logei"
    assert answer.why["n"] == 7
    assert json.dumps(answer.why)


@pytest.mark.parametrize(
    ("name", "pending", "limit"),
    [
        ("tpe", 1_000, 8.0),
        ("auto", 1_000, 8.0),
        *(pytest.param(name, 10_000, 25.0, marks=pytest.mark.slow) for name in NAMES),
    ],
)
def test_pending_trials_do_not_slow_a_searcher_down(name: str, pending: int, limit: float) -> None:
    """An ask with many trials pending costs at most `limit` times one with 64, or 5 ms."""
    space = space_named("continuous")
    searcher = build_searcher(name, OPTIONS.get(name, {}), Setting(space, 0, GOAL))
    clock = SystemClock()

    def ask_s(number: int) -> float:
        spent = []
        for more in range(5):
            start = clock.now()
            ask(searcher, 0, number + more)
            spent.append(clock.now() - start)
        return min(spent)

    few_s = 0.0
    for number in range(pending):
        if number == 64 + 20:
            few_s = ask_s(10**6)
        lr = 1e-4 * 1e3 ** ((number % 97) / 97)
        config = ask(searcher, 0, number) if number < 20 else {"lr": lr, "drop": number / 2e4}
        searcher.suggested(trial_id(number), config)
        if number < 20:
            searcher.tell(Report(trial_id(number), 1, 1, {}, config["drop"]))
            searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, config["drop"]))
    assert ask_s(10**6 + 5) < max(limit * few_s, 5e-3)
