from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from raysweep.orchestrator.replay import check_replay
from raysweep.orchestrator.story import tell
from raysweep.results.read import read
from raysweep.results.verify import verify
from tests.orchestrator.cli_sweeps import simulated_sweep


def test_a_story_begins_with_the_reasons_of_the_searcher(tmp_path: Path) -> None:
    path = simulated_sweep(tmp_path, searcher="gp", scheduler="fifo")
    results = read(path)
    first, last = (tell(results, str(number)).moments[0] for number in (0, 19))
    assert first.text == "suggested by the gp searcher; sobol; initial design, point 0"
    assert last.text.startswith("suggested by the gp searcher; gp: logei ")
    assert "; from t0000" in last.text
    assert last.facts["n"] >= 15
    assert results.arrow("trials")["why"].null_count == 0


def test_the_default_says_what_it_chose(tmp_path: Path) -> None:
    results = read(simulated_sweep(tmp_path))
    text = tell(results, "19").moments[0].text
    assert "suggested by the auto searcher; mobster: logei" in text
    assert "auto chose mobster: results at 3 rungs, learnt from together" in text
    assert verify(results.path) == []


def texts(folder: Path, **changes: Any) -> list[str]:
    """Every sentence of the stories of a simulated sweep, in the order of its trials."""
    results = read(simulated_sweep(folder, searcher="random", **changes))
    names = results.arrow("trials")["trial_id"].to_pylist()
    return [moment.text for name in names for moment in tell(results, name).moments]


def matching(found: list[str], pattern: str) -> list[str]:
    return [text for text in found if re.fullmatch(pattern, text)]


def test_a_story_in_another_unit_tells_what_is_spent(tmp_path: Path) -> None:
    scheduler = {"name": "asha", "max_t": 27, "grace_period": 3, "unit": "seconds"}
    found = texts(tmp_path, scheduler=scheduler)
    assert matching(found, r"step 1: \d of 3 seconds are spent: goes on to step \d+")
    assert matching(found, rf"step \d+: loss {_N} ranks .* at rung 9, .*: goes on to step \d+")
    (path,) = (tmp_path / "sweeps").iterdir()
    assert verify(path) == []
    assert check_replay(path) == []


_N = r"-?[\d.e+-]+"


@pytest.mark.parametrize(
    ("scheduler", "goes_on", "ends"),
    [
        (
            {"name": "percentile", "max_t": 9},
            rf"step \d: loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}: goes on to step \d",
            rf"step \d: loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}: percentile stops it",
        ),
        (
            {"name": "threshold", "max_t": 9, "upper": [[1, 100.0], [4, 0.1]]},
            rf"step \d: loss {_N}, the bound is {_N}: goes on to step \d",
            rf"step \d: loss {_N}, the bound is 0.1: threshold stops it",
        ),
        (
            {"name": "plateau", "max_t": 9, "window": 2, "tolerance": 0.1},
            rf"step \d: the curve of loss is at {_N}, where {_N} would tell of progress: goes on to step \d",
            rf"step \d: the curve of loss is at {_N}, where {_N} would tell of progress: plateau stops it",
        ),
        (
            {"name": "asha", "max_t": 9, "form": "stopping", "brackets": 2},
            rf"step \d: loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}: goes on to step \d",
            rf"step 3: loss {_N} ranks \d+ of \d+ at rung 3, the cutoff is {_N}: asha bracket 1 stops it",
        ),
        (
            {"name": "patience", "max_t": 9, "patience": 2, "min_delta": 0.1},
            rf"step \d: the curve of loss is at {_N}, where {_N} would tell of progress: goes on to step \d",
            rf"step \d: the curve of loss is at {_N}, where {_N} would tell of progress: patience stops it",
        ),
        (
            {"name": "asha", "max_t": 9, "form": "stopping", "judge_by": "best"},
            rf"step \d: best loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}: goes on to step \d",
            rf"step \d: best loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}: asha stops it",
        ),
        (
            {"name": "asha", "max_t": 9, "form": "stopping", "audit": 0.4},
            rf"step \d: loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}: asha would stop it, "
            r"it is audited: goes on to step 9",
            rf"step \d: loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}: asha stops it",
        ),
        (
            {"name": "asha", "max_t": 9, "audit": 0.4},
            rf"audited: loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}, and nobody will "
            r"promote it; attempt 2 starts at step \d and may run to step 9",
            rf"step \d: loss {_N} ranks \d+ of \d+ at rung \d, the cutoff is {_N}: pauses until it is promoted",
        ),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_each_rule_tells_why_a_trial_went_on_and_why_it_ended(
    tmp_path: Path, scheduler: dict[str, Any], goes_on: str, ends: str
) -> None:
    found = texts(tmp_path, scheduler=scheduler)
    assert matching(found, goes_on)
    assert matching(found, ends)


def test_pasha_tells_of_those_that_wait_at_its_limit(tmp_path: Path) -> None:
    found = texts(tmp_path, scheduler={"name": "pasha", "max_t": 27}, budget={"trials": 60})
    stands = (
        rf"loss {_N} ranks \d+ of \d+ at rung \d+, (the cutoff is {_N}|none is good enough yet)"
    )
    limit = r"pauses until trials rank otherwise at rung (\d+) than at the one below"
    assert matching(found, rf"step \d+: {stands}: {limit}")
    assert matching(found, rf"step \d+: {stands}: pauses until it is promoted")


@pytest.mark.parametrize("form", ["promotion", "stopping"])
def test_a_rank_in_several_metrics_says_so(tmp_path: Path, form: str) -> None:
    found = texts(
        tmp_path,
        metrics={"loss": "min", "accuracy": "max"},
        scheduler={"name": "mo_asha", "max_t": 9, "form": form},
    )
    stands = rf"loss {_N} ranks \d+ of \d+ at rung \d, counting all metrics"
    lost = "mo_asha stops it" if form == "stopping" else "pauses until it is promoted"
    assert matching(found, rf"step \d: {stands}: goes on to step \d")
    assert matching(found, rf"step \d: {stands}: {lost}")
    assert bool(matching(found, rf"promoted: {stands}; .*")) == (form == "promotion")
    assert check_replay(tmp_path / "sweeps" / "small") == []


def test_a_metric_that_is_not_finite_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "raysweep.orchestrator.simulate.SyntheticCurves",
        lambda *of: lambda config, seed, step: {"loss": 1.0, "accuracy": math.nan},
    )
    found = texts(
        tmp_path,
        metrics={"loss": "min", "accuracy": "max"},
        scheduler={"name": "mo_asha", "max_t": 9},
    )
    assert matching(found, r"step 1: no finite value of every metric at rung 1: mo_asha stops it")


def test_bounds_are_told_in_the_metrics_own_unit(tmp_path: Path) -> None:
    scheduler = {"name": "threshold", "max_t": 9, "lower": 0.75}
    found = texts(tmp_path, metric="accuracy", mode="max", scheduler=scheduler)
    assert matching(found, rf"step \d: accuracy {_N}, the bound is 0.75: threshold stops it")
