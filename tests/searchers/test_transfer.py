from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.gp_fit import fit
from raysweep.searchers.setting import Earlier, Setting
from raysweep.searchers.transfer import slope
from raysweep.searchers.transfer_tasks import mapped
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import WORST
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.searcher import GOAL, ask

SPACE = Space.from_dict({f"x{i}": {"uniform": [0.0, 1.0]} for i in range(4)})
Loss = Callable[[dict[str, Any]], float]


def bowl(centre: float) -> Loss:
    return lambda config: float(sum((v - centre) ** 2 for v in config.values()))


def sweep_of(loss: Loss, name: str) -> Earlier:
    stream = Stream(7, name)
    configs = tuple(SPACE.sample(stream) for _ in range(50))
    scores = [loss(config) for config in configs]
    return Earlier(name, configs, (*scores[:-1], WORST))


def best_after(searcher: Any, loss: Loss, trials: int, seed: int) -> list[float]:
    reached, best = [], np.inf
    for number in range(trials):
        config = ask(searcher, seed, number)
        score = loss(config)
        searcher.suggested(trial_id(number), config)
        searcher.tell(Report(trial_id(number), 1, 1, {}, score))
        searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, score))
        best = min(best, score)
        reached.append(best)
    return reached


def transfer(earlier: list[Earlier], seed: int) -> Any:
    setting = Setting(SPACE, seed, GOAL, earlier=tuple(earlier))
    return build_searcher("transfer", {"sweeps": ["a"]}, setting)


def cold(seed: int) -> Any:
    return build_searcher("gp", {}, Setting(SPACE, seed, GOAL))


def test_similar_sweeps_save_trials() -> None:
    earlier = [sweep_of(bowl(c), f"s{c}") for c in (0.68, 0.72, 0.1)]
    warm = np.mean([best_after(transfer(earlier, s), bowl(0.7), 8, s) for s in range(3)], axis=0)
    blind = np.mean([best_after(cold(s), bowl(0.7), 8, s) for s in range(3)], axis=0)
    assert warm[4] < blind[4]
    assert warm[7] < 0.5 * blind[7]


def test_misleading_sweeps_cost_a_few_trials_at_most() -> None:
    """The earlier sweeps' losses are the negated ones: what was best there is worst here."""
    earlier = [sweep_of(lambda c: -bowl(0.7)(c), f"against{i}") for i in range(3)]
    warm = np.mean([best_after(transfer(earlier, s), bowl(0.7), 26, s) for s in range(2)], axis=0)
    blind = np.mean([best_after(cold(s), bowl(0.7), 20, s) for s in range(2)], axis=0)
    assert warm[25] <= blind[19] + 0.02  # six trials later


def test_a_plateau_that_misleading_sweeps_like_is_left() -> None:
    """Equal results say nothing of how earlier sweeps rank them; 0.5 would mean it was stuck."""

    def loss(config: dict[str, Any]) -> float:
        return min(0.5, bowl(0.7)(config))

    earlier = [sweep_of(lambda c: -bowl(0.7)(c), f"against{i}") for i in range(3)]
    warm = [best_after(transfer(earlier, s), loss, 18, s)[-1] for s in range(2)]
    assert max(warm) < 0.15


def test_every_third_of_the_first_trials_is_a_fresh_one_and_all_are_where_it_is_best() -> None:
    earlier = [sweep_of(bowl(0.1), "there")]

    def models(loss: Loss, trials: int) -> list[str]:
        searcher, named = transfer(earlier, 3), []
        for number in range(trials):
            answer = searcher.ask(trial_id(number), Stream(3, trial_id(number), "ask"))
            score = loss(answer.config)
            named.append(answer.why["model"])
            searcher.suggested(trial_id(number), answer.config)
            searcher.tell(Report(trial_id(number), 1, 1, {}, score))
            searcher.end(trial_id(number), Outcome(Status.COMPLETED, 1, score))
        return named

    first = ["portfolio", "portfolio", "sobol"]
    assert models(bowl(0.1), 5) == [*first, "portfolio", "portfolio"]
    assert models(lambda c: -bowl(0.1)(c), 5) == [*first, "sobol", "sobol"]


@pytest.mark.parametrize(("factor", "least", "most"), [(2.0, 1.2, 2.2), (-2.0, 0.0, 0.0)])
def test_the_slope_is_what_the_results_show_and_never_negative(
    factor: float, least: float, most: float
) -> None:
    generator = Stream(0, "slope").generator()
    columns = generator.random((25, 2))
    expected = columns[:, 0] - columns[:, 1] ** 2
    targets = factor * expected + 0.05 * generator.standard_normal(25)
    process = fit(columns, np.arange(2), targets - targets.mean())
    assert least <= slope(process, expected, targets - targets.mean()) <= most


def test_replay_gives_the_same_next_proposal() -> None:
    earlier = [sweep_of(bowl(0.5), "one")]
    first, again = transfer(earlier, 1), transfer(earlier, 1)
    best_after(first, bowl(0.4), 9, 1)
    again.load(json.loads(json.dumps(first.state())))
    assert ask(again, 1, 9) == ask(first, 1, 9)


def test_a_sweep_without_results_is_refused() -> None:
    with pytest.raises(SpecError, match="no earlier sweep has three results or more"):
        transfer([Earlier("empty", (), ())], 0)


def test_configs_are_mapped_by_name() -> None:
    space = Space.from_dict(
        {
            "lr": {"loguniform": [1e-3, 1e-1]},
            "kind": {"choice": ["a", "b"]},
            "new": {"uniform": [0, 2]},
        }
    )
    assert mapped({"lr": 1.0, "kind": "b", "gone": 3}, space) == {
        "lr": 0.1,
        "kind": "b",
        "new": 1.0,
    }
    assert mapped({"lr": 0.01, "kind": "c"}, space) is None
