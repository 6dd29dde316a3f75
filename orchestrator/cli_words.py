"""Arguments and options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysweep.orchestrator.cli_output import stderr

if TYPE_CHECKING:
    from raysweep.orchestrator.spec import SweepSpec

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="A spec: a YAML file.")]
SweepArgument = Annotated[
    str,
    typer.Argument(metavar="PATH", help="A sweep directory, or the name of one under ./sweeps."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the spec; may be repeated."),
]


def tell_notes(spec: SweepSpec) -> None:
    """What became of the keys of a W&B sweep, where nobody takes it for output."""
    for note in spec.notes:
        stderr().print(str(note), style="dim", soft_wrap=True)
