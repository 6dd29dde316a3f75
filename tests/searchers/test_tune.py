from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from ray import tune
from ray.tune.search import ConcurrencyLimiter, Repeater, Searcher

from raysweep.searchers.base import LATER
from raysweep.searchers.base import Searcher as NativeSearcher
from raysweep.searchers.random_search import RandomSearch as NativeRandom
from raysweep.searchers.tune import GridSearch, RandomSearch, SobolSearch, TuneSearcher
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.space import Space
from raysweep.trials.trial import Outcome, Report, Status

SPACE = {"lr": tune.loguniform(1e-4, 1.0), "net": {"width": tune.randint(8, 65), "act": "relu"}}


class Witness(NativeRandom):
    """Random search that notes what it was told."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.heard: list[Any] = []

    def suggested(self, trial: str, config: Any) -> None:
        self.heard.append(("suggested", trial))

    def tell(self, report: Report) -> None:
        self.heard.append((report.trial, report.step, report.score))

    def end(self, trial: str, outcome: Outcome) -> None:
        self.heard.append((trial, outcome))

    def state(self) -> dict[str, Any]:
        return {"heard": len(self.heard), "seen": []}

    def load(self, state: dict[str, Any]) -> None:
        self.heard = [("loaded", state["heard"])]


class Watched(TuneSearcher):
    """The adapter around a searcher that a test can look into."""

    name = "random"
    needs_goal = True
    make: Callable[[Space], NativeSearcher] = staticmethod(Witness)

    def native(self, space: Space, seed: int, goal: Goal | None = None) -> NativeSearcher:
        return type(self).make(space)

    @property
    def heard(self) -> list[Any]:
        return list(getattr(self._searcher, "heard", []))


def watched(**given: Any) -> Watched:
    return Watched(**{"space": SPACE, "metric": "loss", "mode": "min"} | given)


def result(step: int, loss: Any, **more: Any) -> dict[str, Any]:
    """As Tune's controller gives it: flat, with its own fields."""
    return {"training_iteration": step, "loss": loss, "done": False, "config/lr": 0.1, **more}


@pytest.mark.parametrize("kind", [RandomSearch, SobolSearch])
def test_suggestions_are_nested_hold_what_varies_and_depend_on_the_seed_alone(
    kind: type[TuneSearcher],
) -> None:
    one, two, other = kind(SPACE, seed=3), kind(SPACE, seed=3), kind(SPACE, seed=4)
    first = [one.suggest(f"a{n}") for n in range(6)]
    assert first == [two.suggest(f"b{n}") for n in range(6)]
    assert first != [other.suggest(f"a{n}") for n in range(6)]
    for config in first:
        assert config.keys() == {"lr", "net"}
        assert config["net"].keys() == {"width"}
        assert 1e-4 <= config["lr"] <= 1.0
        assert 8 <= config["net"]["width"] <= 64


def test_tunes_param_space_is_taken_unless_a_space_was_given() -> None:
    searcher = RandomSearch()
    assert searcher.set_search_properties("loss", "max", {"x": tune.uniform(0, 1)})
    assert searcher.suggest("a").keys() == {"x"}
    assert (searcher.metric, searcher.mode) == ("loss", "max")
    assert not searcher.set_search_properties("loss", "max", {"y": tune.uniform(0, 1)})
    own = RandomSearch({"z": tune.uniform(0, 1)})
    assert not own.set_search_properties("loss", "max", {"batch": 32})
    assert own.metric == "loss"


def test_without_a_space_or_a_needed_metric_tunes_own_error_is_raised() -> None:
    with pytest.raises(RuntimeError, match="no search space has been defined"):
        RandomSearch().suggest("a")
    with pytest.raises(RuntimeError, match="`metric` \\(None\\) or `mode` \\(min\\)"):
        watched(metric=None).suggest("a")
    assert RandomSearch(SPACE).suggest("a")  # it learns nothing, so it needs no metric


def test_what_only_tune_can_draw_is_refused_by_name() -> None:
    with pytest.raises(SpaceError, match=r"^x: there is no law for it"):
        RandomSearch({"x": tune.randn(0, 1)})
    with pytest.raises(SpaceError, match=r"^x: Tune cannot merge a mapping"):
        RandomSearch().set_search_properties("l", "min", {"x": tune.grid_search([{"a": 1}, 2])})
    with pytest.raises(SpecError, match="one metric is optimised here"):
        RandomSearch(metric=["a", "b"], mode=["min", "max"])  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match=r"x: .*continuous and has no finite grid"):
        GridSearch({"x": tune.uniform(0, 1)})


def test_a_grid_is_walked_once_and_then_finished() -> None:
    space = {"a": tune.grid_search([1, 2, 3]), "b": tune.choice(["x", "y"])}
    searcher = GridSearch(space)
    seen = [searcher.suggest(str(n)) for n in range(7)]
    assert seen.pop() == Searcher.FINISHED
    assert {(config["a"], config["b"]) for config in seen} == {
        (a, b) for a in (1, 2, 3) for b in "xy"
    }


def test_grid_points_are_given_by_the_names_that_the_user_knows() -> None:
    searcher = GridSearch({"net": {"lr": tune.uniform(0, 1)}}, points={"net/lr": 3})
    assert [searcher.suggest(str(n)) for n in range(4)] == [
        {"net": {"lr": 0.0}},
        {"net": {"lr": 0.5}},
        {"net": {"lr": 1.0}},
        Searcher.FINISHED,
    ]


def test_the_users_points_come_first_in_order_and_partial_ones_are_filled() -> None:
    points = [
        {"lr": 0.5, "net": {"width": 9}},
        {"net/width": 10},
        {"lr": 77.0, "net": {"width": 9}},  # out of range: left out
        {"lr": 0.25, "net": {"width": 11}},
    ]
    searcher = watched(points_to_evaluate=points)
    configs = [searcher.suggest(str(n)) for n in range(4)]
    assert configs[0] == {"lr": 0.5, "net": {"width": 9}}
    assert configs[1]["net"] == {"width": 10}
    assert configs[2] == {"lr": 0.25, "net": {"width": 11}}
    unaided = RandomSearch(SPACE)
    assert configs[3] == [unaided.suggest(str(n)) for n in range(4)][3]
    assert searcher.heard == [("suggested", f"t{n:06d}") for n in range(4)]


def test_a_space_of_ours_keeps_its_conditions_and_constraints_in_tune() -> None:
    space = Space.from_dict(
        {
            "opt": {"choice": ["sgd", "adam"]},
            "momentum": {"uniform": [0, 1], "when": {"opt": "sgd"}},
            "net": {"width": {"randint": [1, 9]}, "act": "relu"},
        },
        ["net.width % 2 == 0"],
    )
    searcher = RandomSearch(space, points_to_evaluate=[{"opt": "sgd", "net": {"width": 4}}])
    first = searcher.suggest("a")
    assert first["net"] == {"width": 4, "act": "relu"}
    assert 0 <= first["momentum"] <= 1
    for n in range(20):
        config = searcher.suggest(str(n))
        assert ("momentum" in config) == (config["opt"] == "sgd")
        assert config["net"]["width"] % 2 == 0


def test_each_step_is_told_once_with_a_score_of_which_less_is_better() -> None:
    searcher = watched(mode="max")
    searcher.suggest("a")
    searcher.on_trial_result("a", result(1, 2.0))
    searcher.on_trial_result("a", result(1, 2.5))  # repeated after a retry
    searcher.on_trial_result("a", result(3, 3.0))
    searcher.on_trial_complete("a", result(3, 3.0, done=True))
    assert searcher.heard[1:] == [
        ("t000000", 1, -2.0),
        ("t000000", 3, -3.0),
        ("t000000", Outcome(Status.COMPLETED, 3, -3.0)),
    ]


def test_the_last_result_of_a_stopped_trial_is_told_by_its_end_alone() -> None:
    searcher = watched()
    searcher.suggest("a")
    searcher.on_trial_complete("a", result(4, 0.5))
    assert searcher.heard[1:] == [
        ("t000000", 4, 0.5),
        ("t000000", Outcome(Status.COMPLETED, 4, 0.5)),
    ]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, None, "high"])
def test_what_is_no_finite_number_counts_as_the_worst(loss: Any) -> None:
    searcher = watched()
    searcher.suggest("a")
    searcher.on_trial_result("a", result(1, loss))
    searcher.on_trial_complete("a", result(2, loss))
    assert searcher.heard[1:] == [
        ("t000000", 1, WORST),
        ("t000000", 2, WORST),
        ("t000000", Outcome(Status.COMPLETED, 2, WORST)),
    ]


def test_a_failure_and_an_end_without_result_are_told_as_such() -> None:
    searcher = watched()
    for name in "ab":
        searcher.suggest(name)
    searcher.on_trial_complete("a", error=True)
    searcher.on_trial_complete("b")
    assert searcher.heard[2:] == [
        ("t000000", Outcome(Status.FAILED, 0, WORST)),
        ("t000001", Outcome(Status.STOPPED, 0, WORST)),
    ]


def test_trials_that_it_never_saw_and_calls_before_any_space_are_tolerated() -> None:
    searcher = watched()
    for each in (searcher, RandomSearch()):
        each.on_trial_result("stranger", result(1, 1.0))
        each.on_trial_complete("stranger", result(1, 1.0))
        each.on_trial_complete("stranger", error=True)
        each.on_pause("stranger")
        each.on_unpause("stranger")
    assert searcher.heard == []


def test_a_failing_searcher_is_skipped_and_given_up_in_the_end_but_never_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Witness):
        def ask(self, trial: str, stream: Any) -> Any:
            raise ZeroDivisionError("model")

        def tell(self, report: Report) -> None:
            raise ZeroDivisionError("model")

    class Adapter(Watched):
        make = Broken

    searcher = Adapter(SPACE, "loss", "min", points_to_evaluate=[{"lr": 0.5, "net": {"width": 9}}])
    assert searcher.suggest("a") == {"lr": 0.5, "net": {"width": 9}}
    with caplog.at_level(logging.ERROR):
        for step in (1, 2):
            searcher.on_trial_result("a", result(step, 1.0))
        answers = [searcher.suggest(str(n)) for n in range(6)]
    assert answers == [None] * 5 + [Searcher.FINISHED]
    assert len(caplog.records) == 2  # each kind once


def test_later_means_ask_again() -> None:
    class Patient(Witness):
        def ask(self, trial: str, stream: Any) -> Any:
            return (
                LATER
                if not any("t000000" in heard for heard in self.heard[1:])
                else super().ask(trial, stream)
            )

    class Adapter(Watched):
        make = Patient

    searcher = Adapter(SPACE, "loss", "min", points_to_evaluate=[{}])
    assert searcher.suggest("a")
    assert searcher.suggest("b") is None
    searcher.on_trial_result("a", result(1, 1.0))
    assert searcher.suggest("c")
    assert searcher.heard[-1] == ("suggested", "t000001")


@pytest.mark.parametrize("kind", [RandomSearch, SobolSearch])
def test_a_restored_search_goes_on_where_the_saved_one_stood(
    kind: type[TuneSearcher], tmp_path: Path
) -> None:
    points = [{"lr": 0.5, "net": {"width": 9}}, {"lr": 0.25, "net": {"width": 9}}]

    def made() -> TuneSearcher:
        return kind(points_to_evaluate=points, seed=5)

    through, saved, restored = made(), made(), made()
    for searcher in (through, saved):
        searcher.set_search_properties("loss", "min", SPACE)
    expected = [through.suggest(str(n)) for n in range(9)]
    assert [saved.suggest(str(n)) for n in range(1)] == expected[:1]
    saved.save(str(tmp_path / "early"))
    assert [saved.suggest(str(n)) for n in range(1, 4)] == expected[1:4]
    saved.save(str(tmp_path / "state"))
    json.loads((tmp_path / "state").read_text())  # JSON, never a pickle
    restored.restore(str(tmp_path / "state"))  # Tune restores before or after the space is known
    restored.set_search_properties("loss", "min", SPACE)
    assert [restored.suggest(str(n)) for n in range(4, 9)] == expected[4:]
    restored.restore(str(tmp_path / "early"))
    assert [restored.suggest(str(n)) for n in range(1, 9)] == expected[1:]


def test_a_restored_search_still_knows_the_trials_under_way(tmp_path: Path) -> None:
    saved, restored = watched(), watched()
    for name in "ab":
        saved.suggest(name)
    saved.on_trial_result("a", result(2, 1.0))
    saved.save(str(tmp_path / "state"))
    restored.restore(str(tmp_path / "state"))
    restored.on_trial_result("a", result(2, 1.0))  # it runs again from its checkpoint
    restored.on_trial_result("a", result(3, 4.0))
    restored.on_trial_complete("a", result(3, 4.0))
    assert restored.heard == [
        ("loaded", 3),
        ("t000000", 3, 4.0),
        ("t000000", Outcome(Status.COMPLETED, 3, 1.0)),
    ]


def test_a_state_that_waits_for_its_space_can_be_saved_again(tmp_path: Path) -> None:
    saved, waiting = RandomSearch(SPACE), RandomSearch()
    saved.suggest("a")
    waiting.set_state(saved.get_state())
    waiting.save(str(tmp_path / "again"))
    assert json.loads((tmp_path / "again").read_text()) == saved.get_state()


def test_a_damaged_or_foreign_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_text("{")
    with pytest.raises(SpecError, match="holds no saved searcher"):
        RandomSearch().restore(str(tmp_path / "damaged"))
    SobolSearch(SPACE).save(str(tmp_path / "sobol"))
    with pytest.raises(SpecError, match="is of searcher 'sobol', this is 'random'"):
        RandomSearch(SPACE).restore(str(tmp_path / "sobol"))


def test_points_evaluated_elsewhere_teach_and_take_no_trial() -> None:
    searcher = watched()
    searcher.add_evaluated_point(
        {"lr": 0.5, "net": {"width": 9}}, 1.0, intermediate_values=[3.0, 2.0]
    )
    assert searcher.heard == [
        ("suggested", "given000000"),
        ("given000000", 1, 3.0),
        ("given000000", 2, 2.0),
        ("given000000", 3, 1.0),
        ("given000000", Outcome(Status.COMPLETED, 3, 1.0)),
    ]
    assert searcher.suggest("a") == watched().suggest("a")
    with pytest.raises(SpaceError, match=r"^lr: it is missing"):
        searcher.add_evaluated_point({"net": {"width": 9}}, 1.0)


def test_tunes_wrappers_work_around_it() -> None:
    limited = ConcurrencyLimiter(RandomSearch(SPACE), max_concurrent=2)
    assert limited.suggest("a")
    assert limited.suggest("b")
    assert limited.suggest("c") is None
    limited.on_pause("a")
    limited.on_trial_complete("a", result(1, 1.0))
    assert limited.suggest("d")
    repeated = Repeater(RandomSearch(SPACE, metric="loss", mode="min"), repeat=2)
    one, two = repeated.suggest("a"), repeated.suggest("b")
    assert one["lr"] == two["lr"]


def test_it_travels_by_cloudpickle_when_made() -> None:
    searcher = RandomSearch({"f": tune.choice([lambda: 1, lambda: 2])}, seed=2)
    again = cloudpickle.loads(cloudpickle.dumps(searcher))
    assert again.suggest("a")["f"]() == searcher.suggest("a")["f"]()
