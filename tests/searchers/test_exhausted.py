"""A finite space comes to an end: each config is proposed once, and then nothing."""

from __future__ import annotations

from typing import Any

import pytest

from raysweep.searchers.base import LATER, Proposal
from raysweep.searchers.catalog import SEARCHERS, build_searcher
from raysweep.searchers.setting import Setting
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.searcher import GOAL

SPACES: dict[str, tuple[dict[str, Any], list[str], int]] = {
    "one fixed value": ({"x": 5}, [], 1),
    "one value of a choice": ({"x": {"choice": [7]}, "y": {"choice": ["a"]}}, [], 1),
    "a grid": ({"a": {"randint": [0, 4]}, "b": {"choice": ["x", "y", "z"]}}, [], 15),
    "with a condition": (
        {
            "kind": {"choice": ["p", "q"]},
            "width": {"lograndint": [1, 8], "when": {"kind": "p"}},
            "late": {"choice": [True, False]},
        },
        [],
        18,
    ),
    "with a constraint": ({"a": {"randint": [0, 9]}, "b": {"randint": [0, 9]}}, ["a + b <= 2"], 6),
}
LEARNERS = sorted(
    name for name, one in SEARCHERS.items() if one.learns and name not in ("prior", "transfer")
)


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("name", LEARNERS)
def test_each_config_once_and_then_nothing(name: str, kind: str) -> None:
    """Three trials at a time, of which every fifth fails; asked three times beyond the end."""
    written, constraints, size = SPACES[kind]
    space = Space.from_dict(written, constraints)
    if name == "cmaes" and len(space.dims) < 2:
        pytest.skip("it refuses a space of less than two parameters")
    searcher = build_searcher(name, {}, Setting(space, 0, GOAL))
    configs: list[dict[str, Any]] = []
    running: list[int] = []
    for number in range(size + 3):
        trial = trial_id(number)
        answer = searcher.ask(trial, Stream(0, trial, "ask"))
        assert answer is not LATER
        if answer is None:
            break
        assert isinstance(answer, Proposal)
        space.check(answer.config)
        configs.append(answer.config)
        searcher.suggested(trial, answer.config)
        running.append(number)
        if len(running) == 3:
            ended = running.pop(0)
            loss = float(len(str(configs[ended])) + ended % 3)
            if ended % 5 == 4:
                searcher.end(trial_id(ended), Outcome(Status.FAILED, 0, float("inf")))
                continue
            searcher.tell(Report(trial_id(ended), 1, 1, {"loss": loss}, loss))
            searcher.end(trial_id(ended), Outcome(Status.COMPLETED, 1, loss))
    assert len(configs) == size
    assert len({repr(sorted(config.items())) for config in configs}) == size
    again = [searcher.ask(trial_id(n), Stream(0, trial_id(n), "ask")) for n in range(90, 93)]
    assert again == [None] * 3
