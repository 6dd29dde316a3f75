"""The command that shows what a population based sweep has found: a schedule of configs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysweep.orchestrator.cli_output import print_json, stdout, sweep_path
from raysweep.orchestrator.cli_words import Json, SweepArgument

if TYPE_CHECKING:
    from rich.table import Table

    from raysweep.orchestrator.lineage import Stage


def schedule(
    path: SweepArgument,
    trial: Annotated[
        str, typer.Argument(metavar="[TRIAL]", help="A trial, e.g. t000017 or 17; else the best.")
    ] = "",
    as_json: Json = False,
    as_spec: Annotated[
        bool, typer.Option("--spec", help="Print the part of a spec that trains along it.")
    ] = False,
) -> None:
    """The configs that led to a trial, step by step: the schedule that pbt or pb2 has found."""
    from raysweep.orchestrator.lineage import schedule as found_in
    from raysweep.orchestrator.story import trial_row
    from raysweep.results.read import read
    from raysweep.trials.errors import RaysweepError

    results = read(sweep_path(path))
    if not trial:
        best = results.best()
        if best is None:
            raise RaysweepError(f"{results.path} has no best trial yet; name one, e.g. t000000")
        trial = best.trial_id
    stages = found_in(results, trial_row(results, trial)["trial_id"])
    if as_json:
        segments = [stage._asdict() for stage in stages]
        print_json({"path": str(results.path), "trial_id": stages[-1].trial, "segments": segments})
    elif as_spec:
        stdout().print(_replaying(stages), soft_wrap=True, markup=False, highlight=False)
    else:
        stdout().print(_table(stages))


def _replaying(stages: list[Stage]) -> str:
    """YAML that a spec needs besides its trainable, space and metric."""
    import yaml

    segments = [{"from_step": stage.from_step, "config": stage.config} for stage in stages]
    written: dict[str, Any] = {
        "searcher": {"name": "random", "points_to_evaluate": [dict(stages[0].config)]},
        "scheduler": {"name": "pbt_replay", "max_t": stages[-1].to_step, "schedule": segments},
        "budget": {"trials": 1},
    }
    return yaml.safe_dump(written, sort_keys=False).rstrip()


def _table(stages: list[Stage]) -> Table:
    from rich.table import Table

    from raysweep.orchestrator.wording import config_line

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("from step", "to step", "trial", "config"):
        table.add_column(title, overflow="fold")
    for stage in stages:
        table.add_row(
            f"{stage.from_step:,}", f"{stage.to_step:,}", stage.trial, config_line(stage.config)
        )
    return table
