"""The benchmark of confirmation: its truth, where that is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import confirm


@pytest.mark.parametrize("rule", ["fifo", "asha"])
def test_where_seeds_make_no_difference_nothing_is_too_good(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirm, "SPREAD", 0.0)
    monkeypatch.setattr(confirm, "STEPS", range(1, 10))
    found = dict(zip(confirm.FIGURES, confirm.sweep(rule, "normal", 1, 3), strict=True))
    off = ("selected_value", "selected_mean", "confirmed_mean", "confirmed_expected")
    for name in (*off, "differs", "gain"):
        assert found[name] == pytest.approx(0.0, abs=1e-12), name


def test_where_only_the_seed_makes_a_difference_the_best_is_as_lucky_as_the_best_of_forty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The least of 40 standard normals is at −2.161 on average (sd 0.43; Harter, Biometrika 48, 1961).

    Beside it stands the error of the truth, of 40 draws: 0.158. The mean of 12 sweeps is within
    three of its standard errors, 3 √(0.43² + 0.158²) / √12 = 0.40. Fresh means of three draws are
    off by nothing on average: 3 √(1/3 + 1/40) / √12 = 0.52.
    """
    monkeypatch.setattr(confirm, "SPREAD", 100.0)
    monkeypatch.setattr(confirm, "STEPS", range(1, 3))
    found = (
        np.array([confirm.sweep("fifo", "normal", seed, 3) for seed in range(12)], float) / 100.0
    )
    assert found[:, 0].mean() == pytest.approx(-2.161, abs=0.40)
    assert found[:, 1].mean() == pytest.approx(0.0, abs=0.52)
