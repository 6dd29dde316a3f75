"""What a trial's first report must have: without it a sweep would end with no trial ranked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from raysweep.trials.errors import ReportError


def check_reported(step: int, metrics: Sequence[str]) -> None:
    """Refuse a training that ended after `step` steps without a report, if it owes `metrics`.

    Raises:
        ReportError: `step` is 0.
    """
    if step == 0 and metrics:
        raise ReportError(
            "the training ended without any report; yield (or return from step) a dict of "
            f"metrics with {', '.join(metrics)} once per step"
        )


def check_first(row: Mapping[str, Any], metrics: Sequence[str]) -> None:
    """Check the first report of a trial for the metrics of the sweep.

    Raises:
        ReportError: one is missing, or is text or a list, which never rank.
    """
    missing = [name for name in metrics if name not in row]
    if missing:
        near = difflib.get_close_matches(missing[0], row, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        reported = ", ".join(sorted(row))[:1000] or "nothing"
        raise ReportError(
            f"the first report lacks metric {missing[0]!r}{hint}; it has: {reported}. Report it, "
            "or name another one as the sweep's metric"
        )
    for name in metrics:
        if isinstance(row[name], (str, list)):
            raise ReportError(
                f"metric {name!r} is {repr(row[name])[:80]} in the first report, and what ranks "
                "trials must be a number; report it as a float, or name another metric"
            )
