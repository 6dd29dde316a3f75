from __future__ import annotations

from typing import Any

import pytest

from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.catalog import SCHEDULERS, build_scheduler, check_scheduler
from raysweep.schedulers.fifo import Fifo
from raysweep.schedulers.median import MedianStopping
from raysweep.trials.errors import SpecError


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_says_what_it_is_for_and_its_checked_options_check_again(
    name: str,
) -> None:
    assert SCHEDULERS[name].summary
    options = check_scheduler(name, {"max_t": 9})
    assert options.keys() == SCHEDULERS[name].options.keys()
    assert check_scheduler(name, options) == options
    assert build_scheduler(name, options).grant("a") >= 1


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("fifo", {}, Fifo),
        ("median", {}, MedianStopping),
        ("asha", {"max_t": 9}, PromotionAsha),
        ("asha", {"max_t": 9, "form": "promotion"}, PromotionAsha),
        ("asha", {"max_t": 9, "form": "stopping"}, StoppingAsha),
    ],
)
def test_a_name_builds_its_scheduler(name: str, options: dict[str, Any], kind: type) -> None:
    assert type(build_scheduler(name, options)) is kind


def test_a_whole_number_written_as_a_float_is_one() -> None:
    assert check_scheduler("asha", {"max_t": 1e3})["max_t"] == 1000


def test_defaults() -> None:
    assert check_scheduler("asha", {"max_t": 27}) == {
        "max_t": 27, "grace_period": 1, "reduction_factor": 3, "form": "promotion",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ahsa", {}, r"scheduler: 'ahsa' is not one; did you mean 'asha'\? allowed: fifo, median"),
        ("hyperopt", {}, "'hyperopt' is not one; .*fifo, median, asha"),
        ("asha", {}, "scheduler asha: max_t is missing; it may be a whole number, 1 or more"),
        ("asha", {"max_t": None}, "max_t is missing"),
        ("asha", {"maxt": 9}, r"'maxt' is no option of it; did you mean 'max_t'\?"),
        ("asha", {"max_t": 0}, "max_t is 0; it may be a whole number, 1 or more"),
        ("asha", {"max_t": 2.5}, r"max_t is 2\.5; it may be a whole number"),
        ("asha", {"max_t": True}, "max_t is True"),
        ("asha", {"max_t": "9"}, "max_t is '9'"),
        ("asha", {"max_t": 9, "reduction_factor": 1}, "reduction_factor is 1; .*2 or more"),
        ("asha", {"max_t": 9, "form": "stop"}, "form is 'stop'; it may be promotion or stopping"),
        ("asha", {"max_t": 3, "grace_period": 4}, "grace_period 4 is beyond max_t 3; lower it"),
        ("median", {"max_t": 3, "grace_period": 4}, "grace_period 4 is beyond max_t 3"),
        ("median", {"min_trials": 0}, "min_trials is 0"),
        ("median", {"interval": None}, "interval is missing"),
        ("fifo", {"grace_period": 1}, "'grace_period' is no option of it"),
    ],
)  # fmt: skip
def test_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_scheduler(name, options)


@pytest.mark.parametrize("name", ["", "ASHA", "nothing"])
def test_building_an_unknown_scheduler_is_refused_as_checking_it_is(name: str) -> None:
    with pytest.raises(SpecError, match="is not one"):
        build_scheduler(name, {"max_t": 9})
