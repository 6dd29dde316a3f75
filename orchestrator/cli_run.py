"""The commands that drive a sweep: run, resume, stop, simulate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysweep.orchestrator.cli_output import print_json, stderr, stdout, sweep_path, with_best
from raysweep.orchestrator.cli_words import Json, Spec, SweepArgument

if TYPE_CHECKING:
    from raysweep.orchestrator.spec import SweepSpec
    from raysweep.orchestrator.sweep import Sweep

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the spec; may be repeated."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only the result.")]


def run(
    spec: Spec,
    name: Annotated[str | None, typer.Option(help="Another name for the sweep.")] = None,
    storage: Annotated[Path | None, typer.Option(help="The folder for its directory.")] = None,
    address: Annotated[
        str | None, typer.Option(help="The Ray to run on: host:port, auto, or local.")
    ] = None,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a sweep from its spec until its budget, or what there is to try, is used up.

    Ctrl-C (or SIGTERM, or `raysweep stop`) lets running trials write a checkpoint and leaves with
    exit code 75; `raysweep resume` goes on.
    """
    from raysweep.orchestrator.spec_changes import changed_spec, read_changes
    from raysweep.orchestrator.sweep import Sweep

    changes = read_changes(set_ or [])
    changed = changed_spec(spec, name=name, storage=storage, address=address, changes=changes)
    _tell_notes(changed)
    _drive(Sweep.create(changed), as_json, quiet)


def resume(
    path: SweepArgument,
    set_: Set = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Fence off a driver that still holds the sweep.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a sweep that was interrupted or killed, or that has used up its budget.

    A larger budget is given by --set, e.g. --set budget.trials=100.
    """
    from raysweep.orchestrator.spec_changes import read_changes
    from raysweep.orchestrator.sweep import Sweep

    found, changes = sweep_path(path), read_changes(set_ or [])
    _drive(Sweep.reopen(found, changes=changes, take_over=take_over), as_json, quiet)


def stop(path: SweepArgument) -> None:
    """Ask a running sweep, wherever its driver is, to checkpoint and come to rest."""
    from raysweep.orchestrator.requests import request_stop
    from raysweep.results.read import read

    found = sweep_path(path)
    state = read(found).status()["state"]
    if state != "running":
        stdout().print(f"{found} is not running (it is {state}); there is nothing to stop")
        return
    request_stop(found)
    stdout().print(f"asked {found} to stop; `raysweep status {found}` says when it has")


def simulate(
    spec: Spec,
    workers: Annotated[int, typer.Option(help="Simulated slots.")],
    step_s: Annotated[float, typer.Option(help="Median seconds of a step.")] = 1.0,
    step_sigma: Annotated[float, typer.Option(help="Spread of step times (log-sd).")] = 0.3,
    setup_s: Annotated[float, typer.Option(help="Seconds before a trial's first step.")] = 0.0,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Run the spec's own scheduler on simulated workers and made-up learning curves.

    Nothing is trained and nothing is written: it shows how many trials come how far, in what time,
    and how busy the workers are.
    """
    from raysweep.orchestrator.simulate import simulate as run_simulation
    from raysweep.orchestrator.spec_changes import changed_spec, read_changes

    changed = changed_spec(spec, changes=read_changes(set_ or []))
    _tell_notes(changed)
    found = run_simulation(
        changed, workers=workers, step_s=step_s, step_sigma=step_sigma, setup_s=setup_s
    )
    facts = {
        "name": changed.name, "workers": workers, "reason": found.closed.reason,
        "time_s": found.at_s, "trials": found.trials, "steps": found.steps,
        "busy_s": found.busy_s, "occupancy": found.occupancy, "rungs": found.rungs,
    }  # fmt: skip
    if as_json:
        print_json(facts)
    else:
        _show_simulated(facts)


def _tell_notes(spec: SweepSpec) -> None:
    """What became of the keys of a W&B sweep, where nobody takes it for output."""
    for note in spec.notes:
        stderr().print(str(note), style="dim", soft_wrap=True)


def _drive(sweep: Sweep, as_json: bool, quiet: bool) -> None:
    """Run the sweep to rest, tell what came of it, and leave with its exit code."""
    from raysweep.orchestrator.live_view import live_view
    from raysweep.orchestrator.summary import summary
    from raysweep.orchestrator.wording import shown_path
    from raysweep.results.read import read

    with live_view(sweep, quiet=quiet, stderr=as_json) as observe:
        closed = sweep.run(observe=observe)
    results = read(shown_path(sweep.path))
    if as_json:
        print_json(with_best(results.status()))
    else:
        stdout().print(summary(results, closed))
    if closed.exit_code:
        stderr().print(f"exit code {closed.exit_code}: {closed.reason}", style="dim")
    raise typer.Exit(closed.exit_code)


def _show_simulated(facts: dict[str, Any]) -> None:
    from rich.table import Table

    from raysweep.orchestrator.wording import duration

    counts = ", ".join(f"{n:,} {word.lower()}" for word, n in facts["trials"].items() if n)
    console = stdout()
    console.print(f"{facts['name']} on {facts['workers']:,} simulated workers: {facts['reason']}")
    console.print(
        f"{duration(facts['time_s'])}, {facts['steps']:,} steps, {counts}; "
        f"workers busy {facts['occupancy']:.1%} of the time"
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("rung", justify="right")
    table.add_column("trials", justify="right")
    for row in facts["rungs"][:20]:
        table.add_row(f"{row['step']:,}", f"{row['trials']:,}")
    if facts["rungs"]:
        console.print(table)
