"""W&B's `early_terminate` as ASHA in its stopping form.

W&B's rule (github.com/wandb/sweeps, `hyperband_stopping.py`): a run whose metric, at an iteration
of a bracket, is not among the best 1/eta of all runs that came so far is stopped. An iteration is
one logged value of the metric, which is a step here. The brackets are min_iter, min_iter·eta,
min_iter·eta², …, or max_iter/eta, …, max_iter/eta^s, rounded down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from raysweep.schedulers.rungs import rung_steps
from raysweep.trials.errors import SpecError
from raysweep.trials.names import nearest

ENDLESS = 100_000
"""A program without max_iter may report at least so many steps."""
_KEYS = ("type", "min_iter", "max_iter", "s", "eta", "strict")


def read_early_terminate(early: Any) -> tuple[dict[str, Any], str]:
    """The scheduler, as a spec has it, and in a sentence what is not as in W&B.

    Raises:
        SpecError: for another type than hyperband, and where no bracket comes of it.
    """
    if not isinstance(early, Mapping) or early.get("type") != "hyperband":
        given = early.get("type") if isinstance(early, Mapping) else early
        raise SpecError(f"early_terminate.type: got {given!r}; W&B has hyperband only")
    for key in early:
        if key not in _KEYS:
            raise SpecError(f"early_terminate: it has no {key!r}; {nearest(key, _KEYS)}")
    eta = _number(early, "eta", 3)
    if eta <= 1:
        raise SpecError(f"early_terminate.eta: got {eta!r}; it must be above 1")
    factor = max(2, round(eta))
    theirs, max_t = _brackets(early, eta)
    if not theirs:
        raise SpecError(
            "early_terminate: no bracket is at an iteration of 1 or more; raise max_iter or lower s"
        )
    if max_t is None:
        max_t = theirs[0] * factor ** max(1, math.ceil(math.log(ENDLESS / theirs[0], factor)))
    grace = min(theirs[0], max_t)
    scheduler = {
        "name": "asha", "form": "stopping", "grace_period": grace, "max_t": max_t,
        "reduction_factor": factor,
    }  # fmt: skip
    ours = rung_steps(grace, max_t, factor)
    text = (
        f"hyperband → scheduler asha, form: stopping, grace_period: {grace}, max_t: {max_t}, "
        f"reduction_factor: {factor}; trials are compared at steps {_listed(ours)} (W&B: "
        f"{_listed(theirs)}), a step is one logged value of the metric, and a trial ends at max_t"
    )
    if factor != eta:
        text += f"; eta {eta!r} became the whole number {factor}"
    if "strict" in early:
        text += "; strict is not taken: the best 1/eta go on, never fewer than one"
    return scheduler, text


def _brackets(early: Mapping[str, Any], eta: float) -> tuple[list[int], int | None]:
    """W&B's iterations of comparison, ascending, and max_iter if it is given."""
    longest = _whole(early, "max_iter")
    if longest is not None and "s" in early:
        ends = [longest / eta**i for i in range(1, int(_number(early, "s", 0)) + 1)]
        return sorted({int(end) for end in ends if end >= 1}), longest
    first = _whole(early, "min_iter")
    if first is None:
        raise SpecError("early_terminate: give min_iter, or max_iter with s")
    ends = [first * eta**i for i in range(100) if first * eta**i <= (longest or ENDLESS)]
    return sorted({int(end) for end in ends}), longest


def _whole(early: Mapping[str, Any], key: str) -> int | None:
    if key not in early:
        return None
    value = _number(early, key, 0)
    if value < 1 or value != int(value):
        raise SpecError(f"early_terminate.{key}: got {value!r}; it must be a whole number above 0")
    return int(value)


def _number(early: Mapping[str, Any], key: str, default: float) -> float:
    value = early.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SpecError(f"early_terminate.{key}: got {value!r}; it must be a number")
    return value


def _listed(steps: list[int]) -> str:
    shown = ", ".join(f"{step:,}" for step in steps[:4])
    return f"{shown}, …" if len(steps) > 4 else shown or "none"
