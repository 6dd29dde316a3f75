"""The story of one trial in words: who was suggested, where it stood at each rung, why it ended."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from raysweep.orchestrator.confirm import RULE as REPLICATE
from raysweep.orchestrator.lineage import birth, offspring
from raysweep.orchestrator.panel import error_file
from raysweep.orchestrator.wording import number, printable
from raysweep.schedulers.audit import OF, RULE
from raysweep.trials.errors import SpecError
from raysweep.trials.trial import UNBOUNDED, trial_id

if TYPE_CHECKING:
    from raysweep.results.read import Results

_FAILURE, _DECISION, _END = range(3)
"""What comes first of what happened at one instant."""


class Moment(NamedTuple):
    """One thing that happened to a trial at the sweep's age `at`; `facts` are its numbers."""

    at: float
    text: str
    facts: Mapping[str, Any]


class Story(NamedTuple):
    """A trial's row of the trials table, its config by flat name, and what happened to it."""

    trial: Mapping[str, Any]
    config: Mapping[str, Any]
    moments: list[Moment]


def tell(results: Results, name: str) -> Story:
    """The story of the trial `name`, which may also be its bare number.

    Raises:
        SpecError: there is no such trial.
    """
    trial = trial_row(results, name)
    found = [(trial["created_at"], _FAILURE, _suggested(results, trial))]
    held = {}
    for row in _rows(results, "attempts", trial["trial_id"]):
        found.extend(_ending(results, row))
        held[row["attempt"]] = {"gpu": row.get("gpu"), "cpu": row.get("cpu")}
    metric = _judged(results)
    for row in _rows(results, "decisions", trial["trial_id"]):
        if row["verb"] in ("start", "resume"):
            row |= held.get(row["attempt"], {})
        text = _TELLERS.get(row["verb"], _other)(row, metric)
        if row["model"]:
            text = printable(f"{text} ({row['model']})")
        facts = {key: value for key, value in row.items() if value is not None}
        found.append((row["at"], _DECISION, Moment(row["at"], text, facts)))
    found.extend(
        (at, _END, Moment(at, text, facts)) for at, text, facts in offspring(results, trial)
    )
    found.sort(key=lambda entry: entry[:2])
    return Story(trial, json.loads(trial["config_json"]), [moment for *_, moment in found])


def trial_row(results: Results, name: str) -> dict[str, Any]:
    """The row of the trial `name`, which may also be its bare number.

    Raises:
        SpecError: there is no such trial.
    """
    name = trial_id(int(name)) if name.isdecimal() and len(name) < 10 else name
    rows = _rows(results, "trials", name)
    if rows:
        return rows[0]
    ids = results.arrow("trials")["trial_id"].to_pylist()
    known = f"its {len(ids):,} trials are {ids[0]} to {ids[-1]}" if ids else "it has no trials yet"
    raise SpecError(f"there is no trial {name!r} in {results.path}: {known}")


def _rows(results: Results, table: str, name: str) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    rows: list[dict[str, Any]] = (
        results.arrow(table).filter(pc.field("trial_id") == name).to_pylist()
    )
    return rows


def _judged(results: Results) -> str:
    """What trials are judged by, in words."""
    metric = next(iter(results.manifest["metrics"]))
    scheduler = (results.manifest.get("spec") or {}).get("scheduler") or {}
    by = scheduler.get("judge_by", "last")
    return metric if by == "last" else f"{by} {metric}"


def _suggested(results: Results, trial: Mapping[str, Any]) -> Moment:
    searcher = (results.manifest.get("spec") or {}).get("searcher") or {}
    name = str(searcher.get("name", "")).removeprefix("<python:").removesuffix(">")
    who = f"the {name} searcher" if name else "the searcher"
    why = json.loads(trial.get("why") or "{}")
    if trial["parent"] or trial["replicate_of"]:
        text = birth(results, trial)
    else:
        text = "; ".join([f"suggested by {who}", *_reasons(why)])
    return Moment(trial["created_at"], printable(text), {"verb": "suggested", **why})


def _reasons(why: Mapping[str, Any]) -> Iterator[str]:
    """What a searcher said of its proposal, in words."""
    if model := why.get("model"):
        found = why.get("acquisition")
        value = "" if why.get("value") is None else f" {number(why['value'])}"
        known = f", knowing {why['n']:,} results" if isinstance(why.get("n"), int) else ""
        yield f"{model}: {found}{value}{known}" if found else f"{model}{known}"
    if parents := why.get("parents"):
        yield f"from {', '.join(map(str, parents))}"
    if note := why.get("note"):
        yield str(note)
    if auto := why.get("auto"):
        yield f"auto chose {auto}"


def _ending(results: Results, row: Mapping[str, Any]) -> Iterator[tuple[float, int, Moment]]:
    """What the decisions do not tell of an attempt: that it failed, or ended by itself."""
    at, attempt, end = row["ended_at"], row["attempt"], row["end"]
    if end == "failed":
        file = error_file(results.path, row["trial_id"], attempt)
        message = printable(row["message"] or "no message")
        text = f"attempt {attempt} failed after step {row['end_step']}: {row['error_class']}: {message}"
        facts = {"verb": "failed", "attempt": attempt, "error_class": row["error_class"]}
        if file.exists():
            text, facts = f"{text} (traceback: {file})", {**facts, "file": str(file)}
        yield at, _FAILURE, Moment(at, text, facts)
    elif end == "ended":
        text = f"the training code ended after step {row['end_step']}"
        yield at, _END, Moment(at, text, {"verb": "ended", "attempt": attempt})


def _rule(row: Mapping[str, Any]) -> str:
    """The rule that compared the trial, whatever came of it."""
    return str(row["rule"]).removeprefix(OF)


def _standing(row: Mapping[str, Any], metric: str) -> str:
    """Where the trial stood at a rung, "" if the decision was none of a rung's."""
    if row["rung"] is None:
        return ""
    value = row["value"]
    several = _rule(row).startswith("mo_asha")
    if value is None or math.isnan(value):
        lacks = "no finite value of every metric" if several else f"no finite {metric}"
        return f"{lacks} at rung {row['rung']}"
    if row["rank"] is None:
        return _by_itself(row, metric)
    if _rule(row).startswith("curve"):
        return (
            f"{metric} {number(value)} at rung {row['rung']} is the {row['rank']:,}. of {row['peers']:,} "
            f"by expected improvement per cost, where the best so far is {number(row['cutoff'])}"
        )
    text = (
        f"{metric} {number(value)} ranks {row['rank']:,} of {row['peers']:,} at rung {row['rung']}"
    )
    if several:
        return f"{text}, counting all metrics"
    if row["rule"].startswith("pbt"):
        return f"{text}, each compared at the last one that both have shown"
    cutoff = row["cutoff"]
    return f"{text}, " + (
        "none is good enough yet" if cutoff is None else f"the cutoff is {number(cutoff)}"
    )


def _by_itself(row: Mapping[str, Any], metric: str) -> str:
    """Where a trial stood that was compared with no other."""
    value, cutoff = number(row["value"]), row["cutoff"]
    if _rule(row) in ("plateau", "patience"):
        needed = "" if cutoff is None else f", where {number(cutoff)} would tell of progress"
        return f"the curve of {metric} is at {value}{needed}"
    bound = "" if cutoff is None else f", the bound is {number(cutoff)}"
    return f"{metric} {value}{bound}"


def _limit(row: Mapping[str, Any]) -> str:
    to_step = row["to_step"]
    return "to its end" if to_step is None or to_step >= UNBOUNDED else f"to step {to_step:,}"


def _on(row: Mapping[str, Any]) -> str:
    """What an attempt holds, if that is on record and worth a word."""
    if row.get("gpu"):
        return f" on {row['gpu']:g} GPU"
    return f" on {row['cpu']:g} cores" if (row.get("cpu") or 0) > 1 else ""


def _start(row: Mapping[str, Any], metric: str) -> str:
    at = f" at step {row['step']:,}" if row["step"] else ""
    return f"attempt {row['attempt']} starts{at}{_on(row)}; it may run {_limit(row)}"


def _resume(row: Mapping[str, Any], metric: str) -> str:
    standing = _standing(row, metric)
    why = f"promoted: {standing}" if standing else f"goes on ({row['rule']})"
    if row["rule"] == RULE:
        why = f"audited: {standing}, and nobody will promote it"
    return (
        f"{why}; attempt {row['attempt']} starts at step {row['step']:,}{_on(row)} and may run "
        f"{_limit(row)}"
    )


def _run_to(row: Mapping[str, Any], metric: str) -> str:
    why = _standing(row, metric) or row["rule"]
    if _rule(row) != row["rule"]:
        why = f"{why}: {_rule(row)} would stop it, it is audited"
    return f"step {row['step']:,}: {why}: goes on {_limit(row)}"


def _pause(row: Mapping[str, Any], metric: str) -> str:
    standing = _standing(row, metric)
    if row["rule"].endswith(" limit"):
        until = f"pauses until trials rank otherwise at rung {row['rung']} than at the one below"
    elif row["rule"] == "pbt":
        until = "pauses until the others have come as far"
    elif row["rule"] == "pbt_replay":
        until = "pauses, as the schedule goes on with another config"
    else:
        until = "pauses until it is promoted"
    why = f"{standing}: {until}" if standing else f"pauses: {row['rule']}"
    return f"step {row['step']:,}: {why}"


def _stop(row: Mapping[str, Any], metric: str) -> str:
    standing = _standing(row, metric)
    return f"step {row['step']:,}: " + (
        f"{standing}: {row['rule']} stops it" if standing else f"stopped: {row['rule']}"
    )


def _finish(row: Mapping[str, Any], metric: str) -> str:
    standing = _standing(row, metric)
    why = _COMPLETE.get(row["rule"], row["rule"])
    return f"step {row['step']:,}: {standing + ': ' if standing else ''}complete, {why}"


_COMPLETE = {
    "max_t": "it has run as far as any trial may",
    REPLICATE: "it has run as far as a replicate is to",
}


def _retry(row: Mapping[str, Any], metric: str) -> str:
    return f"attempt {row['attempt']} is lost ({row['rule']}): it is tried again from step {row['step']:,}"


def _park(row: Mapping[str, Any], metric: str) -> str:
    return f"lost while it paused ({row['rule']}): it keeps its checkpoint of step {row['step']:,}"


def _other(row: Mapping[str, Any], metric: str) -> str:
    return f"{row['verb']}: {row['rule']}"


_TELLERS: dict[str, Callable[[Mapping[str, Any], str], str]] = {
    "start": _start,
    "resume": _resume,
    "run_to": _run_to,
    "pause": _pause,
    "stop": _stop,
    "finish": _finish,
    "retry": _retry,
    "park": _park,
}
