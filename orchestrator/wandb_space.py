"""The parameters of a W&B sweep as a space of ours: groups, names, and a note for what differs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raysweep.orchestrator.wandb_parameter import read_wandb
from raysweep.trials.errors import SpecError
from raysweep.trials.names import is_name
from raysweep.trials.parameters import DISTRIBUTIONS

_RESERVED = {*DISTRIBUTIONS, "when", "distribution", "min", "max"}
"""What a spec of ours takes for something else than a name."""


class WandbSpace:
    """The `parameters` of a W&B sweep, translated.

    Args:
        parameters: as they stand in the file.

    Attributes:
        space: the space as a spec writes it.
        names: our flat name → the keys under which the program knows the parameter, where they
            differ.
        notes: what is not exactly as in W&B, one sentence each.

    Raises:
        SpecError: for what W&B would refuse too, with the parameter's name.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.space: dict[str, Any] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.notes: list[str] = []
        self._read(parameters, ())

    def _read(self, parameters: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for name, written in parameters.items():
            here = (*path, str(name))
            label = ".".join(here)
            if not isinstance(written, Mapping):
                raise SpecError(
                    f"parameters.{label}: got {written!r}; write {{value: {written!r}}}, or "
                    f"{{values: [...]}}, or {{min: ..., max: ...}}"
                )
            inner = written.get("parameters")
            if isinstance(inner, Mapping) and len(written) == 1:
                self._read(inner, here)
                continue
            try:
                parameter, notes = read_wandb(written)
                self._put(here, parameter)
            except SpecError as error:
                raise SpecError(f"parameters.{label}: {error}") from None
            self.notes += [f"{label}: {text}" for text in notes]

    def _put(self, path: tuple[str, ...], written: Any) -> None:
        """Store a parameter at the place that its name asks for, or next to it."""
        parts = [_fit(part) for name in path for part in re.split(r"[./]", name)]
        while self._taken(parts):
            parts[-1] += "_"
        group = self.space
        for part in parts[:-1]:
            group = group.setdefault(part, {})
        group[parts[-1]] = written
        if tuple(parts) != path:
            self.names["/".join(parts)] = path

    def _taken(self, parts: list[str]) -> bool:
        place: Any = self.space
        for part in parts[:-1]:
            place = place.get(part, {})
            if not isinstance(place, dict) or not _RESERVED.isdisjoint(place):
                raise SpecError(
                    f"{part!r} is a parameter and the beginning of another one's name; rename either"
                )
        return parts[-1] in place


def _fit(part: str) -> str:
    """`part` as a name that a parameter may have."""
    if is_name(part) and part not in _RESERVED:
        return part
    kept = re.sub(r"[^A-Za-z0-9_-]", "_", part)[:60]
    kept = kept if is_name(kept) else f"_{kept}"
    return f"{kept}_" if kept in _RESERVED else kept
