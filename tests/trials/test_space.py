from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raysweep
from raysweep.trials.errors import SpaceError
from raysweep.trials.parameters import (
    choice,
    fixed,
    lograndint,
    loguniform,
    ordinal,
    qlograndint,
    qloguniform,
    qrandint,
    quniform,
    randint,
    uniform,
)
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

WRITTEN: dict[str, Any] = {
    "lr": {"loguniform": [1e-4, 1e-1]},
    "optimizer": {"choice": ["sgd", "adam", "lion"]},
    "momentum": {"uniform": [0.0, 0.99], "when": {"optimizer": ["sgd", "lion"]}},
    "nesterov": {"choice": [True, False], "when": {"optimizer": "sgd"}},
    "net": {
        "kind": {"choice": ["mlp", "conv"]},
        "width": {"lograndint": [16, 256]},
        "kernel": {"qrandint": [1, 7, 2], "when": {"kind": "conv"}},
        "act": "relu",
    },
    "cells": {"when": {"net.kind": "conv"}, "depth": {"ordinal": [1, 2, 4]}, "skip": {"fixed": [1, 2]}},
}  # fmt: skip
SPACE = Space.from_dict(WRITTEN, ["lr * net.width <= 8"])


def draws(space: Space, count: int) -> list[dict[str, Any]]:
    return [space.sample(Stream(0, n)) for n in range(count)]


def test_samples_pass_the_check_and_cover_every_branch() -> None:
    configs = draws(SPACE, 300)
    for config in configs:
        SPACE.check(config)
        assert ("momentum" in config) == (config["optimizer"] != "adam")
        assert ("nesterov" in config) == (config["optimizer"] == "sgd")
        assert ("net/kernel" in config) == ("cells/depth" in config) == (config["net/kind"] == "conv")  # fmt: skip
        assert config["lr"] * config["net/width"] <= 8
        assert config["net/act"] == "relu"
    assert {c["optimizer"] for c in configs} == {"sgd", "adam", "lion"}
    assert {c.get("net/kernel") for c in configs} == {None, 1, 3, 5, 7}


def test_a_condition_may_hang_on_a_conditional_parameter() -> None:
    space = Space.from_dict(
        {
            "c": {"uniform": [0, 1], "when": {"b": 2}},
            "b": {"randint": [1, 2], "when": {"a": True}},
            "a": {"choice": [True, False]},
        }
    )
    assert list(space.parameters) == ["a", "b", "c"]
    shapes = {tuple(sorted(config)) for config in draws(space, 100)}
    assert shapes == {("a",), ("a", "b"), ("a", "b", "c")}


def test_all_of_several_conditions_must_hold() -> None:
    space = Space.from_dict(
        {"a": {"choice": [1, 2]}, "b": {"choice": [1, 2]}, "x": {"uniform": [0, 1], "when": {"a": 1, "b": [2]}}}
    )  # fmt: skip
    for config in draws(space, 100):
        assert ("x" in config) == (config["a"] == 1 and config["b"] == 2)


@given(st.integers(0, 10**9))
@settings(max_examples=200)
def test_configs_survive_the_cube(seed: int) -> None:
    config = SPACE.sample(Stream(seed))
    point = SPACE.encode(config)
    assert point.shape == (len(SPACE.dims),)
    for name, coordinate in zip(SPACE.dims, point, strict=True):
        assert np.isnan(coordinate) == (name not in config)
    back = SPACE.decode(point)
    assert back.keys() == config.keys()
    for name, value in config.items():
        assert back[name] == (pytest.approx(value, rel=1e-9, abs=1e-9) if name in ("lr", "momentum") else value)  # fmt: skip


@given(st.lists(st.floats(0, 1), min_size=len(SPACE.dims), max_size=len(SPACE.dims)))
def test_every_point_of_the_cube_is_a_config_constraints_apart(point: list[float]) -> None:
    config = SPACE.decode(np.array(point))
    if SPACE.allows(config):
        SPACE.check(config)
    else:
        with pytest.raises(SpaceError, match="violates the constraint"):
            SPACE.check(config)
    coordinates = SPACE.encode(config)
    assert SPACE.decode(coordinates).keys() == config.keys()


def test_decoding_ignores_axes_that_turn_out_inactive_and_centres_unknown_ones() -> None:
    space = Space.from_dict(
        {"a": {"choice": ["x", "y"]}, "b": {"uniform": [0, 4], "when": {"a": "y"}}}
    )
    assert space.decode(np.array([0.1, 0.9])) == {"a": "x"}
    assert space.decode(np.array([0.9, np.nan])) == {"a": "y", "b": 2.0}


def test_fixed_values_take_no_axis() -> None:
    space = Space.from_dict({"a": 3, "b": {"uniform": [0, 1]}, "c": {"fixed": [1, 2]}})
    assert space.dims == ("b",)
    assert space.decode(np.array([0.25])) == {"a": 3, "b": 0.25, "c": [1, 2]}
    assert space.encode({"a": 3, "b": 0.25, "c": [1, 2]}).tolist() == [0.25]


def test_columns_and_size() -> None:
    assert SPACE.columns() == {
        "lr": "float64", "net/act": "string", "net/kind": "string", "net/kernel": "int64",
        "cells/depth": "int64", "cells/skip": "json", "net/width": "int64", "optimizer": "string",
        "momentum": "float64", "nesterov": "bool",
    }  # fmt: skip
    assert SPACE.size is None
    assert Space.from_dict({"a": {"randint": [1, 5]}, "b": {"choice": ["x", "y"]}}).size == 10  # fmt: skip


def test_training_code_gets_groups_as_nested_mappings() -> None:
    flat = {"lr": 0.1, "net/width": 8, "net/block/kind": "conv"}
    assert SPACE.nested(flat) == {"lr": 0.1, "net": {"width": 8, "block": {"kind": "conv"}}}


def shuffled(written: dict[str, Any]) -> dict[str, Any]:
    turned = reversed(written.items())
    return {name: shuffled(v) if isinstance(v, dict) else v for name, v in turned}


def test_the_order_in_which_a_space_is_written_changes_no_draw() -> None:
    other = Space.from_dict(shuffled(WRITTEN), ["lr * net.width <= 8"])
    assert list(other.parameters) == list(SPACE.parameters)
    assert draws(other, 20) == draws(SPACE, 20)


def test_the_written_form_makes_the_same_space_again() -> None:
    again = Space.from_dict(json.loads(json.dumps(SPACE.to_dict())), ["lr * net.width <= 8"])
    assert again.to_dict() == SPACE.to_dict()
    assert draws(again, 20) == draws(SPACE, 20)


def test_a_space_can_be_copied_and_sent_to_another_process() -> None:
    again = pickle.loads(pickle.dumps(SPACE))
    assert draws(again, 20) == draws(copy.deepcopy(SPACE), 20) == draws(SPACE, 20)


def test_python_and_yaml_write_the_same_space() -> None:
    python = Space.from_dict(
        {
            "a": uniform(0, 1), "b": quniform(0, 1, 0.25), "c": loguniform(1e-3, 1),
            "d": qloguniform(1, 9, 2), "e": randint(1, 8), "f": qrandint(0, 8, 2),
            "g": lograndint(1, 64), "h": qlograndint(8, 64, 8), "i": choice(["x", "y"]),
            "j": ordinal([1, 2]), "k": fixed([1]), "l": 7, "m": uniform(0, 1, when={"i": "x"}),
            "n": {"o": choice((1, 2), when={"j": [1, 2]})},
        }
    )  # fmt: skip
    yaml = Space.from_dict(
        {
            "a": {"uniform": [0, 1]}, "b": {"quniform": [0, 1, 0.25]}, "c": {"loguniform": [1e-3, 1]},
            "d": {"qloguniform": [1, 9, 2]}, "e": {"randint": [1, 8]}, "f": {"qrandint": [0, 8, 2]},
            "g": {"lograndint": [1, 64]}, "h": {"qlograndint": [8, 64, 8]}, "i": {"grid": ["x", "y"]},
            "j": {"ordinal": [1, 2]}, "k": {"fixed": [1]}, "l": 7,
            "m": {"uniform": [0, 1], "when": {"i": ["x"]}},
            "n": {"o": {"choice": [1, 2], "when": {"j": [1, 2]}}},
        }
    )  # fmt: skip
    assert python.to_dict() == yaml.to_dict()
    assert python.to_dict()["m"] == {"uniform": [0.0, 1.0], "when": {"i": "x"}}
    assert python.to_dict()["h"] == {"qlograndint": [8, 64, 8]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": None}, "lr: got None; allowed is numbers from 0.0001 to 0.1"),
        ({"lr": 1.0}, "lr: got 1.0"),
        ({"net/width": 64.0}, "net/width: got 64.0; allowed is integers from 16 to 256"),
        ({"momentum": 0.5}, "momentum: the config has it, but it exists only when optimizer is 'sgd' or 'lion'; leave it out"),
        ({"optimizer": "sgd"}, "momentum: the config lacks it"),
        ({"widht": 3}, r"widht: no such parameter; did you mean"),
        ({"lr": 0.1, "net/width": 200}, r"\{'lr': 0.1, 'net/width': 200\} violates the constraint 'lr \* net.width <= 8'"),
    ],
)  # fmt: skip
def test_configs_outside_the_space_are_refused(change: dict[str, Any], message: str) -> None:
    good = {"lr": 1e-3, "optimizer": "adam", "net/kind": "mlp", "net/width": 64, "net/act": "relu"}
    SPACE.check(good)
    with pytest.raises(SpaceError, match=message):
        SPACE.check(good | change)


A = {"choice": ["x", "y"]}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "the space is empty"),
        (None, "a space maps parameters to distributions, got None"),
        ([1], "a space maps parameters"),
        ({"lr": {"unifrom": [0, 1]}}, r"lr: 'unifrom' is no distribution .*did you mean 'uniform'\?"),
        ({"n": {"lr": {"uniform": [0, 1], "wen": {}}}}, r"n/lr: 'wen' is no distribution and nothing that may stand beside one; did you mean 'when'\?"),
        ({"lr": {"uniform": [0, 1], "choice": [1]}}, "lr: uniform and choice are two distributions; give one"),
        ({"lr": {"uniform": [0]}}, r"lr: got uniform: \[0\]; write uniform: \[low, high\]"),
        ({"lr": {"quniform": [0, 1]}}, r"write quniform: \[low, high, q\]"),
        ({"lr": {"uniform": 3}}, "got uniform: 3"),
        ({"lr": {"uniform": [1, 0]}}, "lr: the range .* is inverted"),
        ({"lr": {"loguniform": [0, 1]}}, "lr: a log range must begin above 0"),
        ({"lr": {"choice": []}}, "lr: a choice has no options"),
        ({"a": {"a step": 1}}, "a/a step: 'a step' is no name"),
        ({"a/b": 1}, "a/b: 'a/b' is no name for a parameter; .*nested mapping for a group"),
        ({1: A}, "1: 1 is no name"),
        ({"../x": A}, "is no name"),
        ({"lr": [1, 2]}, r"lr: got the list \[1, 2\]; write \{choice: \[...\]\}"),
        ({"lr": {"min": 0, "max": 1}}, r"write a range as \{uniform: \[min, max\]\}"),
        ({"lr": {}}, "lr: the group is empty"),
        ({"lr": print}, "lr: .* is no plain value"),
        ({"a": A, "b": {"uniform": [0, 1], "when": {"A": "x"}}}, r"b: when names 'A', which is no parameter; did you mean 'a'\?"),
        ({"a": A, "b": {"uniform": [0, 1], "when": {"a": "z"}}}, "b: when asks for a to be 'z', which it cannot be; allowed is one of 'x', 'y'"),
        ({"a": A, "b": {"uniform": [0, 1], "when": {"a": []}}}, "b: when lists no value"),
        ({"a": A, "b": {"uniform": [0, 1], "when": "a"}}, "b: when must map parameters to values"),
        ({"a": {"uniform": [0, 1]}, "b": {"uniform": [0, 1], "when": {"a": 0.5}}}, "a continuous parameter that hardly ever"),
        ({"a": {"choice": ["x"], "when": {"a": "x"}}}, "conditions go in a circle: a -> a"),
        ({"a": A | {"when": {"b": "x"}}, "b": A | {"when": {"c": "x"}}, "c": A | {"when": {"a": "x"}}}, "circle: a -> b -> c -> a; drop one"),
        ({"a": A, "g": {"when": {"a": "x"}, "b": A | {"when": {"a": "x"}}}}, "g/b: when names 'a' here and in the group around it"),
        ({"a": A, "g": {"a": A, "b": A | {"when": {"a": "x"}}}}, "g/b: when names 'a', which may be g/a or a; rename one"),
        ({f"p{i:03}": A | ({"when": {f"p{i + 1:03}": "x"}} if i < 150 else {}) for i in range(151)}, "chain of over 100 conditions"),
    ],
)  # fmt: skip
def test_spaces_that_make_no_sense_are_refused(written: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Space.from_dict(written)


def test_groups_nested_too_deeply_are_refused() -> None:
    written: dict[str, Any] = {"x": 1}
    for _ in range(50):
        written = {"g": written}
    with pytest.raises(SpaceError, match="nested more than 8 deep"):
        Space.from_dict(written)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (["lr * widht < 1"], r"constraint 'lr \* widht < 1' names 'widht', which is no parameter; did you mean"),
        (["width < 1"], r"names 'width'.*did you mean 'net\.width'\?"),
        (["net.widht < 1"], r"names 'net\.widht'.*did you mean 'net\.width'\?"),
        (["lr > 1"], "no config satisfies the constraints: of 10,000 random ones 'lr > 1' rejected 10,000"),
        (["lr > 0.01", "lr < 0.01"], r"'lr > 0.01' rejected 6,\d+; 'lr < 0.01' rejected 3,\d+; loosen them"),
        (["optimizer < 3"], "makes no sense"),
        ("lr < 1", r"must be a list of expressions, got 'lr < 1'; add brackets"),
        ([3], "a constraint is text"),
    ],
)  # fmt: skip
def test_constraints_that_make_no_sense_are_refused(constraints: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Space.from_dict(WRITTEN, constraints)


def test_constraints_on_inactive_parameters_are_satisfied() -> None:
    space = Space.from_dict(WRITTEN, ["momentum > 0.5"])
    configs = draws(space, 200)
    assert any("momentum" not in config for config in configs)
    assert all(config.get("momentum", 1) > 0.5 for config in configs)


def test_a_narrow_constraint_is_sampled_by_rejection() -> None:
    space = Space.from_dict(
        {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}}, ["x + y < 0.05"]
    )  # 1 in 800
    assert all(config["x"] + config["y"] < 0.05 for config in draws(space, 5))


_ELSEWHERE = """
import json, sys
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
space = Space.from_dict(json.loads(sys.argv[1]))
print(json.dumps([space.sample(Stream(0, n)) for n in range(10)]))
"""


def test_another_process_draws_the_same_configs() -> None:
    """Hash randomisation, which sets and dicts of text meet, changes nothing."""
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, json.dumps(WRITTEN)],
        cwd=Path(raysweep.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == draws(Space.from_dict(WRITTEN), 10)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["uniform", "loguniform", "randint", "choice", "when", "a", "b", "fixed"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), JUNK, max_size=3))
def test_arbitrary_mappings_raise_nothing_but_space_errors(written: dict[str, Any]) -> None:
    try:
        space = Space.from_dict(written)
    except SpaceError:
        return
    config = space.sample(Stream(0))
    space.check(config)
    assert Space.from_dict(space.to_dict()).to_dict() == space.to_dict()
