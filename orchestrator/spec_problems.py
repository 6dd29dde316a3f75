"""What is wrong with a spec, one line a problem: `path: what was given, what is allowed`."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import AliasChoices, BaseModel, ValidationError

from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest

_LONGEST = 1_000
_MOST_PROBLEMS = 15
_ADVICE = {
    "trainable": 'say what to train as "module:name", e.g. train:train',
    "space": "say what to vary, e.g. {lr: {loguniform: [1e-4, 1e-1]}}",
}


def spec_error(problems: list[str], where: str) -> SpecError:
    """One error for all `problems` of the spec at `where`."""
    if len(problems) == 1:
        return SpecError(f"{where}: {_cut(problems[0])}")
    listed = "\n".join(f"  - {_cut(text)}" for text in problems[:_MOST_PROBLEMS])
    if len(problems) > _MOST_PROBLEMS:
        listed += f"\n  - and {len(problems) - _MOST_PROBLEMS:,} more"
    return SpecError(f"{where}: {len(problems)} problems\n{listed}")


def _cut(text: str) -> str:
    """`text` without most of what a value of thousands of characters puts into it."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """The problems that pydantic found in a `model`, in our words."""
    problems: list[str] = []
    for found in error.errors(include_url=False):
        path = ".".join(str(part) for part in found["loc"])
        for text in _words(found, model).splitlines():
            named = not path or text.startswith((f"{path}:", f"{path} "))
            problems.append(text if named else f"{path}: {text}")
    return problems


def _words(found: Any, model: type[BaseModel]) -> str:
    kind, loc, given = found["type"], found["loc"], found["input"]
    if kind == "raysweep":
        return str(found["msg"])
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(loc[-1], _keys(model, loc[:-1]))}"
    if kind == "missing":
        return f"missing; {_ADVICE.get(str(loc[-1]), 'give it')}"
    if kind == "model_type":
        return f"got {_short(given)}; it should map {', '.join(_keys(model, loc))} to values"
    return f"got {_short(given)}; {found['msg'].replace('Input should', 'it should', 1)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand in the part of `model` at `loc`, as a spec writes them."""
    for part in loc:
        field = model.model_fields.get(str(part))
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        parts = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not parts:
            return []
        model = parts[0]
    names = []
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        names.append(str(alias.choices[0]) if isinstance(alias, AliasChoices) else name)
    return names
