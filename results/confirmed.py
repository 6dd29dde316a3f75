"""Which config is best by the values of fresh seeds, and how much too good its old value was.

    v      the value that selected a config: the best report of its trial, as in `best_value`
    s      how far that trial ran
    f_i    the best report of replicate i, over all its steps; n of them are counted
    g_i    its best report up to step s
    m      the mean of the f_i, by which the configs are ranked; v has no say in that
    e      what the config is expected to come to, all means taken into account (`shrinkage.py`)
    o      how much too good v was: the mean of the g_i less v, for metrics to be minimised

v is the best of many values that are part luck, so on average it is too good: the winner's curse.
Fresh seeds had no part in the selection, so about their own mean they err to either side alike. The
statistic is a trial's best report on both sides, as o would otherwise count the difference between
two statistics as luck; and g_i stops at s, as more steps would make up for some of it.

The intervals of m and o are Student's, of n − 1 degrees of freedom, with v as it is: o is about this
value, not about what such a selection comes to on average. The m of the selected config errs to
neither side; the best m is the best of a few means, so a part of the curse is left in it, and its
interval holds less often than it says. e is m without that part. docs/schedulers/confirm.md has how
well this works.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from raysweep.results.intervals import Interval, mean_of
from raysweep.results.shrinkage import expected_of
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.trial import Status

if TYPE_CHECKING:
    from raysweep.results.read import Results

_Row = Mapping[str, Any]


class Fresh(NamedTuple):
    """A config and what its replicates came to; values are in the metric's own direction.

    Attributes:
        trial_id, config: the trial that was replicated.
        value, steps: v and s.
        seeds: how many replicates there are; values and the three counts after them add up to that.
        values: f_i of those that are counted.
        failed: how many failed.
        without_value: how many completed without a finite value.
        unfinished: how many have not ended.
        lost_at_the_end: of those counted, how many ended on a value that is not finite.
        mean: m with its interval; None: no replicate is counted.
        expected: e with its interval; None: none is, or no config has two, so that nothing says how
            far seeds scatter.
        optimism: o with its interval; None: none is, or one has no finite value up to step s.
    """

    trial_id: str
    config: dict[str, Any]
    value: float
    steps: int
    seeds: int
    values: tuple[float, ...]
    failed: int
    without_value: int
    unfinished: int
    lost_at_the_end: int
    mean: Interval | None
    optimism: Interval | None
    expected: Interval | None = None


class Confirmed(NamedTuple):
    """All configs that were replicated, the best by fresh seeds first.

    Configs of which a replicate failed or had no finite value stand behind those without, and those
    of which none is counted stand last.

    Attributes:
        confidence: of the intervals.
        selected: the id of the trial that is best by its own value, replicated or not.
        best: the id of the trial whose config is best by fresh seeds; None: nothing is counted yet.
        configs: as said.
    """

    confidence: float
    selected: str
    best: str | None
    configs: tuple[Fresh, ...]


def confirmed_in(results: Results, confidence: float) -> Confirmed | None:
    """What the replicates of a sweep say; None if there are none.

    Raises:
        SpecError: the confidence is not between 0 and 1.
    """
    trials = results.arrow("trials").to_pylist()
    originals = {row["replicate_of"] for row in trials}
    if all(r["best_value"] is None or r["trial_id"] not in originals for r in trials):
        return None
    goal = Goal(tuple(results.manifest["metrics"].items())[:1])
    return estimate(trials, _curves(results, goal, trials), goal, confidence)


Curve = Sequence[tuple[int, float]]
"""Steps with the score of each."""


def estimate(
    trials: Sequence[_Row], curves: Mapping[str, Curve], goal: Goal, confidence: float = 0.95
) -> Confirmed:
    """The same from rows.

    Args:
        trials: rows of the trials table, one at least of a replicate; its original has a value.
        curves: by id, of the replicates.
        goal: its first metric counts, however many there are.
        confidence: of the intervals.

    Raises:
        SpecError: as `confirmed_in`.
    """
    if not 0 < confidence < 1:
        raise SpecError(f"confidence is {confidence:g}; it must be between 0 and 1, e.g. 0.95")
    replicates: dict[str, list[_Row]] = {}
    for row in trials:
        if row["replicate_of"] is not None:
            replicates.setdefault(row["replicate_of"], []).append(row)
    own = [row for row in trials if row["replicate_of"] is None and row["best_value"] is not None]
    found = [
        _fresh(row, replicates[row["trial_id"]], curves, goal, confidence)
        for row in own
        if row["trial_id"] in replicates
    ]
    found = _with_expected(sorted(found, key=lambda one: _order(one, goal)), confidence)
    selected = min((_score(goal, row["best_value"]), row["trial_id"]) for row in own)[1]
    best = found[0].trial_id if found[0].mean else None
    return Confirmed(confidence, selected, best, tuple(found))


def _with_expected(found: Sequence[Fresh], confidence: float) -> list[Fresh]:
    groups = [one.values for one in found if one.values]
    if all(len(values) < 2 for values in groups):
        return list(found)
    expected = iter(expected_of(groups, confidence))
    return [one._replace(expected=next(expected)) if one.values else one for one in found]


def _order(one: Fresh, goal: Goal) -> tuple[bool, int, float]:
    mean = _score(goal, one.mean.estimate) if one.mean else WORST
    return one.mean is None, one.failed + one.without_value, mean


def _fresh(
    row: _Row, replicates: Sequence[_Row], curves: Mapping[str, Curve], goal: Goal, sure: float
) -> Fresh:
    over = [one for one in replicates if one["status"] == Status.COMPLETED]
    counted = [one for one in over if one["best_value"] is not None]
    failed = sum(one["status"] == Status.FAILED for one in replicates)
    values = [one["best_value"] for one in counted]
    then = [
        min(
            (score for step, score in curves[one["trial_id"]] if step <= row["steps"]),
            default=WORST,
        )
        for one in counted
    ]
    too_good = [score - _score(goal, row["best_value"]) for score in then]
    known = bool(too_good) and WORST not in too_good
    return Fresh(
        row["trial_id"],
        json.loads(row["config_json"]),
        row["best_value"],
        row["steps"],
        len(replicates),
        tuple(values),
        failed,
        len(over) - len(counted),
        len(replicates) - len(over) - failed,
        sum(not _finite(one["last_value"]) for one in counted),
        mean_of(values, sure) if values else None,
        mean_of(too_good, sure) if known else None,
    )


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _score(goal: Goal, value: float) -> float:
    return goal.score({goal.metric: value})


def _curves(results: Results, goal: Goal, trials: Sequence[_Row]) -> dict[str, Curve]:
    """Of each replicate its live reports, scored."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = [row["trial_id"] for row in trials if row["replicate_of"] is not None]
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in ids}
    columns = {name: column for column, name in results.metric_columns.items()}
    if column := columns.get(goal.metric):
        rows = results.arrow("reports").filter(pc.field("trial_id").isin(pa.array(ids)))
        names, steps, values = (rows[name].to_pylist() for name in ("trial_id", "step", column))
        for name, step, score in zip(names, steps, goal.scores(values), strict=True):
            found[name].append((step, score))
    return dict(found)
