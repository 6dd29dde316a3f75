"""The commands that look at a sweep and change nothing: status, ls, best, trials, explain, audit,
confirmed, verify."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from raysweep.orchestrator.cli_output import (
    FAILED,
    SWEEPS,
    print_json,
    stdout,
    sweep_path,
    sweeps_in,
    with_best,
)
from raysweep.orchestrator.cli_words import Json, SweepArgument


def status(path: SweepArgument, as_json: Json = False) -> None:
    """Where a sweep stands: finished, running, interrupted, stalled or crashed."""
    from raysweep.orchestrator.cli_tables import status_table
    from raysweep.results.read import read

    facts = read(sweep_path(path)).status()
    if as_json:
        print_json(with_best(facts))
    else:
        stdout().print(status_table(facts))


def ls(
    storage: Annotated[
        Path, typer.Argument(metavar="[STORAGE]", help="The folder that holds sweeps.")
    ] = SWEEPS,
    as_json: Json = False,
) -> None:
    """List the sweeps in a folder."""
    from raysweep.orchestrator.cli_tables import sweeps_table

    rows = [_listed(path) for path in sweeps_in(storage)]
    if as_json:
        print_json(rows)
    elif rows:
        stdout().print(sweeps_table(rows))
    else:
        stdout().print(f"no sweeps in {storage}; `raysweep run SPEC` makes one")


def best(
    path: SweepArgument,
    as_json: Json = False,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="Show the K best trials.")] = 1,
    front: Annotated[
        bool, typer.Option("--front", help="Show the trials that no other beats in all metrics.")
    ] = False,
) -> None:
    """The best configuration that a sweep has found."""
    from raysweep.orchestrator.cli_tables import best_table, front_table
    from raysweep.orchestrator.trial_rows import best_rows
    from raysweep.results.read import read
    from raysweep.trials.errors import RaysweepError

    results = read(sweep_path(path))
    found, metric = results.best(), next(iter(results.manifest["metrics"]))
    if found is None:
        raise RaysweepError(
            f"{results.path} has no best trial: nobody has reported a finite {metric}; "
            f"`raysweep trials {results.path}` shows what became of them"
        )
    rows = best_rows(results, top)
    if as_json:
        facts = {"name": results.manifest.get("name"), "path": str(results.path), **found._asdict()}
        more = {"front": [one._asdict() for one in results.front()]} if front else {}
        print_json({**facts, "metric": metric, **({"top": rows} if top > 1 else {}), **more})
    elif front:
        stdout().print(front_table(results.front(), list(results.manifest["metrics"])))
    else:
        stdout().print(best_table(results, found, rows))


def trials(
    path: SweepArgument,
    as_json: Json = False,
    status: Annotated[
        str | None, typer.Option(metavar="S", help="Only trials of this status, e.g. failed.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Sort by this column; the best first if not given."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N trials.")] = None,
) -> None:
    """The trials of a sweep, the best first."""
    from raysweep.orchestrator.cli_tables import trials_table
    from raysweep.orchestrator.trial_rows import trial_rows
    from raysweep.results.read import read

    results = read(sweep_path(path))
    rows = trial_rows(results, status=status, sort=sort, limit=limit)
    if as_json:
        print_json(rows)
    elif rows:
        stdout().print(trials_table(rows, next(iter(results.manifest["metrics"]))))
    else:
        stdout().print("no such trials")


def explain(
    path: SweepArgument,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial, e.g. t000017 or 17.")],
    as_json: Json = False,
) -> None:
    """The story of a trial: each attempt, each decision with its reason, and why it ended."""
    from raysweep.orchestrator.cli_tables import story_table
    from raysweep.orchestrator.story import tell
    from raysweep.results.read import read

    results = read(sweep_path(path))
    story = tell(results, trial)
    logs = sorted(results.path.glob(f"logs/{story.trial['trial_id']}-*.txt"))
    if as_json:
        moments = [{**m.facts, "at": m.at, "text": m.text} for m in story.moments]
        row = story.trial
        print_json(
            {
                "path": str(results.path), "trial_id": row["trial_id"], "status": row["status"],
                "config": story.config, "best_value": row["best_value"],
                "best_step": row["best_step"], "steps": row["steps"], "logs": [str(log) for log in logs], "story": moments,
            }
        )  # fmt: skip
    else:
        stdout().print(story_table(story, next(iter(results.manifest["metrics"]))))
        for log in logs:
            stdout().print(f"printed  {log}", soft_wrap=True)


Confidence = Annotated[float, typer.Option(metavar="P", help="Of the intervals, between 0 and 1.")]


def audit(path: SweepArgument, as_json: Json = False, confidence: Confidence = 0.95) -> None:
    """What early stopping cost and saved, from the condemned trials that ran on (`audit:`)."""
    from raysweep.orchestrator import audit_report
    from raysweep.orchestrator.audit import audit as estimated
    from raysweep.results.read import read

    found = sweep_path(path)
    facts = audit_report.facts_of(read(found), estimated(found, confidence))
    if as_json:
        print_json(facts)
    else:
        stdout().print(audit_report.shown(facts), soft_wrap=True)


def confirmed(path: SweepArgument, as_json: Json = False, confidence: Confidence = 0.95) -> None:
    """The best configuration by fresh seeds alone, and how much too good its own value was."""
    from raysweep.orchestrator import confirm_report
    from raysweep.results.read import read

    facts = confirm_report.facts_of(read(sweep_path(path)), confidence)
    if as_json:
        print_json(facts)
    else:
        stdout().print(confirm_report.shown(facts), soft_wrap=True)


def verify(path: SweepArgument, as_json: Json = False) -> None:
    """Check the promises of a sweep directory, and that its decisions can be replayed.

    Leaves with 0 if nothing is wrong and with 1 otherwise.
    """
    from raysweep.orchestrator.replay import check_replay, unreplayable
    from raysweep.orchestrator.verify_checkpoints import damaged_checkpoints
    from raysweep.results import verify as check
    from raysweep.results.read import read
    from raysweep.trials.errors import StoreError

    found = sweep_path(path)
    findings = check.verify(found)
    whole = not findings
    with suppress(StoreError):  # what cannot be read is among the findings
        findings += damaged_checkpoints(read(found))
    if whole:  # a record that cannot be read cannot be replayed
        findings += check_replay(found)
    if as_json:
        print_json({"path": str(found), "findings": [f._asdict() for f in findings]})
    elif findings:
        for finding in findings:
            stdout().print(f"{finding.invariant}: {finding.message}", soft_wrap=True)
    else:
        because = unreplayable(found)
        but = f"; its decisions were not replayed: {because}" if because else ""
        stdout().print(f"{found}: nothing is wrong{but}", soft_wrap=True)
    if findings:
        raise typer.Exit(FAILED)


def _listed(path: Path) -> dict[str, Any]:
    """One sweep of a list; one that cannot be read is listed as damaged, with the reason."""
    from raysweep.results.read import read
    from raysweep.trials.errors import StoreError

    try:
        results = read(path)
        facts = results.status()
    except (StoreError, OSError) as error:
        return {"name": path.name, "path": str(path), "state": "damaged", "reason": str(error)}
    listed = {
        "name": facts["name"], "path": str(path), "state": facts["state"],
        "reason": facts["reason"], "created": results.manifest.get("created"),
        "elapsed_s": facts["elapsed_s"], "trials": facts["trials"], "reports": facts["reports"],
        "metric": next(iter(results.manifest["metrics"])), "best": facts["best"],
    }  # fmt: skip
    return with_best(listed)
