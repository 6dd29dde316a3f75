from __future__ import annotations

import json
import tracemalloc
from itertools import product
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.grid import GridSequence, Shuffled, grid
from raysweep.searchers.sequence import SequenceSearcher
from raysweep.searchers.setting import Setting
from raysweep.trials.errors import SpaceError
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import trial_id
from tests.contracts.searcher import SearcherContract

CONDITIONAL = {
    "optimizer": {"choice": ["sgd", "adam", "lion"]},
    "momentum": {"choice": [0.0, 0.9], "when": {"optimizer": ["sgd", "lion"]}},
    "nesterov": {"choice": [True, False], "when": {"momentum": 0.9}},
    "width": {"choice": [16, 32]},
}


class TestGrid(SearcherContract):
    name = "grid"
    options: ClassVar[dict[str, Any]] = {"points": 24}


class TestShuffledGrid(SearcherContract):
    name = "grid"
    options: ClassVar[dict[str, Any]] = {"points": 24, "shuffle": True}


def everything(searcher: SequenceSearcher) -> list[dict[str, Any]]:
    configs = []
    for n in range(10_000):
        config = searcher.ask(trial_id(n), Stream(0))
        if config is None:
            return configs
        searcher.suggested(trial_id(n), config)
        configs.append(config)
    raise AssertionError("the grid does not end")


def distinct(configs: list[dict[str, Any]]) -> set[str]:
    return {json.dumps(config, sort_keys=True) for config in configs}


def test_every_combination_comes_once_the_last_parameter_fastest() -> None:
    space = Space.from_dict({"a": {"grid": [1, 2]}, "b": {"randint": [5, 7]}, "c": 0})
    expected = [{"a": a, "b": b, "c": 0} for a, b in product([1, 2], [5, 6, 7])]
    assert everything(grid(space, 0)) == expected


@pytest.mark.parametrize("shuffle", [False, True])
def test_inactive_parameters_multiply_nothing(shuffle: bool) -> None:
    space = Space.from_dict(CONDITIONAL)
    configs = everything(grid(space, 0, shuffle=shuffle))
    # adam: 1; sgd and lion: momentum 0.0, or 0.9 with nesterov on or off, so 3 each; times 2 widths
    assert len(configs) == len(distinct(configs)) == (1 + 3 + 3) * 2 == GridSequence(space).size
    for config in configs:
        space.check(config)


def test_combinations_that_violate_a_constraint_are_left_out() -> None:
    space = Space.from_dict({"a": {"randint": [1, 9]}, "b": {"randint": [1, 9]}}, ["a * b == 12"])
    found = [(c["a"], c["b"]) for c in everything(grid(space, 0))]
    assert found == [(2, 6), (3, 4), (4, 3), (6, 2)]


def test_shuffling_is_a_permutation_that_depends_on_the_seed() -> None:
    space = Space.from_dict({"a": {"randint": [1, 37]}, "b": {"randint": [1, 3]}})
    plain = everything(grid(space, 0))
    one, two, again = (everything(grid(space, seed, shuffle=True)) for seed in (1, 2, 1))
    assert one == again
    assert one != two
    assert one != plain
    assert distinct(one) == distinct(plain)
    firsts = [config["a"] for config in one[:37]]
    assert len(set(firsts)) > 18  # in order there would be 13 values of a among the first 37


def test_a_grid_of_a_billion_allocates_nothing_to_speak_of() -> None:
    space = Space.from_dict({name: {"randint": [1, 1000]} for name in "abc"})
    tracemalloc.start()
    try:
        searcher = grid(space, 0, shuffle=True)
        for n in range(10):
            assert searcher.ask(trial_id(n), Stream(0)) is not None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert GridSequence(space).entry(10**9 - 1) == {"a": 1000, "b": 1000, "c": 1000}
    with pytest.raises(IndexError):
        GridSequence(space).entry(10**9)


def test_points_thin_ranges_and_keep_both_ends() -> None:
    space = Space.from_dict(
        {"lr": {"loguniform": [1e-4, 1e-2]}, "n": {"randint": [1, 100]}, "c": {"choice": [1, 2, 3, 4]}}
    )  # fmt: skip
    configs = everything(grid(space, 0, points=3))
    assert sorted({c["lr"] for c in configs}) == pytest.approx([1e-4, 1e-3, 1e-2])
    assert sorted({c["n"] for c in configs}) == [1, 51, 100]
    assert {c["c"] for c in configs} == {1, 2, 3, 4}


def test_points_by_name_leave_the_others_whole() -> None:
    space = Space.from_dict({"net": {"lr": {"uniform": [0, 1]}}, "n": {"randint": [1, 10]}})
    searcher = build_searcher("grid", {"points": {"net.lr": 2}}, Setting(space))
    assert isinstance(searcher, SequenceSearcher)
    assert len(everything(searcher)) == 20


def test_a_continuous_range_without_points_is_refused() -> None:
    space = Space.from_dict({"lr": {"uniform": [0, 1]}})
    with pytest.raises(SpaceError, match=r"lr: .*continuous.*points: \{lr: 5\}"):
        grid(space, 0)


def test_points_for_an_unknown_parameter_are_refused() -> None:
    space = Space.from_dict({"lr": {"uniform": [0, 1]}})
    with pytest.raises(SpaceError, match=r"points names 'lrr'.*did you mean 'lr'"):
        grid(space, 0, points={"lrr": 3})


def test_too_many_branches_are_refused() -> None:
    space = Space.from_dict(
        {"n": {"randint": [1, 10**7]}, "x": {"choice": [1, 2], "when": {"n": 3}}}
    )
    with pytest.raises(SpaceError, match="n: the grid has over 100,000 branches"):
        grid(space, 0)


def test_a_gap_of_over_a_million_is_reported_and_walked_over_in_the_end() -> None:
    class Late:
        def entry(self, index: int) -> dict[str, Any] | None:
            return {"x": index} if index >= 1_500_000 else None

    searcher = SequenceSearcher(Late())
    with pytest.raises(SpaceError, match="1,000,000 entries in a row"):
        searcher.ask("t000000", Stream(0))
    assert searcher.ask("t000001", Stream(0)) == {"x": 1_500_000}


def test_a_proposal_that_is_never_recorded_holds_nothing_up_for_ever() -> None:
    searcher = grid(Space.from_dict({"a": {"randint": [1, 10**6]}}), 0)
    searcher.ask("lost", Stream(0))
    for n in range(1_050):
        config = searcher.ask(trial_id(n), Stream(0))
        assert config is not None
        searcher.suggested(trial_id(n), config)
    assert searcher.state() == {"next": 1_051, "used": []}


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    parents=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    asked=st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_a_grid_holds_exactly_the_configs_that_brute_force_finds(
    sizes: list[int], parents: list[int], asked: list[int]
) -> None:
    written: dict[str, Any] = {}
    for i, size in enumerate(sizes):
        written[f"p{i}"] = {"choice": list(range(size))}
        parent = parents[i]
        if parent < i:
            written[f"p{i}"]["when"] = {f"p{parent}": asked[i] % sizes[parent]}
    space = Space.from_dict(written)
    found = set()
    for values in product(*(range(size) for size in sizes)):
        config: dict[str, Any] = {}
        for i, value in enumerate(values):
            when = written[f"p{i}"].get("when", {})
            if all(config.get(parent) == wanted for parent, wanted in when.items()):
                config[f"p{i}"] = value
        found.add(json.dumps(config, sort_keys=True))
    sequence = GridSequence(space)
    for walk in (sequence, Shuffled(sequence, 3)):
        entries = [walk.entry(i) for i in range(sequence.size)]
        assert all(entry is not None for entry in entries)
        assert len(entries) == len(found)
        assert distinct([entry for entry in entries if entry is not None]) == found


def test_what_had_only_been_asked_for_is_free_again_after_load() -> None:
    searcher = grid(Space.from_dict({"a": {"randint": [1, 5]}}), 0)
    first = searcher.ask("t000000", Stream(0))
    searcher.load(searcher.state())
    assert searcher.ask("t000009", Stream(0)) == first
