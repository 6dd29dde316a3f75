"""A spec from a file with what the command line changes in it: `--set budget.trials=100`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.yaml_file import parse_yaml, read_yaml
from raysweep.trials.errors import SpecError

_NAMED = ("searcher", "scheduler")
"""Keys whose value may be a bare name instead of a mapping."""


def read_changes(texts: Iterable[str]) -> dict[str, Any]:
    """Dotted key → value from `key=value` texts; values are written as in a spec.

    Raises:
        SpecError: a text without key or "=", or whose value is no YAML.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise SpecError(
                f"--set {text!r}: write key=value, with dots between the levels of the spec, e.g. "
                f"--set budget.trials=100"
            )
        changes[key] = parse_yaml(f"value: {value}", f"--set {key}").get("value")
    return changes


def changed_spec(
    path: Path,
    *,
    name: str | None = None,
    storage: Path | None = None,
    address: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> SweepSpec:
    """The spec in the YAML file at `path`, with changes.

    Args:
        path: the file.
        name: another name for the sweep.
        storage: where to put it, relative to the working directory, not to the file.
        address: the Ray to run on; takes the place of the spec's local Ray.
        changes: dotted keys to set.

    Raises:
        SpecError: as `SweepSpec.from_yaml`, and for a key that leads through what is no mapping.
    """
    written = read_yaml(path)
    for key, value in (changes or {}).items():
        _set(written, key, value)
    if name is not None:
        written["name"] = name
    if storage is not None:
        written["storage"] = str(storage.expanduser().absolute())
    if address is not None:
        kept = written.get("cluster")
        local = {"num_cpus", "num_gpus"} if address != "local" else set[str]()
        cluster = (
            {k: v for k, v in kept.items() if k not in local} if isinstance(kept, dict) else {}
        )
        written["cluster"] = {**cluster, "address": None if address == "local" else address}
    return SweepSpec.from_dict(written, path.parent, path.name)


def _set(written: dict[str, Any], key: str, value: Any) -> None:
    *groups, last = key.split(".")
    place = written
    for depth, group in enumerate(groups):
        inner = place.get(group)
        if isinstance(inner, str) and depth == 0 and group in _NAMED:
            inner = {"name": inner}
        elif inner is None:
            inner = {}
        elif not isinstance(inner, dict):
            raise SpecError(
                f"--set {key}: {'.'.join(groups[: depth + 1])} is {inner!r} in the spec, so nothing "
                f"can be set below it; set it as a whole"
            )
        place[group] = inner
        place = inner
    for twin in (f"{last}_s", last.removesuffix("_s")):  # `wall_time` and `wall_time_s` are one
        if twin != last:
            place.pop(twin, None)
    place[last] = value
