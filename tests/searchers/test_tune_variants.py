from __future__ import annotations

import random  # noqa: TID251 - users' sample_from functions draw from it
from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.tune.experiment import Experiment
from ray.tune.search.basic_variant import BasicVariantGenerator

from raysweep.searchers.tune_space import TuneSpace
from raysweep.searchers.tune_variants import Variants
from raysweep.trials.errors import SpaceError, SpecError
from raysweep.trials.streams import Stream
from raysweep.trials.trial import trial_id

GRIDS: dict[str, Any] = {
    "lr": tune.loguniform(1e-4, 1e-1),
    "g": tune.grid_search([1, 2, 3]),
    "net": {"act": tune.grid_search(["relu", "tanh"]), "width": tune.qrandint(8, 64, 8)},
    "constant": 5,
    "listed": [tune.uniform(0, 1), 3],
    "tenfold": tune.sample_from(lambda spec: spec.config.g * 10),
    "array": tune.sample_from(lambda: float(np.random.uniform())),  # noqa: NPY002, TID251 - as users do
    "plain": tune.sample_from(lambda: random.uniform(0, 1)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "constant": {"constant_grid_search": True},
    "points": {"points_to_evaluate": [{"g": 2, "net": {"width": 16}}, {"lr": 0.01}]},
}


def by_tune(param_space: dict[str, Any], num_samples: int, **options: Any) -> list[dict[str, Any]]:
    """All the configs that Tune makes."""
    generator = BasicVariantGenerator(**options)
    experiment = Experiment("x", lambda config: None, config=param_space, num_samples=num_samples)
    generator.add_configurations([experiment])
    configs = []
    while trial := generator.next_trial():
        configs.append(trial.config)
    return configs


def ask(variants: Variants, number: int) -> dict[str, Any] | None:
    return variants.ask(trial_id(number), Stream(0))


def all_of(variants: Variants, space: TuneSpace, most: int = 100) -> list[dict[str, Any]]:
    configs = []
    for number in range(most):
        config = ask(variants, number)
        if config is None:
            break
        space.space.check(config)
        configs.append(space.nested(config))
    return configs


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.filterwarnings("ignore::UserWarning:ray")
class TestAsTune:
    def test_the_grid_comes_in_tune_s_order_as_often_as_in_tune(self, kind: str) -> None:
        space = TuneSpace(GRIDS)
        expected = by_tune(GRIDS, 3, **OPTIONS[kind])
        variants = Variants(space, 3, **OPTIONS[kind])
        configs = all_of(variants, space)
        assert len(configs) == len(expected) == variants.count

        def fixed(config: dict[str, Any]) -> tuple[Any, ...]:
            return (config["g"], config["net"]["act"], config["tenfold"], config["constant"])

        assert [fixed(config) for config in configs] == [fixed(config) for config in expected]

    def test_a_variant_does_not_hang_on_what_was_asked_before(self, kind: str) -> None:
        space = TuneSpace(GRIDS)
        straight = Variants(space, 3, seed=4, **OPTIONS[kind])
        expected = [ask(straight, n) for n in range(14)]
        for number in (13, 2, 7):
            random.seed(number)
            assert ask(Variants(space, 3, seed=4, **OPTIONS[kind]), number) == expected[number]
        assert len({str(config) for config in expected}) == 14

    def test_another_seed_draws_others(self, kind: str) -> None:
        space = TuneSpace(GRIDS)
        one, other = (ask(Variants(space, 3, seed=seed, **OPTIONS[kind]), 2) for seed in (1, 2))
        assert one is not None
        assert other is not None
        assert all(one[name] != other[name] for name in ("array", "plain"))


def test_points_are_taken_as_they_are() -> None:
    space = TuneSpace(GRIDS)
    configs = all_of(Variants(space, 3, **OPTIONS["points"]), space)
    assert [config["net"]["act"] for config in configs[:2]] == ["relu", "tanh"]
    assert all(config["g"] == 2 and config["net"]["width"] == 16 for config in configs[:2])
    assert all(config["lr"] == 0.01 for config in configs[2:8])
    assert len({config["lr"] for config in configs[8:]}) == 6


def test_more_points_than_samples_all_count() -> None:
    """Source: `_TrialIterator.__next__`: points first, whatever num_samples says."""
    points = [{"x": 0.25}, {"x": 0.5}, {"x": 0.75}]
    param_space = {"x": tune.uniform(0, 1)}
    space = TuneSpace(param_space)
    configs = all_of(Variants(space, 1, points_to_evaluate=points), space)
    assert configs == points == by_tune(param_space, 1, points_to_evaluate=points)


def test_random_values_stay_the_same_throughout_a_pass_on_demand() -> None:
    space = TuneSpace(GRIDS)
    configs = all_of(Variants(space, 2, constant_grid_search=True), space)
    for one_pass in (configs[:6], configs[6:]):
        assert len({config["lr"] for config in one_pass}) == 1
        assert len({config["tenfold"] for config in one_pass}) == 3
    assert configs[0]["lr"] != configs[6]["lr"]


def test_grids_inside_of_options_are_passed_through() -> None:
    param_space = {"opt": tune.grid_search([{"sgd": tune.grid_search([1, 2])}, {"adam": 3}])}
    expected = by_tune(param_space, 2)
    space = TuneSpace.open(param_space)
    variants = Variants(space, 2)
    assert all_of(variants, space) == expected
    assert variants.count == len(expected) == 6


def test_without_end() -> None:
    space = TuneSpace({"x": tune.uniform(0, 1), "g": tune.grid_search(["a", "b"])})
    variants = Variants(space, -1)
    assert variants.count is None
    far = ask(variants, 10**9 + 1)
    assert far is not None
    assert far["g"] == "b"
    assert far != ask(variants, 10**9 + 3)


def test_there_is_nothing_to_remember() -> None:
    space = TuneSpace({"x": tune.uniform(0, 1)})
    variants, resumed = Variants(space, 5), Variants(space, 5)
    config = ask(variants, 0)
    assert config is not None
    variants.suggested("t000000", config)
    resumed.load(variants.state())
    assert [ask(resumed, n) for n in range(6)] == [ask(variants, n) for n in range(6)]
    assert ask(resumed, 5) is None


def test_the_driver_s_generators_are_left_alone() -> None:
    random.seed(1)
    before = random.getstate()
    ask(Variants(TuneSpace(GRIDS), 1), 0)
    assert random.getstate() == before


def test_what_makes_no_sense_is_refused() -> None:
    space = TuneSpace({"x": tune.uniform(0, 1)})
    with pytest.raises(SpecError, match="num_samples is 0; it must be 1 or more, or -1"):
        Variants(space, 0)
    with pytest.raises(SpaceError, match=r"'y' is not in param_space; .*allowed: x"):
        Variants(space, 1, points_to_evaluate=[{"y": 1}])
