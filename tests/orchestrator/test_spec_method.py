from __future__ import annotations

from typing import Any

import pytest

from raysweep.orchestrator.spec import SweepSpec
from raysweep.orchestrator.spec_method import METHODS
from raysweep.trials.errors import SpecError


def spec(**written: Any) -> SweepSpec:
    plain = {
        "trainable": "a:b",
        "space": {"x": {"uniform": [0, 1]}},
        "metric": "loss",
        "mode": "min",
    }
    return SweepSpec.from_dict({**plain, "budget": {"trials": 9}, **written})


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_pair_written_out(name: str) -> None:
    searcher, scheduler = METHODS[name]
    short = spec(method={"name": name, "max_t": 27})
    assert short == spec(searcher=searcher, scheduler={**scheduler, "max_t": 27})
    assert "method" not in short.to_dict()


def test_options_go_to_the_half_that_takes_them() -> None:
    made = spec(method={"name": "bohb", "max_t": 27, "reduction_factor": 2, "random_share": 0.5})
    assert made.scheduler["reduction_factor"] == 2
    assert made.searcher["random_share"] == 0.5


def test_a_bare_name_will_do_where_nothing_is_required() -> None:
    made = spec(method="mobster")
    assert (made.searcher["name"], made.scheduler["name"]) == ("mobster", "asha")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"method": "bohp"}, "method: 'bohp' is not one; did you mean 'bohb'"),
        ({"method": 3}, r"method: got 3; write a name, or \{name: ..., option: value\}"),
        (
            {"method": "bohb"},
            r"method bohb: max_t is missing; .* method: \{name: bohb, max_t: 81\}",
        ),
        ({"method": {"name": "asha", "max": 9}}, "method asha: 'max' is no option of it"),
        (
            {"method": "mobster", "scheduler": "fifo"},
            "scheduler is given as well; leave one out, or write both: searcher: mobster, "
            "scheduler: asha",
        ),
        (
            {"searcher": "dehb", "scheduler": {"name": "asha", "max_t": 9}},
            r"searcher dehb: .* scheduler is asha; write method: \{name: dehb, max_t: 81\}",
        ),
        (
            {"searcher": "tpe", "scheduler": {"name": "dehb", "max_t": 9}},
            "scheduler dehb: .* searcher is tpe",
        ),
        ({"method": {"name": "asha", "max_t": 0}}, "scheduler asha: max_t is 0"),
    ],
)
def test_what_is_wrong_is_said(written: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(**written)
