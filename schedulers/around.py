"""Options that any rule of a kind has beside its own, because a scheduler around it sees to them.

| option | of | what stands around the rule |
|---|---|---|
| `judge_by`, `smoothing` | rules with rungs | `judged.py`: what a trial is judged by |
| `audit` | rules that end or pause trials | `audit.py`: a share of the condemned runs on |
| `unit` | rules with rungs, `fifo` | `metered.py`: max_t and rungs in something else than steps |

Checked options have them only where they differ from their defaults, which change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysweep.schedulers.audit import Audited
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.judged import Judged
from raysweep.schedulers.setting import Setting
from raysweep.schedulers.units import in_unit, unit, unit_of
from raysweep.trials.goal import Goal
from raysweep.trials.options import Option, is_number, number, word

_SMOOTHING = 0.5
"""β where it is not given: half of the weight is on the last report."""

AUDIT: Mapping[str, Option] = {"audit": number(0.0, 0, 0.5)}
UNIT: Mapping[str, Option] = {"unit": unit()}
_BETA = Option("a number from 0 to below 1", lambda v: is_number(v) and 0 <= v < 1)
JUDGED: Mapping[str, Option] = {
    "judge_by": word("last", "last", "best", "smoothed"),
    "smoothing": _BETA,
    **AUDIT,
    **UNIT,
}
"""Of rules that compare one score at rungs."""
JUDGED_IN_ALL: Mapping[str, Option] = {
    "judge_by": word("last", "last", "smoothed"),
    "smoothing": _BETA,
    **AUDIT,
    **UNIT,
}
"""Of rules that compare several metrics: the bests of each are of no one report together."""


def amiss(options: Mapping[str, Any]) -> str:
    """What is wrong with options that are each allowed, "" for nothing."""
    judge_by, smoothing = options.get("judge_by"), options.get("smoothing")
    if judge_by in ("last", "best") and smoothing is not None:
        return (
            f"smoothing is {smoothing:g}, and judge_by is {judge_by}, which smooths nothing; say "
            f"judge_by: smoothed, or leave smoothing out"
        )
    if options.get("audit") and options.get("max_t") is None:
        return (
            f"audit is {options['audit']:g}, and there is no max_t: it is unknown how far a "
            f"condemned trial would have run; give max_t"
        )
    return ""


def around(
    rule: Scheduler, options: Mapping[str, Any], setting: Setting, metrics: Goal | None = None
) -> Scheduler:
    """`rule`, and around it whatever its options ask for.

    Args:
        rule: as its own options make it.
        options: all of its options, checked.
        setting: its seed decides who is audited, its speeds and prices what a trial has spent.
        metrics: those that the rule compares, if it looks at more than the score.
    """
    if share := options.get("audit"):
        rule = Audited(rule, share, options["max_t"], setting.seed)
    rule = in_unit(rule, unit_of(options), setting)
    judge_by = options.get("judge_by", "last")
    if judge_by != "last":  # outermost, as it needs every report
        smoothing = options.get("smoothing", _SMOOTHING) if judge_by == "smoothed" else None
        rule = Judged(rule, smoothing, metrics)
    return rule
