from __future__ import annotations

from typing import Any

import pytest

from raysweep.searchers.catalog import SEARCHERS, build_searcher, check_searcher
from raysweep.searchers.setting import Setting
from raysweep.trials.errors import SpecError
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

SPACE = Space.from_dict({"a": {"randint": [1, 100]}})


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_works_with_its_defaults_and_says_what_it_is_for(name: str) -> None:
    assert SEARCHERS[name].summary
    options = check_searcher(name, {})
    assert check_searcher(name, options) == options
    config = build_searcher(name, options, Setting(SPACE)).ask("t000000", Stream(0))
    assert config is not None
    SPACE.check(config)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gird", {}, r"searcher: 'gird' is not one; did you mean 'grid'\? allowed: random, grid"),
        ("grid", {"pionts": 3}, r"searcher grid: 'pionts' is no option of it; did you mean 'points'\?"),
        ("random", {"seed": 3}, "searcher random: 'seed' is no option of it; it takes none"),
        ("grid", {"points": "3"}, "points is '3'; it may be a whole number, 1 or more"),
        ("grid", {"points": True}, "points is True"),
        ("grid", {"points": {"a": 0}}, "points is"),
        ("grid", {"shuffle": 1}, "shuffle is 1; it may be true or false"),
    ],
)  # fmt: skip
def test_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_searcher(name, options, Setting(SPACE))
