"""A population's sweep ends by itself, whatever its scores look like: children are bounded."""

from __future__ import annotations

import math
from typing import Any

import pytest

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.trials.streams import Stream
from tests.orchestrator.harness import Memory, make_state, run

_MAX_T, _INTERVAL = 20, 5


def _noise(config: Any, seed: int, step: int) -> float:
    return Stream(seed, repr(config["x"]), step).uniform()


SHAPES = {
    "constant": lambda config, seed, step: 1.0,
    "saturates": lambda config, seed, step: max(0.0, 1.0 - step / 10),
    "one is better": lambda config, seed, step: float(config["x"] > 0.2),
    "two values": lambda config, seed, step: float(_noise(config, seed, step) > 0.5),
    "noise": _noise,
    "falls": lambda config, seed, step: (config["x"] - 0.3) ** 2 + 1.0 / step,
    "rises": lambda config, seed, step: config["x"] + step,
    "diverges": lambda config, seed, step: math.nan if step > 10 and config["x"] > 0.3 else 1.0,
    "nothing finite": lambda config, seed, step: math.nan,
}


def _ended(
    rule: str, members: int, slots: int, quantile: float, shape: str, seed: int = 0
) -> tuple[Any, Memory]:
    """A sweep that may take five times the steps of its members, then is cut off."""
    options = {"name": rule, "max_t": _MAX_T, "interval": _INTERVAL, "quantile": quantile}
    budget = Budget(trials=members, steps=5 * members * _MAX_T)
    state, memory = make_state(options, seed=seed, budget=budget), Memory()
    machine = Machine(workers=slots, step_sigma=0.3, every_steps=_INTERVAL)
    value = SHAPES[shape]
    closed = run(
        state,
        machine,
        memory,
        seed=seed,
        train=lambda config, each, step: {"loss": value(config, each, step)},
    )
    assert not state.advice.errors, state.advice.last_error
    assert closed.reason.startswith("all "), closed.reason
    return state, memory


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("quantile", [0.25, 0.5])
@pytest.mark.parametrize(("members", "slots"), [(8, 8), (8, 3), (8, 2), (8, 1), (20, 4), (4, 7)])
def test_the_sweep_ends_and_each_place_has_at_most_one_child_a_rung(
    members: int, slots: int, quantile: float, shape: str
) -> None:
    state, _ = _ended("pbt", members, slots, quantile, shape)
    assert state.waiting.children <= members * (_MAX_T // _INTERVAL - 1)


@pytest.mark.parametrize("shape", ["constant", "one is better", "noise", "diverges"])
@pytest.mark.parametrize(("members", "slots"), [(8, 2), (8, 5)])
def test_that_of_pb2_ends_as_well(members: int, slots: int, shape: str) -> None:
    state, _ = _ended("pb2", members, slots, 0.25, shape)
    assert state.waiting.children <= members * (_MAX_T // _INTERVAL - 1)


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_members_that_are_equal_replace_none(slots: int) -> None:
    state, _ = _ended("pbt", 8, slots, 0.25, "constant")
    assert state.waiting.children == 0
    assert state.spend.steps == 8 * _MAX_T


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_where_scores_differ_members_are_still_replaced(slots: int) -> None:
    """Three eighths lose at the first rung at most: else the rule would have been switched off."""
    state, _ = _ended("pbt", 8, slots, 0.25, "falls")
    assert state.waiting.children >= 4
