"""The command line and the config of a program, by the rules of the W&B agent.

https://docs.wandb.ai/models/sweeps/define-sweep-configuration ("Command macros"); the behaviour is
that of `wandb agent` 0.31, but for `${interpreter}`, which is the Python that runs the trial and
not whatever `python` is first on PATH.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
"""The command where none is given."""
MACROS = (
    "env", "interpreter", "program", "args", "args_no_equals", "args_no_hyphens",
    "args_no_boolean_flags", "args_json", "args_json_file", "args_append_hydra",
    "args_override_hydra",
)  # fmt: skip
"""What may stand as `${name}` for a whole word of a command."""
ENVIRONMENT = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
"""What may stand anywhere in a word: the value of a variable, or its name if it is not set."""


def command_line(
    command: Sequence[str], program: str, config: Mapping[str, Any], json_file: str
) -> list[str]:
    """The words of the command with its macros filled in; `${envvar:X}` is left for later.

    Args:
        command: the words, macros among them; empty: `DEFAULT`.
        program: what `${program}` stands for.
        config: the parameters as the program calls them, in the order of the arguments.
        json_file: the path that `${args_json_file}` stands for.
    """
    arguments = _arguments(config)
    filled = {
        **arguments,
        "env": ["/usr/bin/env"],
        "interpreter": [sys.executable],
        "program": [program],
        "args_json": [json.dumps(config)],
        "args_json_file": [json_file],
    }
    words: list[str] = []
    for word in command or DEFAULT:
        if word.startswith("${") and word.endswith("}") and not ENVIRONMENT.search(word):
            words += filled.get(word[2:-1], [])
        else:
            words.append(word)
    return words


def unknown_macros(command: Sequence[str]) -> list[str]:
    """The words of a command that look like macros and are none; they vanish from it."""
    return [
        word
        for word in command
        if re.fullmatch(r"\$\{.*\}", word)
        and not ENVIRONMENT.search(word)
        and word[2:-1] not in MACROS
    ]


def _arguments(config: Mapping[str, Any]) -> dict[str, list[str]]:
    plain = [f"{name}={value}" for name, value in config.items()]
    flags: list[str] = []
    for name, value in config.items():
        if value is True:
            flags.append(f"--{name}")
        elif value is not False:
            flags.append(f"--{name}={value}")
    return {
        "args": [f"--{text}" for text in plain],
        "args_no_equals": [w for name, value in config.items() for w in (f"--{name}", str(value))],
        "args_no_hyphens": plain,
        "args_no_boolean_flags": flags,
        "args_append_hydra": [f"+{text}" for text in plain],
        "args_override_hydra": [f"++{text}" for text in plain],
    }


def renamed(config: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The nested config with some parameters at the places where the program looks for them.

    Args:
        config: nested as the space is.
        names: our flat name (`model/lr`) → the keys that lead to it for the program (`["model.lr"]`).
            What is not named keeps its place; what the config lacks is left out.
    """
    result: dict[str, Any] = copy.deepcopy(dict(config))
    moved = [(path, _taken(result, flat.split("/"))) for flat, path in names.items()]
    for path, found in moved:
        for value in found:
            *groups, last = path
            place = result
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
    return result


def _taken(tree: dict[str, Any], path: Sequence[str]) -> list[Any]:
    """Take the value at `path` out of `tree`, with the groups that it leaves empty; [] if none."""
    first, *rest = path
    if first not in tree:
        return []
    if not rest:
        return [tree.pop(first)]
    inner = tree[first]
    found = _taken(inner, rest) if isinstance(inner, dict) else []
    if found and not inner:
        del tree[first]
    return found
