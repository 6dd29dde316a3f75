"""A few dozen simulated workers, some slow, some failing: no rule but a waiting one leaves them idle."""

from __future__ import annotations

import pytest

from benchmarks.occupancy import MACHINE, RULES, measure


@pytest.mark.parametrize("rule", RULES)
def test_workers_are_busy_under_every_rule(rule: str) -> None:
    workers = 20 if rule == "curve" else 50
    found = measure(RULES[rule], workers=workers, seconds=15.0)
    assert found["busy"] >= 0.95
    assert found["failed"] > workers / 4, "one step in twenty raises"
    lagging = MACHINE.straggler_share * (1 - 1 / MACHINE.straggler_factor)
    assert found["steps"] == pytest.approx(workers * 15 * (1 - lagging) / 1.133, rel=0.2)


def test_less_time_in_use_counts_as_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.occupancy.MACHINE", MACHINE._replace(slot_start_s=15.0))
    assert measure({"name": "asha"}, workers=10, seconds=30.0)["busy"] == pytest.approx(
        0.5, abs=0.05
    )
