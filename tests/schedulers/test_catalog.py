from __future__ import annotations

import json
from typing import Any

import pytest

from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.brackets import Brackets
from raysweep.schedulers.catalog import SCHEDULERS, build_scheduler, check_scheduler, levels_of
from raysweep.schedulers.fifo import Fifo
from raysweep.schedulers.hyperband import HyperBand
from raysweep.schedulers.judged import Judged
from raysweep.schedulers.median import MedianStopping
from raysweep.schedulers.mo_asha import MoAsha
from raysweep.schedulers.pasha import Pasha
from raysweep.schedulers.patience import Patience
from raysweep.schedulers.percentile import PercentileStopping
from raysweep.schedulers.plateau import Plateau
from raysweep.schedulers.setting import Setting
from raysweep.schedulers.threshold import Threshold
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space

SPACE = Space.from_dict({"x": {"uniform": [0, 1]}})
LOSS = Goal((("loss", "min"),))
TWO = Goal((("loss", "min"), ("size", "min")))
NEEDED: dict[str, dict[str, Any]] = {
    "threshold": {"upper": 1.0},
    "pbt": {"interval": 2},
    "pb2": {"interval": 2},
    "pbt_replay": {"schedule": [{"from_step": 0, "config": {"x": 0.5}}]},
}
"""What a scheduler cannot do without, beside max_t."""


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_says_what_it_is_for_and_its_checked_options_check_again(
    name: str,
) -> None:
    assert SCHEDULERS[name].summary
    options = check_scheduler(name, {"max_t": 9, **NEEDED.get(name, {})})
    assert options.keys() == SCHEDULERS[name].options.keys()
    assert check_scheduler(name, options) == options
    setting = Setting(TWO, SPACE, trials=1 if name == "pbt_replay" else 8)
    assert build_scheduler(name, options, setting).grant("a", {}) >= 1


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("fifo", {}, Fifo),
        ("median", {}, MedianStopping),
        ("percentile", {}, PercentileStopping),
        ("threshold", {"lower": 0.1}, Threshold),
        ("plateau", {}, Plateau),
        ("patience", {}, Patience),
        ("asha", {"max_t": 9}, PromotionAsha),
        ("asha", {"max_t": 9, "form": "promotion"}, PromotionAsha),
        ("asha", {"max_t": 9, "form": "stopping"}, StoppingAsha),
        ("asha", {}, PromotionAsha),
        ("asha", {"max_t": 9, "brackets": 3}, Brackets),
        ("asha", {"brackets": 3, "form": "stopping"}, Brackets),
        ("mo_asha", {"form": "stopping"}, MoAsha),
        ("pasha", {"max_t": 9}, Pasha),
        ("hyperband", {"max_t": 9}, HyperBand),
        ("hyperband", {"max_t": 9, "form": "asynchronous"}, Brackets),
    ],
)
def test_a_name_builds_its_scheduler(name: str, options: dict[str, Any], kind: type) -> None:
    assert type(build_scheduler(name, options, Setting(TWO))) is kind


def test_a_whole_number_written_as_a_float_is_one() -> None:
    assert check_scheduler("asha", {"max_t": 1e3})["max_t"] == 1000


def test_defaults() -> None:
    assert check_scheduler("asha", {"max_t": 27}) == {
        "max_t": 27, "grace_period": 1, "reduction_factor": 3, "form": "promotion", "brackets": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ahsa", {}, r"scheduler: 'ahsa' is not one; did you mean 'asha'\? allowed: fifo, median"),
        ("hyperopt", {}, "'hyperopt' is not one; .*fifo, median, percentile"),
        ("hyperband", {}, "scheduler hyperband: max_t is missing; it may be a whole number, 1 or m"),
        ("hyperband", {"max_t": None}, "max_t is missing"),
        ("pasha", {}, "scheduler pasha: max_t is missing"),
        ("pasha", {"max_t": 9, "form": "stopping"}, "'form' is no option of it; .*allowed: max_t, gr"),
        ("hyperband", {"max_t": 9, "form": "async"}, "it may be synchronous or asynchronous"),
        ("asha", {"max_t": 9, "brackets": 0}, "brackets is 0; it may be a whole number, 1 or more"),
        ("asha", {"max_t": 9, "brackets": 4}, "brackets is 4, .* max_t 9 there is room for 3, .*low"),
        ("asha", {"max_t": 9, "grace_period": 9, "brackets": 2}, "brackets is 2, .* room for 1"),
        ("asha", {"maxt": 9}, r"'maxt' is no option of it; did you mean 'max_t'\?"),
        ("asha", {"max_t": 0}, "max_t is 0; it may be a whole number, 1 or more"),
        ("asha", {"max_t": 2.5}, r"max_t is 2\.5; it may be a whole number"),
        ("asha", {"max_t": True}, "max_t is True"),
        ("asha", {"max_t": "9"}, "max_t is '9'"),
        ("asha", {"max_t": 9, "reduction_factor": 1}, "reduction_factor is 1; .*2 or more"),
        ("mo_asha", {"form": "stop"}, "form is 'stop'; it may be promotion or stopping"),
        ("mo_asha", {"max_t": 3, "grace_period": 4}, "grace_period 4 is beyond max_t 3"),
        ("asha", {"max_t": 9, "form": "stop"}, "form is 'stop'; it may be promotion or stopping"),
        ("asha", {"max_t": 3, "grace_period": 4}, "grace_period 4 is beyond max_t 3; lower it"),
        ("asha", {"unit": 3}, "unit is 3; it may be steps, seconds, dollars, cents, or the name of"),
        ("asha", {"unit": " "}, "unit is ' '; it may be"),
        ("median", {"unit": "seconds"}, "'unit' is no option of it"),
        ("median", {"max_t": 3, "grace_period": 4}, "grace_period 4 is beyond max_t 3"),
        ("median", {"min_trials": 0}, "min_trials is 0"),
        ("median", {"interval": None}, "interval is missing"),
        ("fifo", {"grace_period": 1}, "'grace_period' is no option of it"),
        ("percentile", {"percentile": 101}, "percentile is 101; it may be a number from 0 to 100"),
        ("percentile", {"against": "best"}, "against is 'best'; it may be bests or averages"),
        ("threshold", {}, "neither lower nor upper is given; give one of them, or both"),
        ("threshold", {"upper": "10"}, "upper is '10'; it may be a number, or .* pairs"),
        ("threshold", {"upper": float("nan")}, "upper is nan"),
        ("threshold", {"upper": True}, "upper is True"),
        ("threshold", {"upper": []}, r"upper is \[\]"),
        ("threshold", {"upper": [[5, 1.0], [2, 3.0]]}, "it may be .* ascending steps of 1 or more"),
        ("threshold", {"upper": [[1, 1.0], [1, 3.0]]}, "upper is"),
        ("threshold", {"upper": [[0, 1.0]]}, "upper is"),
        ("threshold", {"upper": [1, 1.0]}, "upper is"),
        ("threshold", {"upper": [[1, "x"]]}, "upper is"),
        ("threshold", {"lower": 2, "upper": 1}, "lower 2 is above upper 1 from step 1 on.*swap them"),
        ("threshold", {"lower": 2, "upper": [[1, 9], [7, 1]]}, "above upper 1 from step 7 on"),
        ("plateau", {"window": 0}, "window is 0"),
        ("plateau", {"tolerance": -1}, "tolerance is -1; it may be a number, 0 or more"),
        ("plateau", {"smoothing": 1}, "smoothing is 1; it may be a number from 0 to below 1"),
        ("plateau", {"max_t": 5}, "window 4 is over at step 5 .* max_t is 5: nothing could be st"),
        ("patience", {"patience": 0}, "patience is 0"),
        ("patience", {"min_delta": float("inf")}, "min_delta is inf"),
        ("patience", {"max_t": 9, "patience": 8}, "patience 8 is over at step 9 .*lower patience"),
        ("asha", {"judge_by": "mean"}, "judge_by is 'mean'; it may be last or best or smoothed"),
        ("mo_asha", {"judge_by": "best"}, "judge_by is 'best'; it may be last or smoothed"),
        ("median", {"judge_by": "best"}, "'judge_by' is no option of it; allowed: max_t, grace_p"),
        ("asha", {"smoothing": 0.5}, "smoothing is 0.5, and judge_by is last, .* leave smoothing"),
        ("asha", {"judge_by": "best", "smoothing": 0}, "smoothing is 0, and judge_by is best, wh"),
        ("asha", {"judge_by": "smoothed", "smoothing": 1}, "smoothing is 1; .* from 0 to below 1"),
        ("asha", {"audit": 0.1}, "audit is 0.1, and there is no max_t: .*; give max_t"),
        ("asha", {"max_t": 9, "audit": 0.6}, "audit is 0.6; it may be a number from 0 to 0.5"),
        ("fifo", {"max_t": 9, "audit": 0.1}, "'audit' is no option of it; .*allowed: max_t"),
    ],
)  # fmt: skip
def test_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_scheduler(name, options)


def test_what_stands_around_a_rule_is_named_only_where_it_changes_something() -> None:
    nothing = {"judge_by": "last", "smoothing": None, "audit": 0}
    assert check_scheduler("asha", nothing) == check_scheduler("asha", {})
    assert type(build_scheduler("asha", nothing)) is PromotionAsha
    given = {"max_t": 9, "judge_by": "smoothed", "audit": 0.1}
    checked = check_scheduler("asha", given)
    assert given.items() <= checked.items()
    assert check_scheduler("asha", checked) == checked
    assert type(build_scheduler("asha", given)) is Judged
    assert type(build_scheduler("asha", {"judge_by": "best"})) is Judged


@pytest.mark.parametrize("name", ["", "ASHA", "nothing"])
def test_building_an_unknown_scheduler_is_refused_as_checking_it_is(name: str) -> None:
    with pytest.raises(SpecError, match="is not one"):
        build_scheduler(name, {"max_t": 9})


def test_bounds_need_to_know_which_way_is_better() -> None:
    with pytest.raises(SpecError, match=r"scheduler threshold: its bounds .*pass .*Setting"):
        build_scheduler("threshold", {"upper": 1.0})


def test_several_metrics_need_to_be_there() -> None:
    with pytest.raises(
        SpecError,
        match=r"mo_asha: it needs 2 metrics or more, and loss is all .*"
        r"give metrics: \{loss: min, ...\}, or take asha",
    ):
        build_scheduler("mo_asha", {}, Setting(LOSS))
    with pytest.raises(
        SpecError, match=r"mo_asha: it compares trials in all metrics.*pass .*Setting"
    ):
        build_scheduler("mo_asha", {})


def test_bounds_survive_json_as_they_are() -> None:
    options = check_scheduler("threshold", {"upper": [[1, 5], [4, 3.5]], "lower": 1e3 - 1e3})
    assert check_scheduler("threshold", json.loads(json.dumps(options))) == options


@pytest.mark.parametrize(
    ("written", "trials", "levels"),
    [
        ({"name": "asha", "max_t": 27}, None, (1, 3, 9, 27)),
        ({"name": "asha", "max_t": 27, "brackets": 2}, 40, (1, 3, 9, 27)),
        ({"name": "asha", "max_t": None}, 20, (1, 3, 9)),  # 20, 6, 2 trials, then none
        ({"name": "asha", "max_t": None, "reduction_factor": 10}, None, (1, 10, 100, 1000)),
        ({"name": "mo_asha", "max_t": 27}, None, (1, 3, 9, 27)),
        ({"name": "mo_asha"}, 20, (1, 3, 9)),
        ({"name": "pasha", "max_t": 27, "grace_period": 2}, 50, (2, 6, 18, 27)),
        ({"name": "hyperband", "max_t": 100}, None, (1, 3, 11, 33, 100)),
        ({"name": "hyperband", "max_t": 100, "form": "asynchronous"}, None, (1, 3, 11, 33, 100)),
        ({"name": "curve", "max_t": 10}, None, (1, 2, 3, 5, 7, 10)),
        ({"name": "curve", "max_t": 10, "interval": 4}, None, (1, 5, 9, 10)),
        ({"name": "median", "max_t": 27}, None, ()),
        ({"name": "asha", "max_t": 27, "unit": "steps"}, None, (1, 3, 9, 27)),
        ({"name": "asha", "max_t": 27, "unit": "seconds"}, None, ()),
        ({"name": "<python:Mine>"}, None, ()),
    ],
)
def test_the_steps_that_a_searcher_may_learn_from(
    written: dict[str, Any], trials: int | None, levels: tuple[int, ...]
) -> None:
    assert levels_of(written, trials) == levels
