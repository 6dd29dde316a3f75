"""What earlier sweeps learnt, for a searcher that starts from it: read once, then kept with the sweep.

A new sweep reads the directories that its searcher's option `sweeps` names, before anything is
started. What it took from them goes into its own directory, so that a resume needs no other and
goes on from the very same data, whatever has become of those sweeps since.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.orchestrator.spec import SweepSpec
from raysweep.searchers.setting import Earlier
from raysweep.trials.errors import SpecError, StoreCorrupt, StoreError
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.names import nearest

if TYPE_CHECKING:
    from raysweep.results.read import Results

FILE = "earlier.json"
_MOST = 1_000
"""Results of one sweep that are kept: the best half of these, the others evenly over the rest."""


def read_earlier(spec: SweepSpec) -> tuple[Earlier, ...]:
    """What the sweeps that `spec` starts from have learnt; () if its searcher names none.

    Raises:
        SpecError: a path holds no sweep that can be read, the sweep did not measure this one's
            metric or wants it the other way, or shares no parameter with it.
    """
    named = spec.searcher.get("sweeps") or ()
    return tuple(_of(spec, entry, f"searcher.sweeps[{i}]") for i, entry in enumerate(named))


def kept_earlier(path: Path, manifest: Mapping[str, Any], spec: SweepSpec) -> tuple[Earlier, ...]:
    """What the sweep at `path` took from others when it began.

    Args:
        path: the sweep directory.
        manifest: its SWEEP.json.
        spec: as it was when the sweep began.

    Raises:
        StoreCorrupt: what was kept is damaged, or gone while those sweeps have changed.
    """
    digest = manifest.get("earlier")
    file = path / FILE
    if digest is None:
        return read_earlier(spec)
    if file.is_file():
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise StoreCorrupt(f"{file} is damaged: restore it from a copy")
        return tuple(Earlier(**one) for one in _listed(json.loads(data)))
    try:  # the driver died before it could write the file
        found = read_earlier(spec)
    except SpecError as error:
        raise StoreCorrupt(f"{file} is missing, and {error}; restore it from a copy") from None
    if digest_of(found) != digest:
        raise StoreCorrupt(
            f"{file} is missing, and the sweeps that it was made of have changed since: restore it "
            f"from a copy, or start a new sweep"
        )
    return found


def encoded(earlier: tuple[Earlier, ...]) -> bytes:
    """The content of the file that keeps `earlier`."""
    plain = [
        {**one._asdict(), "scores": [s if math.isfinite(s) else None for s in one.scores]}
        for one in earlier
    ]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of(earlier: tuple[Earlier, ...]) -> str | None:
    """The SHA-256, in hex, that the manifest keeps of that file; None if there is nothing to keep."""
    return hashlib.sha256(encoded(earlier)).hexdigest() if earlier else None


def _listed(plain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            **one,
            "configs": tuple(one["configs"]),
            "scores": tuple(WORST if score is None else score for score in one["scores"]),
        }
        for one in plain
    ]


def _of(spec: SweepSpec, entry: Any, where: str) -> Earlier:
    """One entry of `sweeps`: a path, or `{path: ..., facts: {...}}`."""
    from raysweep.results.read import read

    given = entry if isinstance(entry, Mapping) else {"path": entry}
    path = spec.folder / Path(given["path"]).expanduser()
    try:
        results = read(path)
    except StoreError as error:
        raise SpecError(f"{where}: {error}") from None
    _check_goal(results, spec.goal, where)
    found = results_of(results, spec.goal)
    if found:
        _check_space(found[0][0], spec, where, path)
    before = results.manifest.get("spec", {}).get("searcher", {})
    theirs = before.get("facts") if isinstance(before, Mapping) else None
    kept = _thinned(found)
    return Earlier(
        str(results.manifest.get("name", path.name)),
        tuple(config for config, _ in kept),
        tuple(score for _, score in kept),
        dict(given.get("facts") or theirs or {}),
    )


def _check_goal(results: Results, goal: Goal, where: str) -> None:
    theirs = dict(results.manifest["metrics"])
    known = {*theirs, *results.metric_columns.values()}
    if goal.metric not in known:
        raise SpecError(
            f"{where}: {results.path} has no metric {goal.metric!r}, by which this sweep ranks; "
            f"{nearest(goal.metric, sorted(known))}"
        )
    if theirs.get(goal.metric, goal.mode) != goal.mode:
        raise SpecError(
            f"{where}: {results.path} wants {goal.metric} to be {theirs[goal.metric]}, this sweep "
            f"wants it to be {goal.mode}; leave it out, or report the metric by another name"
        )


def _check_space(config: Mapping[str, Any], spec: SweepSpec, where: str, path: Path) -> None:
    ours = spec.parsed_space.dims
    if not set(ours) & config.keys():
        raise SpecError(
            f"{where}: {path} shares no parameter with this sweep: it has "
            f"{', '.join(sorted(config))}, this one varies {', '.join(ours)}; leave it out, or "
            f"give them the same names"
        )


def results_of(results: Results, goal: Goal) -> list[tuple[dict[str, Any], float]]:
    """Config and best score of each trial that has ended or reported, in the order of their ids."""
    rows = results.arrow("trials").select(["trial_id", "status", "best_value", "config_json"])
    first = next(iter(results.manifest["metrics"]))
    others = None if first == goal.metric else _best_of(results, goal)
    found = []
    for row in sorted(rows.to_pylist(), key=lambda row: str(row["trial_id"])):
        value = row["best_value"] if others is None else others.get(row["trial_id"])
        if value is not None or row["status"] == "FAILED":
            score = goal.score({goal.metric: value})
            found.append((json.loads(row["config_json"]), score))
    return found


def _best_of(results: Results, goal: Goal) -> dict[str, float]:
    """By trial its best value of a metric that did not rank the sweep."""
    column = {name: column for column, name in results.metric_columns.items()}[goal.metric]
    best: dict[str, float] = {}
    table = results.arrow("reports")
    pairs = zip(table["trial_id"].to_pylist(), table[column].to_pylist(), strict=True)
    for trial, value in pairs:
        score = goal.score({goal.metric: value})
        if score < goal.score({goal.metric: best.get(trial)}):
            best[trial] = value
    return best


def _thinned(found: list[tuple[dict[str, Any], float]]) -> list[tuple[dict[str, Any], float]]:
    if len(found) <= _MOST:
        return found
    order = sorted(range(len(found)), key=lambda i: found[i][1])
    best, others = order[: _MOST // 2], order[_MOST // 2 :]
    room = _MOST - len(best)
    picked = [others[i * len(others) // room] for i in range(room)]
    return [found[i] for i in sorted([*best, *picked])]
