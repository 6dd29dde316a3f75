"""Histories that teach nothing: no searcher prints, fails or repeats itself over them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from raysweep.searchers.catalog import SEARCHERS, build_searcher
from raysweep.searchers.gp import GaussianProcess
from raysweep.searchers.learner import Known
from raysweep.searchers.setting import Earlier, Setting
from raysweep.trials.goal import WORST
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.searcher import GOAL, ask

SPACE = Space.from_dict({"x": {"uniform": [0.0, 1.0]}, "kind": {"choice": ["a", "b"]}})
PLANE = Space.from_dict({"x": {"uniform": [0.0, 1.0]}, "y": {"uniform": [0.0, 1.0]}})
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name, entry in SEARCHERS.items() if entry.learns},
    "prior": ("prior", {"prior": {"x": 0.5}}),
    "transfer": ("transfer", {"sweeps": ["elsewhere"]}),
    "gp, varying noise": ("gp", {"noise": "varying"}),
    "gp, noise by metric": ("gp", {"noise": "error"}),
    "gp, limits": ("gp", {"limits": {"ms": 1.0}, "per_second": True}),
    "gp, warped": ("gp", {"warp": True, "trust_region": True}),
    "gp, from the first": ("gp", {"initial": 1}),
}
HISTORIES: dict[str, list[float]] = {
    "nothing finite": [math.nan] * 12,
    "constant": [0.5] * 12,
    "one result": [*[math.nan] * 6, 0.5, *[math.nan] * 5],
    "two equal results": [0.5, math.nan, math.nan, 0.5, *[math.nan] * 8],
    "nearly constant": [0.5 + 1e-15 * (n % 2) for n in range(12)],
    "without a scale": [
        0.0,
        1e-320,
        1e-310,
        1e300,
        -1e300,
        1e308,
        -1e308,
        1e16,
        1.0,
        2.0,
        3.0,
        0.1,
    ],
}
ELSEWHERE = Earlier(
    "elsewhere", tuple({"x": n / 8, "kind": "a"} for n in range(8)), tuple(map(float, range(8)))
)


def _setting(name: str, space: Space, levels: tuple[int, ...]) -> Setting:
    earlier = (ELSEWHERE,) if name == "transfer" else ()
    return Setting(space, 0, GOAL, trials=30, levels=levels, earlier=earlier)


AT_RUNGS = ["auto", "bohb", "dehb", "hyper_tune", "mobster"]


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize(
    ("learner", "levels"),
    [*((learner, ()) for learner in LEARNERS), *((learner, (1, 3)) for learner in AT_RUNGS)],
    ids=str,
)
def test_nothing_is_printed_and_every_config_is_of_the_space(
    learner: str, history: str, levels: tuple[int, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    name, options = LEARNERS[learner]
    searcher = build_searcher(name, options, _setting(name, SPACE, levels))
    for number, loss in enumerate(HISTORIES[history]):
        config = ask(searcher, 0, number)
        SPACE.check(config)
        searcher.suggested(trial_id(number), config)
        score = GOAL.score({"loss": loss})
        metrics = {"loss": loss, "error": loss, "ms": loss}
        searcher.tell(Report(trial_id(number), 1, 1, metrics, score, 1.0))
        status = Status.FAILED if score == WORST else Status.COMPLETED
        searcher.end(trial_id(number), Outcome(status, 1, score))
    for number in range(20, 23):
        SPACE.check(ask(searcher, 0, number))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("learner", [name for name in LEARNERS if name != "transfer"])
def test_one_config_again_and_again_is_a_history_as_well(
    learner: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A user's own points may repeat: rows of a covariance that are the same."""
    name, options = LEARNERS[learner]
    searcher = build_searcher(name, options, _setting(name, PLANE, ()))
    for number in range(12):
        searcher.suggested(trial_id(number), {"x": 0.25, "y": 0.5})
        searcher.tell(Report(trial_id(number), 1, 1, {"error": 0.0, "ms": 1.0}, number / 10))
        searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, number / 10))
    PLANE.check(ask(searcher, 0, 12))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("noise", [None, "varying"])
def test_before_any_result_the_process_is_its_prior(
    noise: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    setting = Setting(SPACE, 0, GOAL)
    process = GaussianProcess(setting, noise=noise)
    configs = [SPACE.sample(Stream(0, n)) for n in range(3)]
    means, sds = process.posterior(Known(setting), configs)
    assert means.tolist() == [0.0] * 3
    assert (sds > 0.5).all()
    assert capfd.readouterr() == ("", "")
