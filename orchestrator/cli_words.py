"""Arguments and options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="A spec: a YAML file.")]
SweepArgument = Annotated[
    str,
    typer.Argument(metavar="PATH", help="A sweep directory, or the name of one under ./sweeps."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]
