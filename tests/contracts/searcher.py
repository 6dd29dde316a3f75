"""What every searcher must do; a searcher's tests inherit `SearcherContract`."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings

import raysweep
from raysweep.searchers.base import Proposal, Searcher
from raysweep.searchers.catalog import build_searcher
from raysweep.searchers.setting import Setting
from raysweep.trials.goal import WORST, Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.contracts.spaces import spaces

SPACES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "continuous": ({"lr": {"loguniform": [1e-4, 1e-1]}, "drop": {"uniform": [0, 0.9]}}, []),
    "conditional": (
        {
            "optimizer": {"choice": ["sgd", "adam", "lion"]},
            "momentum": {"uniform": [0.0, 0.99], "when": {"optimizer": ["sgd", "lion"]}},
            "nesterov": {"choice": [True, False], "when": {"optimizer": "sgd"}},
            "net": {"width": {"lograndint": [16, 256]}, "act": "relu"},
        },
        [],
    ),
    "constrained": (
        {"lr": {"loguniform": [1e-4, 1e-1]}, "width": {"lograndint": [16, 256]}},
        ["lr * width <= 1", "width % 2 == 0"],
    ),
    "finite": ({"a": {"randint": [1, 6]}, "b": {"choice": ["x", "y"]}, "c": {"quniform": [0, 1, 0.25]}}, []),
}  # fmt: skip

_ELSEWHERE = """
import json, sys
from tests.contracts.searcher import SearcherContract, space_named
asked = {}
for job in json.loads(sys.stdin.read()):
    name, options, kind = json.loads(job)
    contract = type(name, (SearcherContract,), {"name": name, "options": options})()
    asked[job] = contract.live(contract.make(space_named(kind), 7), 7, range(8), [])
print(json.dumps(asked))
"""


def stream(seed: int, number: int) -> Stream:
    return Stream(seed, trial_id(number), "ask")


def space_named(name: str) -> Space:
    return Space.from_dict(*SPACES[name])


GOAL = Goal((("loss", "min"),))
OWN_CLASSES = [HealthCheck.differing_executors, HealthCheck.too_slow]
"""One property, checked in the class of every searcher."""


def ask(searcher: Searcher, seed: int, number: int) -> dict[str, Any]:
    """The config that a searcher proposes for the `number`-th trial; there has to be one."""
    answer = searcher.ask(trial_id(number), stream(seed, number))
    if isinstance(answer, Proposal):
        json.dumps(answer.why, allow_nan=False)
        answer = answer.config
    assert isinstance(answer, dict)
    return answer


def score(config: dict[str, Any]) -> float:
    """Any smooth-ish number will do, so long as it depends on the config alone."""
    return sum(len(str(value)) for value in config.values()) + float(config.get("lr", 0.0))


@cache
def elsewhere() -> dict[str, list[dict[str, Any]]]:
    """What every searcher under contract proposes in a process of its own, by `job`."""
    jobs = [
        one.job(kind) for one in SearcherContract.__subclasses__() for kind in SearcherContract.AFAR
    ]
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE],
        input=json.dumps(jobs),
        cwd=Path(raysweep.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    asked: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return asked


class SearcherContract:
    """Set `name` and, where the searcher needs them, `options`."""

    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    AFAR: ClassVar[tuple[str, ...]] = ("conditional", "constrained")

    @classmethod
    def job(cls, kind: str) -> str:
        return json.dumps([cls.name, cls.options, kind])

    def make(self, space: Space, seed: int) -> Searcher:
        return build_searcher(self.name, self.options, Setting(space, seed, GOAL))

    def live(
        self, searcher: Searcher, seed: int, numbers: range, journal: list[tuple[str, Any]]
    ) -> list[dict[str, Any]]:
        """Run trials one after the other, journalling what was told."""
        configs = []
        for n in numbers:
            config = ask(searcher, seed, n)
            configs.append(config)
            report = Report(trial_id(n), 1, 1, {}, score(config) if n % 5 else WORST)
            for call, args in (
                ("suggested", (trial_id(n), config)),
                ("tell", (report,)),
                ("end", (trial_id(n), Outcome(Status.COMPLETED, 1, report.score))),
            ):
                getattr(searcher, call)(*args)
                journal.append((call, args))
        return configs

    @pytest.mark.parametrize("kind", SPACES)
    def test_every_config_is_of_the_space(self, kind: str) -> None:
        space = space_named(kind)
        for config in self.live(self.make(space, 3), 3, range(18), []):
            space.check(config)
            assert json.loads(json.dumps(config)) == config

    @settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=OWN_CLASSES)
    @given(written=spaces())
    def test_no_config_leaves_a_space_or_its_constraints(
        self, written: tuple[dict[str, Any], list[str]]
    ) -> None:
        self._stays_inside(written, trials=9)

    @pytest.mark.slow
    @settings(max_examples=100, deadline=None, suppress_health_check=OWN_CLASSES)
    @given(written=spaces())
    def test_no_config_leaves_any_of_many_spaces(
        self, written: tuple[dict[str, Any], list[str]]
    ) -> None:
        self._stays_inside(written, trials=14)

    def _stays_inside(self, written: tuple[dict[str, Any], list[str]], trials: int) -> None:
        space = Space.from_dict(*written)
        for config in self.live(self.make(space, 4), 4, range(trials), []):
            space.check(config)

    @pytest.mark.parametrize("kind", SPACES)
    def test_asking_again_for_the_same_trial_gives_the_same_config(self, kind: str) -> None:
        searcher = self.make(space_named(kind), 1)
        self.live(searcher, 1, range(4), [])
        first = ask(searcher, 1, 4)
        ask(searcher, 1, 5)
        assert ask(searcher, 1, 4) == first

    @pytest.mark.parametrize("kind", SPACES)
    def test_asking_teaches_nothing(self, kind: str) -> None:
        space = space_named(kind)
        asked, fresh = self.make(space, 1), self.make(space, 1)
        for searcher in (asked, fresh):
            self.live(searcher, 1, range(4), [])
        before = asked.state()
        for n in range(4, 14):
            ask(asked, 1, n)
        assert asked.state() == before == fresh.state()

    def test_ten_asked_ahead_are_distinct_where_the_space_is_continuous(self) -> None:
        searcher = self.make(space_named("continuous"), 2)
        configs = [ask(searcher, 2, n) for n in range(10)]
        assert len({json.dumps(config, sort_keys=True) for config in configs}) == 10

    @pytest.mark.parametrize("kind", AFAR)
    def test_the_same_seed_gives_the_same_configs_in_another_process(self, kind: str) -> None:
        here = self.live(self.make(space_named(kind), 7), 7, range(8), [])
        assert elsewhere()[self.job(kind)] == here

    @pytest.mark.parametrize("kind", SPACES)
    def test_a_resume_goes_on_as_if_nothing_had_happened(self, kind: str) -> None:
        """From a state that went through JSON, and from the journal alone."""
        space = space_named(kind)
        journal: list[tuple[str, Any]] = []
        searcher, loaded, replayed = (self.make(space, 5) for _ in range(3))
        self.live(searcher, 5, range(12), journal)
        loaded.load(json.loads(json.dumps(searcher.state(), allow_nan=False)))
        for call, args in journal:
            getattr(replayed, call)(*args)
        assert replayed.state() == searcher.state()
        onwards = [self.live(one, 5, range(12, 16), []) for one in (searcher, loaded, replayed)]
        assert onwards[0] == onwards[1] == onwards[2]

    def test_unknown_trials_and_worst_scores_are_tolerated(self) -> None:
        space = space_named("conditional")
        searcher = self.make(space, 0)
        searcher.tell(Report("from-elsewhere", 1, 3, {"loss": None}, WORST))
        searcher.end("from-elsewhere", Outcome(Status.FAILED, 3, WORST))
        for n in range(12):
            config = ask(searcher, 0, n)
            searcher.suggested(trial_id(n), config)
            searcher.tell(Report(trial_id(n), 1, 1, {}, WORST))
            searcher.end(trial_id(n), Outcome(Status.FAILED, 1, WORST))
        config = ask(searcher, 0, 12)
        space.check(config)

    def test_a_config_from_elsewhere_is_tolerated(self) -> None:
        """A user may queue configs of their own; they are suggested without being asked for."""
        space = space_named("conditional")
        searcher = self.make(space, 0)
        own = {"net/act": "relu", "net/width": 77, "optimizer": "adam"}
        searcher.suggested("t000000", own)
        config = ask(searcher, 0, 1)
        space.check(config)
