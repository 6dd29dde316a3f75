"""The best by fresh seeds alone, by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raysweep.results.confirmed import Confirmed, Curve, Fresh, estimate
from raysweep.results.intervals import mean_of
from raysweep.results.shrinkage import expected_of
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST, Goal

MIN, MAX = Goal((("loss", "min"),)), Goal((("acc", "max"),))


def row(name: str, best: float | None, of: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "trial_id": name, "replicate_of": of, "best_value": best, "last_value": best, "steps": 3,
        "status": "COMPLETED", "config_json": json.dumps({"x": name}), **more,
    }  # fmt: skip


def flat(goal: Goal, *rows: dict[str, Any]) -> dict[str, Curve]:
    """Of each replicate its best value at step 1."""
    return {
        one["trial_id"]: [(1, goal.score({goal.metric: one["best_value"]}))]
        for one in rows
        if one["replicate_of"]
    }


def by_id(found: Confirmed) -> dict[str, Fresh]:
    return {one.trial_id: one for one in found.configs}


def test_the_lucky_one_loses_on_fresh_seeds() -> None:
    """a was selected by 0.1. Fresh it has 0.3, 0.5, 0.4: the mean is 0.4, so 0.1 was 0.3 too good.

    The bounds are 4.30265 · 0.1 / √3 = 0.248413 away: 0.151587 … 0.648413, and for how much too
    good it was 0.051587 … 0.548413. b, selected by 0.2, has 0.25 twice and is better.
    """
    rows = [
        row("a", 0.1), row("b", 0.2), row("c", 0.9),
        row("a1", 0.3, "a"), row("a2", 0.5, "a"), row("a3", 0.4, "a"),
        row("b1", 0.25, "b"), row("b2", 0.25, "b"),
    ]  # fmt: skip
    found = estimate(rows, flat(MIN, *rows), MIN)
    assert (found.selected, found.best) == ("a", "b")
    assert [one.trial_id for one in found.configs] == ["b", "a"]
    a, b = by_id(found)["a"], by_id(found)["b"]
    assert (a.config, a.value, a.seeds, a.values) == ({"x": "a"}, 0.1, 3, (0.3, 0.5, 0.4))
    assert a.mean == pytest.approx((0.4, 0.151587, 0.648413), abs=1e-6)
    assert a.optimism == pytest.approx((0.3, 0.051587, 0.548413), abs=1e-6)
    assert b.mean == (0.25, 0.25, 0.25)
    assert b.optimism == pytest.approx((0.05, 0.05, 0.05))
    assert (b.expected, a.expected) == tuple(expected_of([b.values, a.values]))
    assert a.expected is not None
    assert b.expected is not None
    assert 0.25 < b.expected.estimate < a.expected.estimate < 0.4, "drawn towards each other"


def test_of_a_metric_to_be_maximised_too_good_is_too_high() -> None:
    rows = [row("a", 0.9), row("b", 0.7), *(row(f"a{i}", 0.8, "a") for i in range(2))]
    rows += [row(f"b{i}", 0.75, "b") for i in range(2)]
    found = estimate(rows, flat(MAX, *rows), MAX)
    assert (found.selected, found.best) == ("a", "a")
    a, b = by_id(found)["a"], by_id(found)["b"]
    assert a.optimism == pytest.approx((0.1, 0.1, 0.1))
    assert b.optimism == pytest.approx((-0.05, -0.05, -0.05)), "b was unlucky"


def test_a_replicate_that_ran_further_is_compared_at_the_steps_of_its_original() -> None:
    """a was stopped at step 3 with 0.5. Up to there its replicates had 0.6 and 0.8, at the end 0.2."""
    rows = [row("a", 0.5), row("a1", 0.2, "a", steps=9), row("a2", 0.2, "a", steps=9)]
    curves = {"a1": [(1, 0.7), (3, 0.6), (9, 0.2)], "a2": [(2, 0.8), (3, 0.9), (9, 0.2)]}
    (a,) = estimate(rows, curves, MIN).configs
    assert a.mean is not None
    assert a.optimism is not None
    assert (a.mean.estimate, a.optimism.estimate) == pytest.approx((0.2, 0.2))
    curves["a2"] = [(1, WORST), (9, 0.2)]
    (a,) = estimate(rows, curves, MIN).configs
    assert (a.mean, a.optimism) == (mean_of([0.2, 0.2]), None), "one cannot be compared"


def test_what_was_lost_is_counted_and_in_no_mean() -> None:
    """Of the five of a, one failed though it had 0.0 by then, one has no value, one still runs."""
    nan = float("nan")
    rows = [
        row("a", 0.1), row("b", 0.2), row("c", 0.15), row("d", 0.3),
        row("a1", 0.2, "a"), row("a2", 0.4, "a", last_value=nan),
        row("a3", 0.0, "a", status="FAILED"), row("a4", None, "a", last_value=nan),
        row("a5", 0.0, "a", status="RUNNING"),
        row("b1", 0.9, "b"), row("c1", None, "c"), row("d1", 0.3, "d"), row("d2", 0.1, "d"),
    ]  # fmt: skip
    found = estimate(rows, flat(MIN, *rows), MIN)
    a, c = by_id(found)["a"], by_id(found)["c"]
    assert (a.seeds, a.values, a.failed, a.without_value, a.unfinished) == (5, (0.2, 0.4), 1, 1, 1)
    assert a.lost_at_the_end == 1
    assert a.mean == mean_of([0.2, 0.4])
    assert (c.values, c.without_value, c.mean, c.optimism, c.expected) == ((), 1, *[None] * 3)
    assert by_id(found)["b"].expected is not None, "how far seeds scatter, the others tell"
    assert [one.trial_id for one in found.configs] == ["d", "b", "a", "c"], (
        "who lost some is behind"
    )
    assert found.best == "d"


def test_before_the_first_has_ended_nobody_is_best() -> None:
    rows = [row("a", 0.1), row("b", 0.05), row("a1", None, "a", status="PENDING")]
    found = estimate(rows, flat(MIN, *rows), MIN)
    assert (found.selected, found.best, found.configs[0].unfinished) == ("b", None, 1)


def test_of_one_seed_there_is_a_mean_without_bounds() -> None:
    rows = [row("a", 0.1), row("a1", 0.2, "a")]
    (a,) = estimate(rows, flat(MIN, *rows), MIN).configs
    assert (a.mean, a.expected) == (mean_of([0.2]), None)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_is_between_0_and_1(confidence: float) -> None:
    rows = [row("a", 0.1), row("a1", 0.2, "a")]
    with pytest.raises(SpecError, match=r"it must be between 0 and 1, e\.g\. 0\.95"):
        estimate(rows, flat(MIN, *rows), MIN, confidence)
