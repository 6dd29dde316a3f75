"""What rungs may be counted in."""

from __future__ import annotations

import pytest

from raysweep.orchestrator.rebuild import changed
from raysweep.orchestrator.simulate import simulate
from raysweep.orchestrator.spec import SweepSpec
from raysweep.schedulers.catalog import SCHEDULERS, build_scheduler
from raysweep.schedulers.setting import Setting
from raysweep.schedulers.units import check_unit
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal

GOAL = Goal((("loss", "min"),))


def spec(unit: str, **cluster: object) -> SweepSpec:
    return SweepSpec.from_dict(
        {
            "trainable": "a:b",
            "space": {"x": {"uniform": [0, 1]}},
            "metric": "loss",
            "mode": "min",
            "searcher": "random",
            "scheduler": {"name": "asha", "max_t": 9, "unit": unit},
            "budget": {"trials": 20},
            "cluster": cluster,
        }
    )


def test_rules_with_rungs_take_a_unit() -> None:
    """The others are asked at every step, whatever a step is."""
    taking = {name for name, entry in SCHEDULERS.items() if "unit" in entry.around}
    assert taking >= {"fifo", "asha", "mo_asha", "pasha", "hyperband"}


@pytest.mark.parametrize("unit", ["steps", "seconds", "samples", "time_total_s", "epochs"])
def test_units_that_need_nothing_more(unit: str) -> None:
    check_unit("asha", {"unit": unit}, GOAL, {})
    check_unit("asha", {}, None, {})


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("second", "scheduler asha: unit is 'second'; write seconds"),
        ("Dollars", "unit is 'Dollars'; write dollars"),
        ("step", "unit is 'step'; write steps"),
        (
            "loss",
            r"unit is 'loss', which is optimised; .*samples or tokens, or take one of steps, s",
        ),
        ("cents", r"unit is cents, and nothing has a price; give cluster.prices, .*\{H100: 2.5"),
    ],
)
def test_units_that_cannot_count(unit: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_scheduler("asha", {"max_t": 9, "unit": unit}, Setting(GOAL))


def test_speeds_and_prices_stay_on_a_resume() -> None:
    """Trials have been compared by them; the rest of `cluster` may change."""
    old = spec("seconds", speeds={"T4": 0.5})
    assert changed(old, {"cluster.max_slots": 3}).cluster.max_slots == 3
    for key, value in {
        "cluster.speeds": {"T4": 0.4},
        "cluster.speeds.T4": 0.4,
        "cluster.prices": {"T4": 1.0},
        "cluster": {"max_slots": 3},
    }.items():
        with pytest.raises(
            SpecError, match=r"speeds and cluster.prices cannot be changed on resume"
        ):
            changed(old, {key: value})


def test_a_simulated_sweep_counts_what_simulated_trials_have() -> None:
    found = simulate(spec("seconds"), workers=2, step_s=0.5, step_sigma=0.0)
    assert [rung["step"] for rung in found.rungs] == [1, 3, 9]
    priced = spec("cents", prices={"cpu": 36.0})  # a cent a second
    assert simulate(priced, workers=2, step_s=0.5, step_sigma=0.0).rungs == found.rungs
    with pytest.raises(
        SpecError, match="unit is 'samples', and simulated trials report nothing but"
    ):
        simulate(spec("samples"), workers=2)
    with pytest.raises(SpecError, match=r"of the kind 'cpu'; give it a price in cluster.prices"):
        simulate(spec("cents", prices={"T4": 1.0}), workers=2)
