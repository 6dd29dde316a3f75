"""The commands that drive a sweep: run, resume, stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysweep.orchestrator.cli_output import print_json, stderr, stdout, sweep_path, with_best
from raysweep.orchestrator.cli_words import Json, Set, Spec, SweepArgument, tell_notes
from raysweep.trials.errors import SpecError

if TYPE_CHECKING:
    from raysweep.orchestrator.sweep import Sweep

Folder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where the training code is, if not where it was."),
]
AcceptCodeChange = Annotated[
    bool, typer.Option("--accept-code-change", help="Go on though the training code has changed.")
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
    tell_notes(changed)
    _drive(Sweep.create(changed), as_json, quiet)


def resume(
    path: SweepArgument,
    set_: Set = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Fence off a driver that still holds the sweep.")
    ] = False,
    folder: Folder = None,
    accept_code_change: AcceptCodeChange = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a sweep that was interrupted or killed, or that has used up its budget.

    A larger budget is given by --set, e.g. --set budget.trials=100.
    """
    _go_on(path, set_, take_over, folder, accept_code_change, None, as_json, quiet)


def retry(
    path: SweepArgument,
    trials: Annotated[
        list[str] | None, typer.Argument(metavar="[TRIAL]...", help="Ids of failed trials.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every trial that has failed.")] = False,
    set_: Set = None,
    folder: Folder = None,
    accept_code_change: AcceptCodeChange = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give trials that have failed another attempt, after a mended bug, and go on with the sweep.

    Each goes on from its last checkpoint where that is possible, else from scratch.
    """
    if bool(trials) == failed:
        raise SpecError(
            f"got {'both' if trials else 'neither'} trials and --failed: name trials "
            "(`raysweep retry PATH t000003`), or give --failed for all that have failed"
        )
    names = list(trials or ())
    _go_on(path, set_, False, folder, accept_code_change, names, as_json, quiet)


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


def _go_on(
    path: str,
    set_: list[str] | None,
    take_over: bool,
    folder: Path | None,
    accept_code_change: bool,
    retry: list[str] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Reopen the sweep and drive it on; `retry` as of `Sweep.reopen`."""
    from raysweep.orchestrator.spec_changes import read_changes
    from raysweep.orchestrator.sweep import Sweep

    found, changes = sweep_path(path), read_changes(set_ or [])
    sweep = Sweep.reopen(
        found,
        changes=changes,
        take_over=take_over,
        folder=folder,
        accept_code_change=accept_code_change,
        retry=retry,
    )
    for note in sweep.notes:
        stderr().print(f"note: {note}", style="yellow", soft_wrap=True)
    _drive(sweep, as_json, quiet)


def _drive(sweep: Sweep, as_json: bool, quiet: bool) -> None:
    """Run the sweep to rest, tell what came of it, and leave with its exit code."""
    from raysweep.orchestrator import interrupts
    from raysweep.orchestrator.live_view import live_view
    from raysweep.orchestrator.summary import summary
    from raysweep.orchestrator.wording import shown_path
    from raysweep.results.read import read

    interrupts.drives(sweep.path)
    with live_view(sweep, quiet=quiet, stderr=as_json) as observe:
        closed = sweep.run(observe=observe)
        interrupts.came_to_rest(closed.exit_code)
    results = read(shown_path(sweep.path))
    if as_json:
        print_json(with_best(results.status()))
    else:
        stdout().print(summary(results, closed))
    if closed.exit_code:
        stderr().print(f"exit code {closed.exit_code}: {closed.reason}", style="dim")
    raise typer.Exit(closed.exit_code)
