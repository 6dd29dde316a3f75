from __future__ import annotations

import numpy as np
import pytest

from raysweep.searchers.base import Proposal
from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.dehb import crossed, mutant
from raysweep.searchers.setting import Setting
from raysweep.trials.space import Space
from raysweep.trials.streams import Generator, Stream
from raysweep.trials.timetable import Timetable
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.searcher import GOAL

PLANE = Space.from_dict({"x": {"uniform": [0.0, 1.0]}, "y": {"uniform": [0.0, 1.0]}})
LEVELS = (1, 3, 9)
SETTING = Setting(PLANE, 0, GOAL, levels=LEVELS)
TABLE = Timetable(LEVELS, 3)


class Sweep:
    """A sweep of trials that come out at once, by `loss` of config and step."""

    def __init__(self) -> None:
        self.searcher = build_searcher("dehb", {}, SETTING)
        self.configs: list[dict[str, float]] = []
        self.whys: list[dict[str, object]] = []

    def ask(self) -> int:
        number = len(self.configs)
        trial = trial_id(number)
        answer = self.searcher.ask(trial, Stream(0, trial, "ask"))
        assert isinstance(answer, Proposal)
        self.searcher.suggested(trial, answer.config)
        self.configs.append(answer.config)
        self.whys.append(answer.why)
        return number

    def end(self, number: int) -> None:
        trial, step = trial_id(number), TABLE.place(number).step
        loss = loss_of(self.configs[number])
        self.searcher.tell(Report(trial, 1, step, {"loss": loss}, loss))
        self.searcher.end(trial, Outcome(Status.STOPPED, step, loss))

    def run(self, trials: int) -> None:
        for _ in range(trials):
            self.end(self.ask())


def loss_of(config: dict[str, float]) -> float:
    return (config["x"] - 0.3) ** 2 + (config["y"] - 0.7) ** 2


class Draws:
    """A generator whose draws are known."""

    def __init__(self, draws: list[float], axis: int = 0) -> None:
        self._draws, self._axis = draws, axis

    def random(self, count: int) -> np.ndarray:
        return np.array(self._draws[:count])

    def integers(self, low: int, high: int) -> int:
        return self._axis


def known(draws: list[float], axis: int = 0) -> Generator:
    return Draws(draws, axis)  # type: ignore[return-value]  # the two methods that are called


def test_rand1_by_hand() -> None:
    """a + 0.5 (b − c): (0.2 + 0.5·0.4, 0.9 + 0.5·0.6) = (0.4, 1.2); 1.2 is outside and drawn anew."""
    donors = [np.array([0.2, 0.9]), np.array([0.6, 0.8]), np.array([0.2, 0.2])]
    assert mutant(donors, 0.5, known([0.11, 0.22])).tolist() == pytest.approx([0.4, 0.22])


def test_binomial_crossover_by_hand() -> None:
    """Draws below 0.5 take the mutant's axis, the second and fourth; the first by certainty."""
    target, child = np.zeros(4), np.ones(4)
    taken = crossed(target, child, 0.5, known([0.9, 0.1, 0.6, 0.4], axis=0))
    assert taken.tolist() == [1, 1, 0, 1]


def test_the_first_round_promotes_the_best_and_nobody_twice() -> None:
    """R = 9: trials 0 to 8 at step 1, 9 to 11 at step 3 the three best of them, 12 the best of all."""
    sweep = Sweep()
    sweep.run(13)
    order = sorted(range(9), key=lambda n: loss_of(sweep.configs[n]))
    assert sweep.configs[9:12] == [sweep.configs[n] for n in order[:3]]
    assert sweep.configs[12] == sweep.configs[order[0]]
    assert sweep.whys[9]["note"] == "promoted, for step 3, slot 0"


def test_workers_that_ask_ahead_get_the_best_so_far() -> None:
    """Nine are asked for, four have come out when the next rung's first is: the best of the four."""
    sweep = Sweep()
    numbers = [sweep.ask() for _ in range(9)]
    for number in numbers[:4]:
        sweep.end(number)
    best = min(numbers[:4], key=lambda n: loss_of(sweep.configs[n]))
    assert sweep.configs[sweep.ask()] == sweep.configs[best]
    second = sorted(numbers[:4], key=lambda n: loss_of(sweep.configs[n]))[1]
    assert sweep.configs[sweep.ask()] == sweep.configs[second]


def test_nothing_to_promote_is_a_design_point() -> None:
    sweep = Sweep()
    for _ in range(10):
        sweep.ask()
    assert sweep.whys[9]["model"] == "sobol"


def test_after_the_first_round_every_trial_is_a_child_of_its_slot() -> None:
    """20 trials a round; trial 20 is the tenth at step 1, so slot 0 of 9, and its parents come from
    the same fidelity, trial 0 to 8; trial 29, at step 3 and slot 0 of 3, from step 1 as well."""
    sweep = Sweep()
    sweep.run(40)
    assert sweep.whys[20]["note"] == "child, for step 1, slot 0"
    parents = sweep.whys[20]["parents"]
    assert isinstance(parents, list)
    assert set(parents) <= {trial_id(n) for n in range(9)}
    assert parents[0] == trial_id(0)
    assert sweep.whys[29]["note"] == "child, for step 3, slot 0"
    assert all(why["note"].startswith("child") for why in sweep.whys[20:])  # type: ignore[attr-defined]


def test_a_child_that_is_worse_leaves_its_slot_as_it_was() -> None:
    sweep = Sweep()
    sweep.run(60)
    best = min(loss_of(sweep.configs[n]) for n in range(60) if TABLE.place(n).step == 1)
    sweep.run(100)
    later = [loss_of(sweep.configs[n]) for n in range(60, 160) if TABLE.place(n).step == 1]
    assert min(later) <= best
    early = [loss_of(sweep.configs[n]) for n in range(20)]
    assert np.median(later[-9:]) < np.median(early)


def test_choices_and_absent_parameters_need_no_care() -> None:
    space = Space.from_dict({
        "optimizer": {"choice": ["sgd", "adam"]},
        "momentum": {"uniform": [0.0, 0.99], "when": {"optimizer": "sgd"}},
    })  # fmt: skip
    searcher = build_searcher("dehb", {}, Setting(space, 0, GOAL, levels=LEVELS))
    for number in range(60):
        trial = trial_id(number)
        answer = searcher.ask(trial, Stream(0, trial, "ask"))
        assert isinstance(answer, Proposal)
        space.check(answer.config)
        loss = answer.config.get("momentum", 0.5)
        searcher.suggested(trial, answer.config)
        searcher.tell(Report(trial, 1, TABLE.place(number).step, {"loss": loss}, loss))
        searcher.end(trial, Outcome(Status.STOPPED, 1, loss))
