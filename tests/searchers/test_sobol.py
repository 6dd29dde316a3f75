from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import qmc

from raysweep.searchers.sobol import SobolSequence, sobol
from raysweep.trials.errors import SpaceError
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import trial_id
from tests.contracts.searcher import SearcherContract

SQUARE = Space.from_dict({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}})


class TestSobol(SearcherContract):
    name = "sobol"


def points(sequence: SobolSequence, indices: range) -> np.ndarray:
    entries = [sequence.entry(i) for i in indices]
    return np.array([[entry["x"], entry["y"]] for entry in entries if entry is not None])


def test_an_entry_depends_on_seed_and_index_alone() -> None:
    forward = points(SobolSequence(SQUARE, 1), range(700))
    sequence = SobolSequence(SQUARE, 1)
    for index in (699, 3, 300, 256, 255, 0):
        assert (points(sequence, range(index, index + 1))[0] == forward[index]).all()
    assert not (points(SobolSequence(SQUARE, 2), range(4)) == forward[:4]).any()


def test_it_covers_the_square_far_more_evenly_than_random_draws() -> None:
    ours = points(SobolSequence(SQUARE, 0), range(256))
    stream = Stream(0, "uniform")
    chance = np.array([[stream.uniform(), stream.uniform()] for _ in range(256)])
    assert qmc.discrepancy(ours) < 0.1 * qmc.discrepancy(chance)


def test_every_sixteenth_of_an_axis_gets_its_sixteenth_of_the_points() -> None:
    """A (0, m, 1)-net in each axis, the property that defines the sequence (Sobol' 1967)."""
    xs = points(SobolSequence(SQUARE, 5), range(64))[:, 0]
    assert np.histogram(xs, 16, (0, 1))[0].tolist() == [4] * 16


def test_points_that_violate_a_constraint_are_skipped_in_order() -> None:
    space = Space.from_dict({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}, ["x + y < 0.5"])
    allowed = [e for i in range(200) if (e := SobolSequence(SQUARE, 4).entry(i)) and e["x"] + e["y"] < 0.5]  # fmt: skip
    searcher = sobol(space, 4)
    asked = [searcher.ask(trial_id(n), Stream(0)) for n in range(len(allowed))]
    assert asked == allowed
    assert all(a != b for a, b in pairwise(asked))


def test_proposals_journalled_out_of_order_are_neither_lost_nor_repeated() -> None:
    live = sobol(SQUARE, 0)
    configs = [live.ask(trial_id(n), Stream(0)) for n in range(6)]
    resumed = sobol(SQUARE, 0)
    for n in (0, 3, 1):  # 2, 4 and 5 had been asked for when the driver died
        config = configs[n]
        assert config is not None
        resumed.suggested(trial_id(n), config)
    again = [resumed.ask(trial_id(n), Stream(0)) for n in (2, 4, 5)]
    assert again == [configs[2], configs[4], configs[5]]


def test_a_space_of_fixed_values_only_has_one_config() -> None:
    assert SobolSequence(Space.from_dict({"x": 3}), 0).entry(300) == {"x": 3}


def test_a_space_has_fewer_parameters_than_there_are_direction_numbers() -> None:
    with pytest.raises(SpaceError, match="at most 2,000 are allowed"):
        Space.from_dict({f"x{i}": {"uniform": [0, 1]} for i in range(21_202)})
    SobolSequence(Space.from_dict({f"x{i}": {"uniform": [0, 1]} for i in range(2_000)}), 0)


def test_behind_the_last_point_there_is_nothing() -> None:
    with pytest.raises(IndexError):
        SobolSequence(SQUARE, 0).entry(1 << 30)
