"""Searching among recorded configs: each once, the nearest first, and the truth is what is told."""

from __future__ import annotations

from typing import Any

from raysweep.searchers.among import Among, Pool
from raysweep.searchers.base import LATER, Answer, Proposal
from raysweep.searchers.random_search import RandomSearch
from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status

SPACE = Space.from_dict(
    {
        "kind": {"choice": ["plain", "deep"]},
        "x": {"uniform": [0.0, 1.0]},
        "depth": {"uniform": [0.0, 1.0], "when": {"kind": "deep"}},
    }
)
CONFIGS = [
    {"kind": "plain", "x": 0.1},
    {"kind": "plain", "x": 0.9},
    {"kind": "deep", "x": 0.1, "depth": 0.5},
]
GOAL = Goal((("loss", "min"),))


class Listener:
    """Proposes what it is given, in turn, and keeps what it is told."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.told = list(answers), list[Any]()

    def ask(self, trial: str, stream: Stream) -> Answer:
        return self.answers.pop(0)

    def suggested(self, trial: str, config: Any) -> None:
        self.told.append((trial, dict(config)))

    def tell(self, report: Report) -> None:
        self.told.append(report.step)

    def end(self, trial: str, outcome: Outcome) -> None:
        self.told.append(outcome.status)

    def state(self) -> dict[str, Any]:
        return {"told": len(self.told)}

    def load(self, state: dict[str, Any]) -> None:
        self.told = [None] * state["told"]


def rows(among: Among, count: int) -> list[int | None]:
    found = []
    for number in range(count):
        answer = among.ask(f"t{number}", Stream(0, f"t{number}", "ask"))
        found.append(answer.config["row"] if isinstance(answer, Proposal) else None)
    return found


def test_the_nearest_that_is_left_is_taken_and_none_twice() -> None:
    near = {"kind": "plain", "x": 0.2}
    inner = Listener(near, Proposal(near, {"model": "mine"}), near, near)
    among = Among(Pool(SPACE, CONFIGS), inner, "row")
    assert rows(among, 4) == [0, 1, 2, None]


def test_without_a_searcher_they_come_as_they_stand() -> None:
    assert rows(Among(Pool(SPACE, CONFIGS), None, "row"), 4) == [0, 1, 2, None]


def test_a_parameter_that_only_one_config_has_counts_as_a_whole_axis() -> None:
    pool = Pool(SPACE, CONFIGS)
    assert pool.nearest({"kind": "deep", "x": 0.1, "depth": 0.5}) == 2
    assert pool.nearest({"kind": "deep", "x": 0.3, "depth": 0.0}) == 2
    pool.take(2)
    assert pool.nearest({"kind": "deep", "x": 0.6, "depth": 0.0}) == 1
    assert len(pool) == 2


def test_the_searcher_learns_of_the_recorded_config_and_of_no_row() -> None:
    inner = Listener(Proposal({"kind": "plain", "x": 0.8}, {"model": "mine"}))
    among = Among(Pool(SPACE, CONFIGS), inner, "row")
    answer = among.ask("t0", Stream(0, "t0"))
    assert answer == Proposal({"kind": "plain", "x": 0.9, "row": 1}, {"model": "mine"})
    assert isinstance(answer, Proposal)
    among.suggested("t0", answer.config)
    among.tell(Report("t0", 1, 3, {"loss": 1.0}, 1.0, 1.0))
    among.end("t0", Outcome(Status.COMPLETED, 3, 1.0))
    assert inner.told == [("t0", {"kind": "plain", "x": 0.9}), 3, Status.COMPLETED]
    assert among.state() == {"told": 3}


def test_what_the_searcher_has_not_is_passed_on() -> None:
    assert rows(Among(Pool(SPACE, CONFIGS), Listener(None), "row"), 1) == [None]
    among = Among(Pool(SPACE, CONFIGS), Listener(LATER), "row")
    assert among.ask("t0", Stream(0, "t0")) is LATER


def test_random_search_among_them_is_a_random_order() -> None:
    orders = {
        tuple(
            Among(Pool(SPACE, CONFIGS), RandomSearch(SPACE), "row").ask("t0", Stream(seed, "t0"))[0]["row"]
            for _ in range(1)
        )
        for seed in range(30)
    }  # fmt: skip
    assert orders == {(0,), (1,), (2,)}
