"""The commands of the command line: `raysweep run sweep.yaml` and its companions (docs/cli.md)."""

from __future__ import annotations

from typing import Annotated

import typer

from raysweep.orchestrator import cli_look, cli_run, cli_schedule, cli_simulate, cli_spec
from raysweep.orchestrator.cli_output import Commands

_EPILOG = (
    "Exit codes: 0 clean; 1 more trials failed than the spec allows, or another error; 2 bad "
    "input; 3 stalled: no slot for too long; 4 done, but the searcher or scheduler raised; 75 interrupted and resumable; 130, 143, "
    "129 interrupted (SIGINT, SIGTERM, SIGHUP) with nothing to resume."
)
app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog=_EPILOG,
)
for _command in (
    cli_run.run, cli_run.resume, cli_run.retry, cli_run.stop,
    cli_look.status, cli_look.ls, cli_look.best, cli_look.trials, cli_look.explain,
    cli_look.audit, cli_look.confirmed, cli_schedule.schedule, cli_look.verify,
    cli_spec.validate, cli_simulate.simulate, cli_simulate.replay, cli_spec.init,
):  # fmt: skip
    app.command()(_command)


def _version(wanted: bool) -> None:
    if wanted:
        from raysweep import __version__

        typer.echo(f"raysweep {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Crash-safe hyperparameter sweeps on Ray, recorded in Parquet."""
