"""The macros, as docs.wandb.ai/models/sweeps/define-sweep-configuration describes them."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from raysweep.trainables.program_command import command_line, renamed, unknown_macros

CONFIG = {"lr": 0.001, "big": True, "small": False, "net": {"width": 3}, "none": None}


def line(*command: str) -> list[str]:
    return command_line(command, "train.py", CONFIG, "/tmp/config.json")


def test_the_default_is_that_of_the_agent() -> None:
    assert line() == [
        "/usr/bin/env", sys.executable, "train.py", "--lr=0.001", "--big=True", "--small=False",
        "--net={'width': 3}", "--none=None",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("macro", "words"),
    [
        ("args_no_hyphens", ["lr=0.001", "big=True", "small=False", "net={'width': 3}", "none=None"]),
        ("args_no_boolean_flags", ["--lr=0.001", "--big", "--net={'width': 3}", "--none=None"]),
        ("args_no_equals", ["--lr", "0.001", "--big", "True", "--small", "False",
                            "--net", "{'width': 3}", "--none", "None"]),
        ("args_append_hydra", ["+lr=0.001", "+big=True", "+small=False", "+net={'width': 3}",
                               "+none=None"]),
        ("args_override_hydra", ["++lr=0.001", "++big=True", "++small=False",
                                 "++net={'width': 3}", "++none=None"]),
        ("args_json_file", ["/tmp/config.json"]),
        ("program", ["train.py"]),
        ("unknown", []),
    ],
)  # fmt: skip
def test_macros(macro: str, words: list[str]) -> None:
    assert line("run", f"${{{macro}}}", "--fixed") == ["run", *words, "--fixed"]


def test_json_arguments_are_one_word() -> None:
    (word,) = line("${args_json}")
    assert json.loads(word) == CONFIG


def test_variables_are_left_for_the_process_that_has_them() -> None:
    assert line("${envvar:HOME}", "--user=${envvar:USER}") == [
        "${envvar:HOME}",
        "--user=${envvar:USER}",
    ]
    assert unknown_macros(["${envvar:HOME}", "${args}", "${arguments}"]) == ["${arguments}"]


@pytest.mark.parametrize(
    ("config", "names", "called"),
    [
        ({"model": {"lr": 1}}, {"model/lr": ("model.lr",)}, {"model.lr": 1}),
        (
            {"model": {"lr": 1, "w": 2}},
            {"model/lr": ("model.lr",)},
            {"model": {"w": 2}, "model.lr": 1},
        ),
        ({"net": {"min_": 1}}, {"net/min_": ("net", "min")}, {"net": {"min": 1}}),
        ({"a": 1}, {"b": ("c",)}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": ("b",), "b": ("a",)}, {"b": 1, "a": 2}),
    ],
)
def test_parameters_are_called_as_the_program_knows_them(
    config: dict[str, Any], names: dict[str, tuple[str, ...]], called: dict[str, Any]
) -> None:
    before = json.dumps(config)
    assert renamed(config, names) == called
    assert json.dumps(config) == before
