"""The commands about specs: validate and init."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysweep.orchestrator.cli_output import print_json, stdout
from raysweep.orchestrator.cli_words import Json, Spec

if TYPE_CHECKING:
    from raysweep.orchestrator.spec import SweepSpec


def validate(spec: Spec, as_json: Json = False) -> None:
    """Check a spec, import its training code, and print what was understood; starts nothing."""
    from raysweep.orchestrator.spec import SweepSpec
    from raysweep.orchestrator.spec_program import program_code
    from raysweep.trainables.load import ModuleCode

    read = SweepSpec.from_yaml(spec)
    if read.program is not None:
        program_code(read)
    elif not read.trainable.startswith("<python:"):
        ModuleCode(read.trainable, str(read.folder.resolve())).check()
    facts = understood(read)
    if as_json:
        print_json(facts)
    else:
        _show(facts)


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write them.")] = Path(),
) -> None:
    """Write a commented sweep.yaml and train.py to start from; overwrites nothing."""
    from raysweep.orchestrator.starter import write_starter

    spec, train = write_starter(folder)
    console = stdout()
    console.print(f"wrote {spec} and {train}", soft_wrap=True)
    console.print(f"next   raysweep validate {spec}\n       raysweep run {spec}", soft_wrap=True)


def understood(spec: SweepSpec) -> dict[str, Any]:
    """What a spec means, as plain data."""
    from raysweep.orchestrator.wording import shown_path
    from raysweep.results.layout import is_sweep
    from raysweep.trials.streams import Stream
    from raysweep.trials.trial import trial_id

    space, path = spec.parsed_space, spec.storage_path / spec.name
    return {
        "name": spec.name,
        "path": str(shown_path(path)),
        "exists": is_sweep(path),
        "trainable": spec.trainable,
        "space": {
            name: {
                "domain": parameter.domain.describe(),
                "when": {parent: list(values) for parent, values in parameter.when.items()},
            }
            for name, parameter in space.parameters.items()
        },
        "constraints": list(spec.constraints),
        "size": space.size,
        "example": space.sample(Stream(spec.seed, trial_id(0), "ask")),
        "metrics": dict(spec.goal.metrics),
        "searcher": spec.searcher,
        "scheduler": spec.scheduler,
        "rungs": rungs_plan(spec),
        "resources": _resources(spec),
        "cluster": _given(spec.cluster.model_dump()),
        "budget": _given(spec.budget.model_dump()),
        "retries": spec.retries.model_dump(),
        "seed": spec.seed,
        "notes": [note._asdict() for note in spec.notes],
    }


def _resources(spec: SweepSpec) -> dict[str, Any]:
    given = _given(spec.resources.model_dump(mode="json"))
    for name in ("gpu_from", "cpu_from"):
        if name in given:
            given[name] = {str(step): amount for step, amount in given[name]}
    if spec.resources.shares().fixed:
        given.pop("patience_s", None)
    return given


def _given(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value not in (None, {}, [], False)}


def rungs_plan(spec: SweepSpec) -> list[dict[str, int]]:
    """How many trials reach each rung if every comparison is clear; empty without rungs.

    Nor is anything said of several brackets, as chance decides how many trials each gets.
    """
    from raysweep.schedulers.rungs import plan, reached_steps, rung_steps

    options, trials = spec.scheduler, spec.budget.trials
    one_ladder = options["name"] in ("asha", "mo_asha") and options.get("brackets", 1) == 1
    if not one_ladder or trials is None:
        return []
    grace, max_t, factor = (options[o] for o in ("grace_period", "max_t", "reduction_factor"))
    if max_t is None:
        *steps, max_t = reached_steps(grace, factor, trials)
    else:
        steps = rung_steps(grace, max_t, factor)
    return plan(steps, max_t, factor, trials)


def _show(facts: dict[str, Any]) -> None:
    from rich.table import Table

    from raysweep.orchestrator.wording import (
        config_line,
        counted,
        dotted,
        duration,
        number,
        rung_in,
    )  # fmt: skip
    from raysweep.schedulers.units import unit_of

    unit = unit_of(facts["scheduler"])
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_row("sweep", f"{facts['name']} → {facts['path']}")
    if facts["exists"]:
        grid.add_row("", "there is one already: `raysweep run` will want another --name")
    grid.add_row("trainable", facts["trainable"])
    for row, (name, parameter) in enumerate(facts["space"].items()):
        when = " and ".join(
            f"{dotted(parent)} is {' or '.join(map(str, values))}"
            for parent, values in parameter["when"].items()
        )
        text = f"{dotted(name)}: {parameter['domain']}" + (f", when {when}" if when else "")
        grid.add_row("" if row else "space", text)
    for row, constraint in enumerate(facts["constraints"]):
        grid.add_row("" if row else "constraints", constraint)
    grid.add_row("first trial", config_line(facts["example"]))
    goals = ", ".join(f"{mode} {metric}" for metric, mode in facts["metrics"].items())
    grid.add_row("goal", goals)
    for part in ("searcher", "scheduler"):
        options = {key: value for key, value in facts[part].items() if key != "name"}
        grid.add_row(part, f"{facts[part]['name']}  {config_line(options)}".rstrip())
    if facts["rungs"]:
        rungs = (
            f"{counted(r['trials'], 'trial')} to {rung_in(r['step'], unit)}"
            for r in facts["rungs"]
            if r["trials"]
        )
        grid.add_row("rungs", ", ".join(rungs))
    grid.add_row("resources", config_line(facts["resources"]) + " per trial")
    limits = facts["budget"].items()
    shown = (f"{n} {duration(v)}" if n == "wall_time_s" else f"{n} {number(v)}" for n, v in limits)
    grid.add_row("budget", ", ".join(shown).replace("wall_time_s", "wall_time") or "no limit")
    for row, note in enumerate(facts["notes"]):
        grid.add_row("" if row else "from W&B", f"{note['kind']}: {note['text']}")
    stdout().print(grid)
