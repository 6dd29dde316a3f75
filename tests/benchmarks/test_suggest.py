from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.suggest import Limits, measure, ours, results_of, space_of, theirs
from raysweep.searchers.history import History

SPACE = space_of(2)
KNOWN = results_of(SPACE, 30)


def test_configs_and_losses_are_of_the_space_and_the_same_each_time() -> None:
    for config, _ in KNOWN:
        SPACE.check(config)
    assert results_of(SPACE, 30) == KNOWN


def test_a_cell_ends_after_its_count_or_its_seconds() -> None:
    assert len(ours("tpe", SPACE, KNOWN, Limits(3, 60.0, 60.0))) == 3
    assert len(ours("tpe", SPACE, KNOWN, Limits(1_000, 0.0, 60.0))) == 1


def test_each_size_and_method_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = measure(["random", "tpe"], [10, 20], [2], Limits(2, 60.0, 60.0))
    assert [(row["method"], row["results"]) for row in rows] == [
        ("random", 10), ("tpe", 10), ("random", 20), ("tpe", 20),
    ]  # fmt: skip
    assert all(0 <= row["median_ms"] <= row["dearest_ms"] for row in rows)
    assert all(row["median_ms"] > 0 for row in rows if row["method"] == "tpe")
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_with_rungs_results_come_at_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of trials 0 to 29 all report at 1, ten at 3, four (0, 9, 18, 27) at 9."""
    heard: list[int] = []
    monkeypatch.setattr(History, "tell", lambda self, report: heard.append(report.step))
    ours("bohb", SPACE, KNOWN, Limits(0, 0.0, 60.0), (1, 3, 9))
    assert Counter(heard[:44]) == {1: 30, 3: 10, 9: 4}


@pytest.fixture
def without_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of the peers in which only the standard library is."""
    (tmp_path / "optuna" / "bin").mkdir(parents=True)
    started = tmp_path / "optuna" / "bin" / "python"
    started.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    started.chmod(0o755)
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path)


@pytest.mark.usefixtures("without_optuna")
def test_a_peer_out_of_time_is_given_up_and_one_that_died_is_told_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(RuntimeError, match="No module named 'optuna'"):
        theirs("optuna-tpe", SPACE, KNOWN, Limits(3, 60.0, 60.0))
    assert measure(["optuna-tpe"], [10], [2], Limits(3, 60.0, 0.0))[0]["median_ms"] is None
    assert "over limit" in capsys.readouterr().out
