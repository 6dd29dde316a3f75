from __future__ import annotations

from typing import Any

import pytest

from raysweep.searchers.base import LATER, Proposal
from raysweep.searchers.catalog import SEARCHERS, build_searcher, check_searcher
from raysweep.searchers.setting import Earlier, Setting
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

SPACE = Space.from_dict({"a": {"randint": [1, 100]}, "b": {"quniform": [0, 1, 0.1]}})
NEEDED: dict[str, dict[str, Any]] = {
    "prior": {"prior": {"a": 7}},
    "transfer": {"sweeps": ["before"]},
}
EARLIER = Earlier("before", tuple({"a": a, "b": 0.5} for a in (3, 5, 70)), (0.5, 0.7, 0.6))
SETTING = Setting(SPACE, goal=Goal((("loss", "min"), ("size", "min"))), earlier=(EARLIER,))


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_works_with_its_defaults_and_says_what_it_is_for(name: str) -> None:
    assert SEARCHERS[name].summary
    options = check_searcher(name, NEEDED.get(name, {}))
    assert check_searcher(name, options) == options
    answer = build_searcher(name, options, SETTING).ask("t000000", Stream(0))
    assert answer is not LATER
    assert answer is not None
    SPACE.check(answer.config if isinstance(answer, Proposal) else answer)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gird", {}, r"searcher: 'gird' is not one; did you mean 'grid'\? allowed: random, grid"),
        ("grid", {"pionts": 3}, r"searcher grid: 'pionts' is no option of it; did you mean 'points'\?"),
        ("random", {"seed": 3}, "searcher random: 'seed' is no option of it; allowed: points_to_evaluate"),
        ("grid", {"points": "3"}, "points is '3'; it may be a whole number from 1"),
        ("grid", {"points": True}, "points is True"),
        ("grid", {"points": {"a": 0}}, "points is"),
        ("grid", {"shuffle": 1}, "shuffle is 1; it may be true or false"),
    ],
)  # fmt: skip
def test_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_searcher(name, options, Setting(SPACE))
