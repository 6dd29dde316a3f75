"""The commands that play a sweep in simulated time: simulate and replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysweep.orchestrator.cli_output import print_json, stderr, stdout, sweep_path
from raysweep.orchestrator.cli_words import Json, Set, Spec, SweepArgument, tell_notes

if TYPE_CHECKING:
    from raysweep.orchestrator.simulate import Simulated
    from raysweep.orchestrator.spec import SweepSpec

_STEP_S, _STEP_SIGMA = 1.0, 0.3
_LONGEST_S, _LARGEST_SIGMA, _MOST_WORKERS = 1e9, 10.0, 100_000


def simulate(
    spec: Spec,
    workers: Annotated[int, typer.Option(help="Simulated slots.")],
    bench: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:TASK", help="Recorded curves to run against, e.g. lcbench:167104."
        ),
    ] = None,
    step_s: Annotated[
        float | None, typer.Option(help=f"Median seconds of a step; {_STEP_S:g} if not given.")
    ] = None,
    step_sigma: Annotated[
        float | None,
        typer.Option(help=f"Spread of step times (log-sd); {_STEP_SIGMA:g}, or none with --bench."),
    ] = None,
    setup_s: Annotated[float, typer.Option(help="Seconds before a trial's first step.")] = 0.0,
    start_s: Annotated[
        float, typer.Option(help="Seconds until a slot is there, or one of another size.")
    ] = 0.0,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Run the spec's own searcher and scheduler on simulated workers.

    Learning curves are made up, or with --bench recorded ones of real trainings, with their space,
    metric and times in the place of the spec's. Nothing is trained and nothing is written: it shows
    how many trials come how far, in what time, and how busy the workers are.
    """
    from raysweep.orchestrator.simulate import simulate as run_simulation
    from raysweep.orchestrator.spec_changes import changed_spec, read_changes

    times = {"--step-s": step_s, "--setup-s": setup_s, "--start-s": start_s}
    for option, value in times.items():
        _check_number(option, value, _LONGEST_S)
    _check_number("--step-sigma", step_sigma, _LARGEST_SIGMA)
    _check_number("--workers", workers, _MOST_WORKERS)
    changed = changed_spec(spec, changes=read_changes(set_ or []))
    tell_notes(changed)
    facts = {"name": changed.name, "workers": workers}
    if bench is None:
        step_s = _STEP_S if step_s is None else step_s
        sigma = _STEP_SIGMA if step_sigma is None else step_sigma
        found = run_simulation(
            changed,
            workers=workers,
            step_s=step_s,
            step_sigma=sigma,
            setup_s=setup_s,
            start_s=start_s,
        )
    else:
        found, more = _on_bench(changed, bench, workers, step_s, step_sigma or 0.0, setup_s)
        facts |= more
    facts |= {
        "reason": found.closed.reason, "time_s": found.at_s, "trials": found.trials,
        "steps": found.steps, "busy_s": found.busy_s, "occupancy": found.occupancy,
        "rungs": found.rungs,
    }  # fmt: skip
    if as_json:
        print_json(facts)
    else:
        _show(facts)


def _check_number(option: str, value: float | None, most: float) -> None:
    """Refuse what no simulated clock or cluster can take.

    Raises:
        SpecError: it is more than `most`, or not a number.
    """
    from raysweep.trials.errors import SpecError

    if value is not None and not value <= most:  # also NaN; what is negative is refused further on
        raise SpecError(f"{option} {str(value)[:40]}: allowed are numbers from 0 to {most:,.0f}")


def _on_bench(
    spec: SweepSpec,
    bench: str,
    workers: int,
    step_s: float | None,
    step_sigma: float,
    setup_s: float,
) -> tuple[Simulated, dict[str, Any]]:
    from raysweep.cluster.recordings import recording
    from raysweep.orchestrator.play import on_recording, play
    from raysweep.schedulers.units import STEPS, unit_of
    from raysweep.trials.errors import SpecError

    if step_s is not None:
        raise SpecError(
            f"--step-s {step_s:g} and --bench {bench}: recorded curves bring their own times; leave "
            f"--step-s out"
        )
    on = recording(bench)
    placed = on_recording(spec, on)
    found = play(placed, on, workers=workers, step_sigma=step_sigma, setup_s=setup_s)
    beyond = placed.scheduler.get("max_t")
    if beyond is not None and beyond > on.max_t and unit_of(placed.scheduler) == STEPS:
        stderr().print(
            f"scheduler.max_t is {beyond:,} and the curves of {bench} have {on.max_t} steps: trials "
            f"end there",
            style="dim",
            soft_wrap=True,
        )
    best = found.best and {
        "trial_id": found.best.trial,
        "step": found.best.step,
        "metric": on.goal.metric,
        "value": found.best.metrics[on.goal.metric],
        "at_s": found.best_at_s,
        "regret": on.regret(found.best.score),
    }
    return found, {"bench": bench, "training_s": on.training_s, "best": best}


def _show(facts: dict[str, Any]) -> None:
    from rich.table import Table

    from raysweep.orchestrator.wording import duration, number

    counts = ", ".join(f"{n:,} {word.lower()}" for word, n in facts["trials"].items() if n)
    curves = f" and the curves of {facts['bench']}" if "bench" in facts else ""
    console = stdout()
    console.print(
        f"{facts['name']} on {facts['workers']:,} simulated workers{curves}: {facts['reason']}",
        soft_wrap=True,
    )
    console.print(
        f"{duration(facts['time_s'])}, {facts['steps']:,} steps, {counts}; "
        f"workers busy {facts['occupancy']:.1%} of the time",
        soft_wrap=True,
    )
    if best := facts.get("best"):
        console.print(
            f"best {best['metric']} {number(best['value'])} by {best['trial_id']} at step "
            f"{best['step']} after {duration(best['at_s'])}; regret {best['regret']:.3f} (0: best "
            f"known, 1: a median random config; a full training takes "
            f"{duration(facts['training_s'])})",
            soft_wrap=True,
        )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("rung", justify="right")
    table.add_column("trials", justify="right")
    for row in facts["rungs"][:20]:
        table.add_row(f"{row['step']:,}", f"{row['trials']:,}")
    if facts["rungs"]:
        console.print(table)


def replay(
    path: SweepArgument,
    scheduler: Annotated[
        str, typer.Option(metavar="NAME[:k=v,...]", help="The rule to replay with.")
    ],
    searcher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:k=v,...]", help="Who chooses among the recorded configs, by nearness."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Simulated slots; as many as the sweep had if not given.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, metavar="K", help="Follow the K best trials on record.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """What another rule would have saved or lost on the recorded curves of an earlier sweep.

    The trials come in their recorded order with their recorded seconds. A curve that the sweep cut
    off ends a trial where the recording ends: what lies beyond is unknown, and counted.
    """
    from raysweep.orchestrator.recorded_sweep import recorded_sweep
    from raysweep.orchestrator.replay_report import facts_of, shown
    from raysweep.orchestrator.what_if import named, what_if

    rule = named(scheduler, "scheduler")
    chooser = named(searcher, "searcher") if searcher is not None else None
    sweep = recorded_sweep(sweep_path(path))
    workers = sweep.slots if workers is None else workers
    found = what_if(sweep, rule, searcher=chooser, workers=workers, top=top)
    facts = facts_of(sweep, found, rule, chooser, workers)
    if as_json:
        print_json(facts)
    else:
        stdout().print(shown(facts))
