"""Replays a sweep's history and compares: the same events must lead to the same decisions."""

from __future__ import annotations

import math
from pathlib import Path

from raysweep.orchestrator.earlier import kept_earlier
from raysweep.orchestrator.rebuild import Recorded, new_state, replayed
from raysweep.orchestrator.spec import SweepSpec, is_object
from raysweep.orchestrator.turn import Turn
from raysweep.results.layout import MANIFEST, read_manifest
from raysweep.results.read import history
from raysweep.results.verify import Finding
from raysweep.trials.decisions import Verdict
from raysweep.trials.errors import SpecError

_ENOUGH = 20
"""Differences after which the comparison stops: one error begets many."""


def unreplayable(path: Path) -> str:
    """Why the decisions of the sweep at `path` cannot be taken again; "" if they can."""
    manifest = read_manifest(path)
    if manifest.get("by"):
        return f"{manifest['by']} took them, this directory only records them"
    for part in ("searcher", "scheduler"):
        chosen = manifest.get("spec", {}).get(part)
        name = chosen.get("name") if isinstance(chosen, dict) else chosen
        if isinstance(name, str) and is_object(name):
            return f"its {part} was the Python object {name[8:-1]}, which is not stored"
    return ""


def check_replay(path: Path) -> list[Finding]:
    """Invariant I10: replaying the events of the sweep at `path` takes the decisions on record.

    Reads the whole history and changes nothing. What is `unreplayable` is not asked.
    """
    if unreplayable(path):
        return []
    manifest = read_manifest(path)
    try:
        spec = SweepSpec.from_dict(manifest["spec"], manifest.get("folder"))
    except SpecError as error:
        return [Finding("I16", f"{path / MANIFEST} holds no spec that can be read: {error}")]
    state = new_state(spec, earlier=kept_earlier(path, manifest, spec))
    findings = []
    for record, turn in replayed(spec, state, history(path)):
        if difference := _difference(record, turn):
            findings.append(Finding("I10", difference))
            if len(findings) >= _ENOUGH:
                break
    return findings


def _difference(record: Recorded, turn: Turn) -> str:
    """In words, how `turn` differs from what was journalled; "" if it does not."""
    if len(record.verdicts) == len(turn.verdicts) and all(
        map(_same, record.verdicts, turn.verdicts)
    ):
        return ""
    was = "; ".join(map(_short, record.verdicts)) or "nothing"
    now = "; ".join(map(_short, turn.verdicts)) or "nothing"
    kind, lsn = type(record.event).__name__, getattr(record, "lsn", "?")
    return f"record {lsn} ({kind}) decided {was}; replaying it decides {now}"


def _same(one: Verdict, other: Verdict) -> bool:
    return all(
        a == b
        or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(one, other, strict=True)
    )


def _short(verdict: Verdict) -> str:
    return f"{verdict.verb} {verdict.trial} at {verdict.step} ({verdict.rule})"
