"""Whose child a trial is: its line of ancestors, and the schedule of configs that led to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from raysweep.orchestrator.wording import dotted, number, printable

if TYPE_CHECKING:
    from raysweep.results.read import Results

_Row = Mapping[str, Any]


class Stage(NamedTuple):
    """From `from_step` up to `to_step`, training went by `config`, as the trial `trial`.

    `to_step` of the last stage is how far its trial came.
    """

    trial: str
    from_step: int
    to_step: int
    config: dict[str, Any]


def schedule(results: Results, trial: str) -> list[Stage]:
    """The stages that led to `trial`, that one included; a trial without parent has one.

    Args:
        results: of the sweep.
        trial: the id of a trial in it.
    """
    rows = {row["trial_id"]: row for row in _rows(results)}
    line = [rows[trial]]
    while parent := line[0]["parent"]:
        line.insert(0, rows[parent])
    starts = [row["parent_step"] or 0 for row in line]
    ends = [*starts[1:], line[-1]["steps"]]
    return [
        Stage(row["trial_id"], start, end, json.loads(row["config_json"]))
        for row, start, end in zip(line, starts, ends, strict=True)
    ]


def birth(results: Results, trial: _Row) -> str:
    """How a child or a replicate came to be, in a sentence."""
    if original := trial["replicate_of"]:
        why = json.loads(trial["why"])
        return printable(
            f"replicate of {original}, which ranked {why['rank']:,} with {number(why['value'])}: trains "
            f"its config from scratch on a fresh seed, to step {why['to_step']:,}"
        )
    *_, before, own = schedule(results, trial["trial_id"])
    text = (
        f"a child of {before.trial}: goes on from its checkpoint of step {own.from_step:,} with "
        f"{_changes(before.config, own.config)}"
    )
    if instead := json.loads(trial["why"] or "{}").get("instead"):
        text += f", in the place of {instead}"
    line = [stage.trial for stage in schedule(results, trial["trial_id"])]
    return printable(f"{text}; its line is {' → '.join(line)}")


def offspring(results: Results, trial: _Row) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """Who was made of a trial, and who took its place: when, in words, and in facts."""
    own, config = trial["trial_id"], json.loads(trial["config_json"])
    for row in _rows(results):
        if row["replicate_of"] == own:
            text = (
                f"{row['trial_id']} trains its config again, from scratch and on a seed of its own"
            )
            facts = {"replicate": row["trial_id"], "replicate_of": own}
            yield row["created_at"], text, {"verb": "replicated", **facts}
        if not row["parent"]:
            continue
        child, parent, step = row["trial_id"], row["parent"], row["parent_step"]
        facts = {"child": child, "parent": parent, "step": step}
        if parent == own:
            changes = _changes(config, json.loads(row["config_json"]))
            text = f"{child} goes on from its checkpoint of step {step:,} with {changes}"
            yield row["created_at"], printable(text), {"verb": "copied", **facts}
        if json.loads(row["why"] or "{}").get("instead") == own:
            text = f"{child}, a child of {parent}, takes its place from step {step:,} on"
            yield row["created_at"], text, {"verb": "replaced", **facts}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    changed = [
        f"{dotted(name)} {number(before.get(name))} → {number(value)}"
        for name, value in after.items()
        if value != before.get(name)
    ]
    return ", ".join(changed) or "the same config"


def _rows(results: Results) -> list[dict[str, Any]]:
    names = [
        "trial_id", "parent", "parent_step", "replicate_of", "created_at", "steps", "config_json",
        "why",
    ]  # fmt: skip
    rows: list[dict[str, Any]] = results.arrow("trials").select(names).to_pylist()
    return rows
