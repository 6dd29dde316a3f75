"""Our schedulers under Tune's call order, on a controller that follows it without Ray.

The scenarios are those that Ray's own tests of its schedulers look at, said anew: what must hold.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import numpy as np
import pytest
from ray.tune import schedulers as rays

from raysweep.schedulers import tune
from raysweep.schedulers.brackets import Brackets
from raysweep.schedulers.hyperband import HyperBand
from raysweep.schedulers.tune import (
    ASHAScheduler,
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PromotionASHAScheduler,
    TuneScheduler,
)
from raysweep.trials.errors import SpecError
from tests.schedulers.fake_tune import FakeTrial, FakeTune

MIN: dict[str, Any] = {"metric": "loss", "mode": "min"}
KINDS: dict[str, Callable[[], TuneScheduler]] = {
    "stopping": lambda: ASHAScheduler(**MIN, max_t=9, reduction_factor=3),
    "brackets": lambda: ASHAScheduler(**MIN, max_t=9, reduction_factor=3, brackets=3),
    "promotion": lambda: PromotionASHAScheduler(**MIN, max_t=9, reduction_factor=3),
    "hyperband": lambda: HyperBandScheduler(**MIN, max_t=9),
    "median": lambda: MedianStoppingRule("training_iteration", **MIN, grace_period=2),
    "fifo": FIFOScheduler,
}


def steady(number: int, iteration: int) -> Mapping[str, Any]:
    """Trial 0 is best, then 1, and so on, at every iteration."""
    return {"loss": float(number)}


def ran(tune: FakeTune) -> dict[int, int]:
    """How far each trial came."""
    far: dict[int, int] = {}
    for number, iteration, _ in tune.reports:
        far[number] = max(far.get(number, 0), iteration)
    return far


@pytest.mark.parametrize(
    "name",
    ["ASHAScheduler", "AsyncHyperBandScheduler", "HyperBandScheduler", "MedianStoppingRule",
     "FIFOScheduler"],
)  # fmt: skip
def test_arguments_are_rays_in_rays_order_with_rays_defaults(name: str) -> None:
    def parameters(cls: type) -> list[tuple[str, Any]]:
        signature = inspect.signature(cls.__init__)
        return [(p.name, p.default) for p in signature.parameters.values()]

    theirs = parameters(getattr(rays, name))
    assert parameters(getattr(tune, name))[: len(theirs)] == theirs
    assert issubclass(getattr(tune, name), rays.TrialScheduler)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ASHAScheduler(mode="best"), "mode is 'best'; it may be min or max"),
        (lambda: ASHAScheduler(max_t=0), "max_t is 0"),
        (lambda: ASHAScheduler(max_t=2.5), r"max_t is 2\.5; it may be a whole number"),
        (lambda: ASHAScheduler(max_t=3, grace_period=4), "grace_period 4 is beyond max_t 3"),
        (lambda: ASHAScheduler(reduction_factor=1.5), r"reduction_factor is 1\.5; .*2 or more"),
        (lambda: ASHAScheduler(brackets=0), "brackets is 0; it must be 1 or more"),
        (lambda: ASHAScheduler(form="stop"), "form is 'stop'; it may be promotion or stopping"),
        (lambda: HyperBandScheduler(reduction_factor=1), "reduction_factor is 1"),
        (lambda: MedianStoppingRule(hard_stop=False), "hard_stop=False.*PromotionASHAScheduler"),
        (lambda: TuneScheduler("ahsa", {}), "did you mean 'asha'"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()


def test_native_is_a_fresh_scheduler_of_our_own() -> None:
    scheduler = HyperBandScheduler(max_t=9, **MIN)
    assert isinstance(scheduler.native(), HyperBand)
    assert scheduler.native() is not scheduler.native()
    assert (scheduler.time_attr, scheduler.metric, scheduler.mode) == (
        "training_iteration", "loss", "min",
    )  # fmt: skip
    assert isinstance(ASHAScheduler(brackets=2).native(), Brackets)
    assert AsyncHyperBandScheduler is ASHAScheduler


def test_metric_and_mode_come_from_one_place() -> None:
    given_here = ASHAScheduler(metric="a", mode="min")
    assert not given_here.set_search_properties("a", None)
    assert not given_here.set_search_properties(None, "min")
    assert given_here.set_search_properties(None, None)
    given_there = ASHAScheduler()
    assert given_there.set_search_properties("b", "max", num_samples=3)
    assert (given_there.metric, given_there.mode) == ("b", "max")
    with pytest.raises(SpecError, match=r"scheduler asha: no metric and mode.*TuneConfig"):
        ASHAScheduler().set_search_properties(None, None)
    only_mode = ASHAScheduler(mode="max")
    assert only_mode.set_search_properties(None, None)
    assert only_mode.metric == "_metric", "Tune's name for the metric of an unnamed report"
    assert FIFOScheduler().set_search_properties(None, None)


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_pickled_before_it_has_seen_a_trial(kind: str) -> None:
    again = cloudpickle.loads(cloudpickle.dumps(KINDS[kind]()))
    assert again.debug_string() == KINDS[kind]().debug_string()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("limit", [0, 2])
def test_every_experiment_ends(kind: str, slots: int, limit: int, tmp_path: Path) -> None:
    """Whatever the limit on concurrency: paused trials give their places back."""
    fake = FakeTune(
        KINDS[kind](), steady, folder=tmp_path, total=14, slots=slots, length=9,
        max_concurrent=limit,
    ).fit()  # fmt: skip
    assert len(fake.trials) == 14
    assert all(trial.status == FakeTrial.TERMINATED for trial in fake.trials)
    assert sorted(fake.search_alg.completed) == sorted(trial.trial_id for trial in fake.trials)
    assert max(ran(fake).values()) == 9, "somebody came to the end"


@pytest.mark.parametrize("mode", ["min", "max"])
def test_asha_stops_the_worse_ones_at_rungs_whichever_way_is_better(
    mode: str, tmp_path: Path
) -> None:
    sign = 1 if mode == "min" else -1
    scheduler = ASHAScheduler(metric="score", mode=mode, max_t=9, reduction_factor=3)
    fake = FakeTune(
        scheduler,
        lambda number, iteration: {"score": sign * number},
        folder=tmp_path,
        slots=1,
    ).fit()
    assert ran(fake) == {0: 9, **dict.fromkeys(range(1, 9), 1)}


def test_nobody_is_stopped_in_the_grace_period(tmp_path: Path) -> None:
    scheduler = ASHAScheduler(**MIN, max_t=20, grace_period=5)
    fake = FakeTune(scheduler, steady, folder=tmp_path, slots=3).fit()
    assert min(ran(fake).values()) == 5


def test_promotion_pauses_at_every_rung_and_brings_the_best_back(tmp_path: Path) -> None:
    """Nine trials, one slot, the best first: of nine at 1 three reach 3, and one of these the end."""
    fake = FakeTune(KINDS["promotion"](), steady, folder=tmp_path, slots=1).fit()
    assert ran(fake) == {0: 9, 1: 3, 2: 3, **dict.fromkeys(range(3, 9), 1)}
    paused = {number for number, _, answer in fake.reports if answer == "PAUSE"}
    assert paused == set(range(9))


def test_hyperband_fills_its_brackets_as_the_paper_says(tmp_path: Path) -> None:
    """One round of R = 9: of 9, 3 and 3 trials, 3 + 1 are left at 3, and 1 + 1 + 3 at 9."""
    fake = FakeTune(KINDS["hyperband"](), steady, folder=tmp_path, total=15, slots=4).fit()
    assert Counter(ran(fake).values()) == {1: 6, 3: 4, 9: 5}


def test_hyperband_of_fewer_trials_than_a_bracket_ends_with_the_best(tmp_path: Path) -> None:
    fake = FakeTune(KINDS["hyperband"](), steady, folder=tmp_path, total=7, slots=4).fit()
    assert ran(fake) == {0: 9, 1: 3, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("checkpoints", [False, True])
def test_nothing_is_counted_twice_when_trials_start_over(
    kind: str, checkpoints: bool, tmp_path: Path
) -> None:
    """Trials without checkpoints repeat their steps after each pause and each retry."""
    failed: set[int] = set()

    def train(number: int, iteration: int) -> Mapping[str, Any]:
        if iteration == 2 and number % 4 == 1 and number not in failed:
            failed.add(number)
            raise RuntimeError
        return {"loss": float(number)}

    scheduler = KINDS[kind]()
    fake = FakeTune(
        scheduler, train, folder=tmp_path, length=9, checkpoints=checkpoints, max_failures=2
    ).fit()
    assert all(trial.status == FakeTrial.TERMINATED for trial in fake.trials)
    assert ran(fake)[0] == 9
    rungs = scheduler._ledger.scheduler.state().get("rungs", [[]])
    assert len(rungs[0]) in (0, 9)


@pytest.mark.parametrize("kind", KINDS)
def test_failed_trials_hold_nobody_up(kind: str, tmp_path: Path) -> None:
    def train(number: int, iteration: int) -> Mapping[str, Any]:
        if number in (1, 4, 7) and iteration == number % 3 + 1:
            raise RuntimeError
        return {"loss": float(number)}

    fake = FakeTune(KINDS[kind](), train, folder=tmp_path, length=9, slots=3).fit()
    assert ran(fake)[0] == (3 if kind == "promotion" else 9), "two at rung 3 promote nobody"
    assert all(trial.is_finished() for trial in fake.trials)


@pytest.mark.parametrize("kind", ["stopping", "brackets", "promotion", "hyperband", "median"])
@pytest.mark.parametrize(
    "bad",
    [{"loss": math.nan}, {"loss": math.inf}, {"loss": "text"}, {"loss": None}, {"other": 1.0}, {}],
    ids=str,
)
def test_a_bad_result_costs_its_trial_and_no_other(
    kind: str, bad: dict[str, Any], tmp_path: Path
) -> None:
    fake = FakeTune(
        KINDS[kind](),
        lambda number, iteration: bad if number == 2 else {"loss": float(number)},
        folder=tmp_path,
        length=9,
    ).fit()
    far = ran(fake)
    assert far[2] < 9 or kind == "hyperband", "unless its bracket compares nobody"
    assert far[0] == 9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", [None, math.nan, "soon", -3.0])
def test_reports_without_a_usable_time_are_not_judged(kind: str, time: Any, tmp_path: Path) -> None:
    fake = FakeTune(
        KINDS[kind](),
        lambda number, iteration: {"loss": 0.0, "training_iteration": time},
        folder=tmp_path,
        length=12,
    ).fit()
    assert set(ran(fake).values()) == {12}


def test_numpys_numbers_are_numbers(tmp_path: Path) -> None:
    fake = FakeTune(
        KINDS["stopping"](),
        lambda number, iteration: {"loss": np.float32(number), "training_iteration": np.int64(3)},
        folder=tmp_path,
        slots=1,
        length=4,
    ).fit()
    assert ran(fake)[0] == 4
    assert set(ran(fake).values()) == {1, 4}


def test_time_may_be_any_number_that_grows(tmp_path: Path) -> None:
    """Rungs 10 and 30 s; a report every 7 s: judged at 14 and 35, complete at 91."""
    scheduler = ASHAScheduler("seconds", **MIN, max_t=90, grace_period=10, reduction_factor=3)
    fake = FakeTune(
        scheduler,
        lambda number, iteration: {"loss": float(number), "seconds": 7.0 * iteration},
        folder=tmp_path,
        slots=1,
    ).fit()
    assert ran(fake) == {0: 13, **dict.fromkeys(range(1, 9), 2)}


def test_trials_of_unequal_speed_meet_at_the_same_rung(tmp_path: Path) -> None:
    """Half the trials take three steps at once; each bracket is decided all the same."""
    fake = FakeTune(
        KINDS["hyperband"](),
        lambda n, i: {"loss": float(n), "training_iteration": i * (3 if n % 2 else 1)},
        folder=tmp_path,
        slots=3,
    ).fit()
    assert ran(fake)[0] == 9
    assert all(trial.is_finished() for trial in fake.trials)


def test_the_last_result_counts_although_it_reaches_one_hook_only(tmp_path: Path) -> None:
    scheduler = ASHAScheduler(**MIN, max_t=9, grace_period=2, reduction_factor=2)
    FakeTune(scheduler, steady, folder=tmp_path, total=3, length=2, slots=1).fit()
    assert scheduler._ledger.scheduler.state()["rungs"] == [[0.0, 1.0, 2.0], [], []]


def test_stop_last_trials_false_lets_trials_run_past_max_t(tmp_path: Path) -> None:
    scheduler = ASHAScheduler(**MIN, max_t=4, reduction_factor=2, stop_last_trials=False)
    fake = FakeTune(scheduler, steady, folder=tmp_path, slots=1, length=15).fit()
    assert ran(fake)[0] == 15


def test_while_trials_run_tune_is_not_told_which_metric_to_insist_on(tmp_path: Path) -> None:
    scheduler = KINDS["stopping"]()
    assert scheduler.metric == "loss"
    FakeTune(scheduler, steady, folder=tmp_path).turn()
    assert scheduler.metric is None


def test_what_a_hook_raises_is_logged_once_and_costs_one_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = KINDS["stopping"]()
    heard = scheduler._ledger.hear

    def hear(trial: str, time: float, score: float) -> Any:
        if score == 3.0:
            raise ZeroDivisionError("boom")
        return heard(trial, time, score)

    monkeypatch.setattr(scheduler._ledger, "hear", hear)
    with caplog.at_level(logging.WARNING):
        fake = FakeTune(scheduler, steady, folder=tmp_path, slots=1, length=9).fit()
    assert ran(fake) == {0: 9, **dict.fromkeys(range(1, 9), 1)}
    raised = [r.getMessage() for r in caplog.records if "boom" in r.getMessage()]
    assert raised[0].startswith("scheduler asha: on_trial_result raised ZeroDivisionError: boom")
    assert len(raised) == 2, "once for each hook"


def test_a_paused_trial_that_is_removed_is_not_called_back(tmp_path: Path) -> None:
    fake = FakeTune(KINDS["promotion"](), steady, folder=tmp_path, slots=1, total=9)
    fake.search_alg.gives = True
    while not any(trial.status == FakeTrial.PAUSED for trial in fake.trials):
        fake.turn()
    first = next(trial for trial in fake.trials if trial.status == FakeTrial.PAUSED)
    fake.stop_trial(first)
    fake.fit()
    assert ran(fake)[first.number] == 1


def test_a_searcher_that_never_gives_its_last_trials_is_not_waited_for(tmp_path: Path) -> None:
    """It says neither a config nor that it has finished, while nothing runs: the bracket goes on."""
    fake = FakeTune(KINDS["hyperband"](), steady, folder=tmp_path, total=9)
    while len(fake.trials) < 4:
        fake.search_alg.gives = len(fake.trials) < 4
        fake.search_alg.left = min(fake.search_alg.left, 5)
        fake.turn()
    fake.search_alg.gives, fake.search_alg.left = False, 1
    for _ in range(400):
        fake.turn()
    assert 9 in ran(fake).values()
    assert all(trial.is_finished() for trial in fake.trials)


def test_a_searcher_that_asks_for_it_hears_of_pauses(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    fake = FakeTune(KINDS["hyperband"](), steady, folder=tmp_path, slots=1)
    searcher = SimpleNamespace(
        on_pause=lambda trial: heard.append(("pause", trial)),
        on_unpause=lambda trial: heard.append(("unpause", trial)),
    )
    fake.search_alg.searcher = searcher  # type: ignore[attr-defined]  # as SearchGenerator has it
    fake.fit()
    assert heard[0] == ("pause", "run_00000")
    pauses = Counter(trial for what, trial in heard if what == "pause")
    assert pauses == Counter(trial for what, trial in heard if what == "unpause")
