"""What one slot takes, and how many slots fit on a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

from raysweep.trials.errors import ClusterError, SpecError

_GRAIN = 10_000
"""Ray counts in units of 1/10,000."""
_GIB = 1 << 30
_TYPE = "accelerator_type:"


class Resources(NamedTuple):
    """What one slot holds, and so a trial while it runs.

    Attributes:
        cpu: cores; a fraction is a share in Ray's bookkeeping, not a limit.
        gpu: a share of one GPU in (0, 1), or a whole number of GPUs.
        memory_gb: host memory in GiB; None: not reckoned with.
        accelerator_type: e.g. "A100"; None: any.
        custom: Ray resources by name.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    memory_gb: float | None = None
    accelerator_type: str | None = None
    custom: Mapping[str, float] = {}

    def validated(self) -> Resources:
        """The same resources, if anybody could ever hold them.

        Raises:
            SpecError: an amount is negative, or no share nor whole number of GPUs, or all are 0.
        """
        amounts = {"cpu": self.cpu, "gpu": self.gpu, **self.custom}
        if self.memory_gb is not None:
            amounts["memory_gb"] = self.memory_gb
        for name, amount in amounts.items():
            if not 0 <= amount < float("inf") or 0 < amount < 1 / _GRAIN:
                raise SpecError(
                    f"resources: {name} is {amount}; it must be 0 or a number from 0.0001 upwards"
                )
        if self.gpu > 1 and self.gpu != int(self.gpu):
            raise SpecError(
                f"resources: gpu is {self.gpu}; ask for a share of one GPU, such as 0.25, or for "
                f"a whole number, such as {floor(self.gpu)} or {floor(self.gpu) + 1}"
            )
        if not any(amounts.values()):
            raise SpecError("resources: all amounts are 0; ask for a part of a cpu at least")
        return self

    def times(self, size: int) -> Resources:
        """What a slot holds that is `size` times as large; shares that make one GPU make it whole."""
        if size == 1:
            return self
        whole = 0 < self.gpu < 1 and round(1 / self.gpu) == size
        return self._replace(
            cpu=round(self.cpu * size, 6),
            gpu=1.0 if whole else round(self.gpu * size, 6),
            memory_gb=self.memory_gb and self.memory_gb * size,
            custom={name: round(amount * size, 6) for name, amount in self.custom.items()},
        )

    def fit(self, node: Mapping[str, float]) -> int:
        """How many slots a node with these total resources can hold at once."""
        kind = self.accelerator_type
        if kind is not None and f"{_TYPE}{kind}" not in node:
            return 0
        counts = [
            floor(_exact(node.get(name, 0.0)) / _grained(amount))
            for name, amount in self._divisible().items()
        ]
        if 0 < self.gpu < 1:
            counts.append(floor(1 / _grained(self.gpu)) * int(node.get("GPU", 0)))
        return min(counts, default=0)

    def to_ray_options(self) -> dict[str, Any]:
        """The options of an actor that holds one slot; amounts are rounded down to Ray's grain."""
        options: dict[str, Any] = {
            "num_cpus": float(_grained(self.cpu)),
            "num_gpus": float(_grained(self.gpu)),
            "resources": {name: float(_grained(n)) for name, n in self.custom.items() if n},
        }
        if self.memory_gb:
            options["memory"] = int(self.memory_gb * _GIB)
        if self.accelerator_type is not None:
            options["accelerator_type"] = self.accelerator_type
        return options

    def check_possible(self, nodes: Sequence[Mapping[str, float]]) -> None:
        """Make sure that some node, if it were empty, could hold one slot.

        Raises:
            ClusterError: none can; says what was asked for, what there is and what to change.
        """
        if any(self.fit(node) for node in nodes):
            return
        largest = {
            name: max((node.get(name, 0.0) for node in nodes), default=0.0)
            for name in {**self._divisible(), "GPU": 0.0}
        }
        asked, has = _spell(self._wanted()), _spell(largest)
        raise ClusterError(
            f"no node can ever hold one trial: it asks for {asked}; of {len(nodes)} nodes the most "
            f"that any has is {has}{self._missing_kind(nodes)}. Ask for less under `resources`, or "
            "start nodes that have it (on a local Ray, `cluster: {num_gpus: 1}` counts one)"
        )

    def _wanted(self) -> dict[str, float]:
        return {**self._divisible(), **({"GPU": self.gpu} if self.gpu else {})}

    def _divisible(self) -> dict[str, float]:
        """What is handed out by the amount, by Ray's names; shares of a GPU are not."""
        amounts = {"CPU": self.cpu, **self.custom, "memory": (self.memory_gb or 0) * _GIB}
        if self.gpu >= 1:
            amounts["GPU"] = self.gpu
        return {name: amount for name, amount in amounts.items() if amount}

    def _missing_kind(self, nodes: Sequence[Mapping[str, float]]) -> str:
        if self.accelerator_type is None:
            return ""
        kinds = {kind for node in nodes for kind in accelerators_of(node)}
        if self.accelerator_type in kinds:
            return ""
        there = ", ".join(sorted(kinds)) or "none"
        return f"; none has accelerator type {self.accelerator_type!r} (there are: {there})"


def accelerators_of(node: Mapping[str, float]) -> list[str]:
    """The types of accelerator that Ray books a node with these resources under, e.g. ["A100"]."""
    return sorted(key[len(_TYPE) :] for key in node if key.startswith(_TYPE))


def _exact(amount: float) -> Fraction:
    """The fraction that was written: 0.1 is a tenth."""
    return Fraction(str(amount))


def _grained(amount: float) -> Fraction:
    """Rounded down to what Ray counts in: 1/7 becomes 0.1428, of which seven fit, not six."""
    return Fraction(floor(_exact(amount) * _GRAIN), _GRAIN)


def _spell(amounts: Mapping[str, float]) -> str:
    units = {
        name: f"{amount / _GIB:.1f} GiB of memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in amounts.items()
    }
    return ", ".join(units[name] for name in sorted(units)) or "nothing"
