"""How large a slot a trial gets: shares that grow with the steps that it may run.

Notation:
    size    of a slot: how many of the sweep's smallest slots it is as large as; they hold 1
    parts   of a GPU share: how many of them make one GPU, 1 / share
    units   room on a device or in the cluster, counted in smallest slots
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from raysweep.trials.errors import SpecError

Steps = tuple[tuple[int, float], ...]
"""(step, amount): trials that may run beyond the step hold the amount."""
_LARGEST = 100_000
"""How many of the smallest slots one slot may be made of."""
_SLACK = 0.02
"""How far k shares may miss one GPU: 0.33 is a third."""


class Shares(NamedTuple):
    """How large a slot is for whom.

    Attributes:
        sizes: (step, size), both ascending: a trial that may run beyond the step gets that size.
        elastic: whether trials that go on while no new ones come share out all the room.
        patience_s: how long a trial waits for a slot of its size.
    """

    sizes: tuple[tuple[int, int], ...] = ()
    elastic: bool = False
    patience_s: float = 60.0

    @property
    def fixed(self) -> bool:
        """Whether every trial gets the same."""
        return not (self.sizes or self.elastic)

    def size(self, run_to: int) -> int:
        """Of a trial that may run up to `run_to`."""
        return next((size for step, size in reversed(self.sizes) if run_to > step), 1)

    def survivors(self, claimants: int, units: int, device: int) -> int:
        """The largest size that each of `claimants` trials can have at once.

        Args:
            claimants: trials that run or wait; no others will come.
            units: of all devices together.
            device: units of the largest device, beyond which no slot goes.
        """
        most = min(units // max(claimants, 1), device)
        doubled = [1 << power for power in range(max(most, 1).bit_length())]
        return max(size for size in (*doubled, device) if size <= max(most, 1))


def read_shares(
    gpu: float, cpu: float, gpu_from: Steps, cpu_from: Steps
) -> tuple[tuple[int, int], ...]:
    """`Shares.sizes` of a spec's `resources`.

    Raises:
        SpecError: slots of these amounts cannot be joined to each other; says which can.
    """
    if gpu_from and not 0 < gpu < 1:
        raise SpecError(
            f"gpu_from joins slots that share one GPU, and gpu is {gpu:g}; give gpu a share below "
            f"1, such as 0.25"
        )
    if cpu_from and gpu:
        raise SpecError(
            f"cpu_from is for sweeps without GPUs, and gpu is {gpu:g}; write gpu_from: the cores "
            f"grow with the share of the GPU"
        )
    if cpu_from and not cpu:
        raise SpecError("cpu_from joins slots of some cores, and cpu is 0; give cpu an amount")
    if gpu_from:
        return tuple(_of_a_gpu(gpu, gpu_from))
    return tuple(_of_cores(cpu, cpu_from))


def parts(share: float) -> int | None:
    """How many slots of a GPU share make one GPU; None if no whole number of them does."""
    count = round(1 / share)
    return count if count and abs(count * share - 1) <= _SLACK else None


def _of_a_gpu(gpu: float, steps: Steps) -> Iterator[tuple[int, int]]:
    whole = before = parts(gpu)
    if whole is None or before is None:
        near = max(int(1 / gpu), 2)
        raise SpecError(
            f"gpu_from needs a gpu of which some make one GPU, and 1 / {gpu:g} is no whole number; "
            f"take {1 / near:.4g} or {1 / (near + 1):.4g}"
        )
    _check_steps("gpu_from", steps)
    for step, share in steps:
        count = parts(share) if 0 < share <= 1 else None
        if count is None or count >= before or before % count:
            allowed = [n for n in range(before - 1, 0, -1) if before % n == 0]
            listed = ", ".join(f"{1 / n:.4g}" for n in allowed) or "nothing more"
            raise SpecError(
                f"gpu_from: {step}: {share:g} cannot be made of slots of {1 / before:.4g} GPU; "
                f"allowed are {listed}"
            )
        yield step, whole // count
        before = count


def _of_cores(cpu: float, steps: Steps) -> Iterator[tuple[int, int]]:
    before = 1
    _check_steps("cpu_from", steps)
    for step, cores in steps:
        size = round(min(cores / cpu, _LARGEST + 1))
        if size > _LARGEST or abs(size * cpu - cores) > 1e-6 or size <= before or size % before:
            raise SpecError(
                f"cpu_from: {step}: {cores:g} cannot be made of slots of {before * cpu:g} cores; "
                f"allowed are {2 * before * cpu:g}, {3 * before * cpu:g}, {4 * before * cpu:g} and "
                f"so on"
            )
        yield step, size
        before = size


def _check_steps(name: str, steps: Sequence[tuple[int, float]]) -> None:
    for step, amount in steps:
        if step < 1:
            raise SpecError(
                f"{name}: {step}: {amount:g} begins at step {step}; the first step after which a "
                f"trial can hold more is 1"
            )
