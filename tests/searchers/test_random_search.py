from __future__ import annotations

import math

from raysweep.searchers.random_search import RandomSearch
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import trial_id
from tests.contracts.searcher import SearcherContract


class TestRandomSearch(SearcherContract):
    name = "random"


def test_a_trial_draws_the_same_whatever_was_asked_before() -> None:
    space = Space.from_dict({"x": {"uniform": [0, 1]}})
    one, two = RandomSearch(space), RandomSearch(space)
    for n in range(5):
        one.ask(trial_id(n), Stream(0, n))
    assert one.ask("t000017", Stream(0, 17)) == two.ask("t000017", Stream(0, 17))


def test_a_log_range_is_drawn_uniformly_in_the_logarithm() -> None:
    searcher = RandomSearch(Space.from_dict({"lr": {"loguniform": [1e-4, 1e-1]}}))
    exponents = []
    for n in range(3000):
        config = searcher.ask(trial_id(n), Stream(0, n))
        assert config is not None
        exponents.append(math.log10(config["lr"]))
    # mean of U(-4, -1) is -2.5, its standard error 0.866 / sqrt(3000) = 0.0158
    assert abs(sum(exponents) / 3000 + 2.5) < 4 * 0.0158
    share = sum(e < -3 for e in exponents) / 3000
    assert abs(share - 1 / 3) < 4 * math.sqrt(2 / 9 / 3000)


def test_a_small_finite_space_is_covered_almost_without_duplicates() -> None:
    searcher = RandomSearch(Space.from_dict({"a": {"randint": [1, 10]}, "b": {"randint": [1, 10]}}))
    seen = set()
    for n in range(90):
        config = searcher.ask(trial_id(n), Stream(0, n))
        assert config is not None
        searcher.suggested(trial_id(n), config)
        seen.add((config["a"], config["b"]))
    assert len(seen) >= 85  # draws that do not look back give 100 * (1 - 0.99**90) = 60


def test_it_repeats_once_everything_has_been_tried() -> None:
    searcher = RandomSearch(Space.from_dict({"a": {"choice": [1, 2]}}))
    for n in range(6):
        config = searcher.ask(trial_id(n), Stream(0, n))
        assert config is not None
        searcher.suggested(trial_id(n), config)
