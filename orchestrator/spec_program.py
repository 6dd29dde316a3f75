"""The part of a spec that names a program instead of a function: `program: train.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from raysweep.orchestrator.spec_parts import Part, problem
from raysweep.schedulers.units import STEPS, unit_of
from raysweep.trainables.program import ProgramCode
from raysweep.trainables.program_command import unknown_macros
from raysweep.trials.errors import TrainableError
from raysweep.trials.names import nearest

if TYPE_CHECKING:
    from raysweep.orchestrator.spec import SweepSpec


_MARK = "<program:"


def _words(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise problem(f'got {value!r}; write a list of words, e.g. [python, "${{program}}"]')
    return tuple(str(word) for word in value)


def _paths(value: Any) -> Any:
    if isinstance(value, dict):
        for name, path in value.items():
            if not isinstance(path, (list, tuple)) or not all(isinstance(p, str) for p in path):
                raise problem(
                    f"{name!s:.80}: got {path!r:.80}; write a list of keys, e.g. [optimizer, lr]"
                )
        return {name: tuple(path) for name, path in value.items()}
    return value


class ProgramSpec(Part):
    """A program, and how it is started; by default as the W&B agent does it.

    `command` has W&B's macros; `folder`, relative to the spec, is where it runs; `names` are the
    keys under which it knows a parameter (flat name) where they are not those of the space;
    `environment` is set for it unless it is set already; null stands for the driver's own variable,
    which is passed on and never stored.
    """

    file: str = ""
    command: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    folder: str = "."
    names: Annotated[dict[str, tuple[str, ...]], BeforeValidator(_paths)] = Field(
        default_factory=dict
    )
    environment: dict[str, str | None] = Field(default_factory=dict)


def read_program(value: Any) -> Any:
    """`program:` of a spec: a file name, or a mapping with `file` or a `command`."""
    if isinstance(value, str):
        value = {"file": value}
    if isinstance(value, dict):
        for key in value:
            if key not in ProgramSpec.model_fields:
                raise problem(f"{key!r} is no key of it; {nearest(key, ProgramSpec.model_fields)}")
        if not value.get("file") and not value.get("command"):
            raise problem("names neither file nor command; write program: train.py")
        for key in ("file", "folder"):
            path = value.get(key)
            if isinstance(path, str) and any(len(part.encode()) > 255 for part in path.split("/")):
                raise problem(f"{key} is {path[:40]!r}..., a name that no file has: it is too long")
        words = value.get("command")
        wrong = unknown_macros([str(w) for w in words]) if isinstance(words, (list, tuple)) else []
        if wrong:
            raise problem(f"command has {wrong[0]}, which is no macro; see docs/wandb.md for them")
    return value


def name_program(raw: dict[str, Any]) -> None:
    """Let `trainable` of a spec say which program it is, if it is one."""
    program = raw.get("program")
    if program is None or not str(raw.get("trainable", _MARK)).startswith(_MARK):
        return
    given = program if isinstance(program, dict) else {"file": program}
    command = given.get("command") or ()
    words = " ".join(map(str, command)) if isinstance(command, (list, tuple)) else ""
    raw["trainable"] = f"{_MARK}{given.get('file') or words or '?'}>"


def doubled(spec: SweepSpec) -> str | None:
    """What is wrong with a spec that has a trainable and a program as well."""
    if spec.program is None or spec.trainable.startswith(_MARK):
        return None
    return f"program: trainable is {spec.trainable} already, and a trial runs one of them; leave one out"


def program_code(spec: SweepSpec) -> ProgramCode:
    """The training code of a spec that names a program.

    Raises:
        TrainableError: the program is not there, or a variable that it is to have from the driver.
    """
    from raysweep.cluster.session import variable

    program = spec.program
    assert program is not None, "asked for specs with a program only"
    variables: dict[str, str] = {}
    for name, given in program.environment.items():
        value = variable(name) if given is None else given
        if value is None:
            raise TrainableError(
                f"program.environment.{name} is null, which passes on the driver's own variable, and that "
                f"is not set: `export {name}=...` before"
            )
        variables[name] = value
    code = ProgramCode(
        file=program.file,
        command=program.command,
        folder=str((Path(spec.folder) / program.folder).resolve()),
        metrics=tuple(name for name, _ in spec.goal.metrics),
        names=program.names,
        environment={"WANDB_RUN_GROUP": spec.name, **variables},
        ends_at=spec.scheduler.get("max_t") if unit_of(spec.scheduler) == STEPS else None,
    )
    code.load()
    return code
