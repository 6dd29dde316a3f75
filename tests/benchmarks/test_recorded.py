"""Recorded curves: what is read from their table, and how a choice among them is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.recorded import EPOCHS, MAX_T, Curves, load, regret
from tests.benchmarks.tables import write_table


def test_the_first_and_the_last_epoch_are_left_out(tmp_path: Path) -> None:
    write_table(tmp_path, configs=3)
    curves = load(tmp_path)
    assert curves.loss.shape == curves.seconds.shape == (3, MAX_T) == (3, 50)
    # the table's loss is 100 · config + epoch, so its columns tell which epochs were taken
    assert curves.loss[2].tolist() == [200.0 + epoch for epoch in EPOCHS]
    assert EPOCHS[0] == 2


def test_an_epoch_never_takes_negative_time(tmp_path: Path) -> None:
    write_table(tmp_path, configs=1, backwards_at=10)
    seconds = load(tmp_path).seconds[0]
    assert seconds.min() == 0.0
    # epoch 10 is recorded as earlier than 9; 11 then counts from 9
    place = EPOCHS.index(10)
    assert seconds[place - 1 : place + 2].tolist() == [1.0, 0.0, 2.0]


def test_missing_curves_say_where_they_are_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pass --data .* LCBench .*https://figshare\.com"):
        load(tmp_path)


def test_regret_is_of_the_choice_among_those_that_came_farthest() -> None:
    loss = np.tile(np.array([[1.0], [2.0], [3.0], [7.0]]), (1, MAX_T))
    loss[3, 8] = 0.5  # looks best at epoch 9, ends worst
    curves = Curves(loss, np.ones_like(loss))
    at_nine = [{"epoch": 9, "loss": float(row[8])} for row in loss]
    # final values 1, 2, 3, 7: the median is 2.5, so the one that ends at 7 has regret 6 / 1.5
    assert regret([0, 1, 2, 3], at_nine, curves) == pytest.approx(4.0)
    finished = [at_nine[0], {"epoch": 50, "loss": 2.0}, *at_nine[2:]]
    assert regret([0, 1, 2, 3], finished, curves) == pytest.approx(1 / 1.5)


def test_a_report_of_another_config_is_noticed() -> None:
    loss = np.tile(np.array([[1.0], [2.0], [4.0]]), (1, MAX_T))
    curves = Curves(loss, np.ones_like(loss))
    mixed_up = [{"epoch": 50, "loss": value} for value in (2.0, 1.0, 4.0)]
    with pytest.raises(AssertionError, match="mixed up"):
        regret([0, 1, 2], mixed_up, curves)
