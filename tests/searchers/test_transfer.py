from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.setting import Earlier, Setting
from raysweep.searchers.transfer import mapped
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
    warm = np.mean([best_after(transfer(earlier, s), bowl(0.7), 26, s) for s in range(3)], axis=0)
    blind = np.mean([best_after(cold(s), bowl(0.7), 20, s) for s in range(3)], axis=0)
    assert warm[25] <= blind[19] + 0.02  # six trials later


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
