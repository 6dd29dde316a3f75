from __future__ import annotations

import json
import math
import random  # noqa: TID251 - users' searchers draw from it
from collections.abc import Callable
from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import HyperBandScheduler
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter, Repeater, SearchGenerator
from ray.tune.search.hyperopt import HyperOptSearch
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.searcher import Searcher

from raysweep.cluster.simulated import Machine
from raysweep.orchestrator.budget import Budget
from raysweep.orchestrator.rules import Rules
from raysweep.orchestrator.state import SweepState
from raysweep.schedulers.tune_guest import TuneSchedulerGuest
from raysweep.searchers.base import LATER
from raysweep.searchers.tune_guest import TuneGuest
from raysweep.searchers.tune_space import TuneSpace
from raysweep.trials.errors import SpecError
from raysweep.trials.goal import Goal
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id
from tests.orchestrator.harness import Memory, run

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

GOAL = Goal((("loss", "min"),))
PARAM_SPACE: dict[str, Any] = {
    "lr": tune.loguniform(1e-4, 1e-1),
    "net": {"width": tune.randint(8, 64), "act": tune.choice(["relu", "tanh"])},
    "epochs": 3,
}


class Remembers(Searcher):
    """A user's own: draws from the global generator and notes every call."""

    def __init__(self, limit: int = 1000, answers: list[Any] | None = None) -> None:
        super().__init__()
        self.heard: list[tuple[Any, ...]] = []
        self._limit, self._answers = limit, answers

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        self.heard.append(("properties", metric, mode, sorted(config), spec["num_samples"]))
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._answers:
            answer: dict[str, Any] | str | None = self._answers.pop(0)
            return answer
        self._limit -= 1
        return {"x": random.random()} if self._limit >= 0 else Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.heard.append(("result", trial_id, result))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self.heard.append(("complete", trial_id, result, error))

    def on_pause(self, trial_id: str) -> None:
        self.heard.append(("pause", trial_id))

    def on_unpause(self, trial_id: str) -> None:
        self.heard.append(("unpause", trial_id))


def stream(number: int) -> Stream:
    return Stream(0, trial_id(number), "ask")


def guest(searcher: Any, param_space: dict[str, Any] | None = None) -> TuneGuest:
    return TuneGuest(searcher, TuneSpace(param_space or PARAM_SPACE), GOAL)


def own(limit: int = 1000, answers: list[Any] | None = None) -> tuple[Remembers, TuneGuest]:
    searcher = Remembers(limit, answers)
    made = guest(searcher, {"x": tune.uniform(0, 1)})
    searcher.heard.clear()
    return searcher, made


def report(trial: str, step: int, loss: float | None) -> Report:
    return Report(trial, 1, step, {"loss": loss, "note": 1}, math.inf if loss is None else loss)


def score(config: dict[str, Any]) -> float:
    return abs(math.log10(config["lr"]) + 2.5) + config["net/width"] / 64


def live(made: TuneGuest, numbers: range, journal: list[tuple[str, Any]]) -> list[Any]:
    """Two trials at a time, each of two reports; every seventh fails, one in five is NaN."""
    configs: list[Any] = []
    for first in range(numbers.start, numbers.stop, 2):
        pair = [(trial_id(n), made.ask(trial_id(n), stream(n))) for n in (first, first + 1)]
        calls: list[tuple[str, Any]] = [("suggested", pair_of) for pair_of in pair]
        for trial, config in pair:
            assert isinstance(config, dict)
            last = math.nan if int(trial[1:]) % 5 == 4 else score(config)
            for step, loss in ((1, 2 * score(config)), (2, last)):
                calls.append(("tell", (report(trial, step, loss),)))
            status = Status.FAILED if int(trial[1:]) % 7 == 6 else Status.COMPLETED
            calls.append(("end", (trial, Outcome(status, 2, score(config)))))
        for call, args in calls:
            getattr(made, call)(*args)
            journal.append((call, args))
        configs += [config for _, config in pair]
    return configs


SEEDED: dict[str, Callable[[], Any]] = {
    "optuna": lambda: OptunaSearch(seed=3),
    "hyperopt": lambda: HyperOptSearch(random_state_seed=3, n_initial_points=5),
    "limited": lambda: ConcurrencyLimiter(OptunaSearch(seed=3), max_concurrent=3),
    "batched": lambda: ConcurrencyLimiter(OptunaSearch(seed=3), max_concurrent=2, batch=True),
    "generator": lambda: SearchGenerator(OptunaSearch(seed=3)),
}


@pytest.mark.parametrize("kind", SEEDED)
class TestSeeded:
    """What a seeded searcher suggests after a resume is what it would have suggested without."""

    def test_configs_are_of_the_space_and_asking_again_gives_the_same(self, kind: str) -> None:
        made = guest(SEEDED[kind]())
        space = TuneSpace(PARAM_SPACE)
        config = made.ask("t000000", stream(0))
        assert isinstance(config, dict)
        space.space.check(config)
        assert made.ask("t000000", stream(0)) == config
        assert json.loads(json.dumps(config)) == config
        assert space.nested(config)["net"]["act"] in ("relu", "tanh")

    def test_resumed_from_its_state(self, kind: str) -> None:
        straight, resumed = guest(SEEDED[kind]()), guest(SEEDED[kind]())
        live(straight, range(24), [])
        resumed.load(json.loads(json.dumps(straight.state(), allow_nan=False)))
        assert resumed.unrestored == 0
        assert resumed.state() == json.loads(json.dumps(straight.state()))
        assert live(resumed, range(24, 32), []) == live(straight, range(24, 32), [])

    def test_resumed_from_the_journal(self, kind: str) -> None:
        straight, resumed = guest(SEEDED[kind]()), guest(SEEDED[kind]())
        journal: list[tuple[str, Any]] = []
        live(straight, range(24), journal)
        for call, args in journal:
            getattr(resumed, call)(*args)
        assert resumed.unrestored == 0
        assert live(resumed, range(24, 32), []) == live(straight, range(24, 32), [])

    def test_resumed_from_a_state_in_the_middle_of_trials(self, kind: str) -> None:
        straight, resumed = guest(SEEDED[kind]()), guest(SEEDED[kind]())
        live(straight, range(12), [])
        config = straight.ask("t000012", stream(12))
        assert isinstance(config, dict)
        straight.suggested("t000012", config)
        straight.tell(report("t000012", 1, 0.5))
        resumed.load(json.loads(json.dumps(straight.state())))
        for made in (straight, resumed):
            made.tell(report("t000012", 2, 0.25))
            made.end("t000012", Outcome(Status.STOPPED, 2, 0.25))
        assert live(resumed, range(14, 20), []) == live(straight, range(14, 20), [])


def test_a_searcher_without_a_seed_is_taught_what_it_does_not_suggest_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    straight, resumed = guest(OptunaSearch()), guest(searcher := OptunaSearch())
    configs = live(straight, range(12), [])
    resumed.load(straight.state())
    assert resumed.unrestored == 12
    assert caplog.text.count("give it a seed") == 1
    known = [t for t in searcher._ot_study.trials if t.state.name == "COMPLETE"]
    assert len(known) == 9  # 12, less the failed trial 6 and the NaNs of 4 and 9
    taught = {(t.params["lr"], t.params["net/width"], t.value) for t in known}
    expected = {
        (c["lr"], c["net/width"], score(c)) for n, c in enumerate(configs) if n not in (4, 6, 9)
    }
    assert taught == expected


def test_a_user_s_searcher_that_draws_globally_is_restored_exactly() -> None:
    random.seed(1)
    _, straight = own()
    first = [straight.ask(trial_id(n), stream(n)) for n in range(3)]
    random.seed(2)
    before = random.getstate()
    _, resumed = own()
    for n, config in enumerate(first):
        assert isinstance(config, dict)
        resumed.suggested(trial_id(n), config)
    assert resumed.unrestored == 0
    assert random.getstate() == before, "the driver's own generator is left alone"


def test_the_order_of_calls_is_tune_s() -> None:
    """Source: ray.tune.execution.tune_controller, `_process_trial_result` and `stop_trial`."""
    searcher, made = own()
    config = made.ask("t000000", stream(0))
    assert isinstance(config, dict)
    made.suggested("t000000", config)
    for step in (1, 2, 3):
        made.tell(report("t000000", step, 1.0 / step))
    made.end("t000000", Outcome(Status.STOPPED, 3, 1 / 3))
    names = [call[0] for call in searcher.heard]
    assert names == ["result", "result", "complete"]
    assert searcher.heard[0][2] == {
        "loss": 1.0, "note": 1, "training_iteration": 1, "trial_id": "t000000", "done": False,
        "config/x": config["x"],
    }  # fmt: skip
    _, trial, result, error = searcher.heard[-1]
    assert (trial, result["loss"], result["training_iteration"], result["done"], error) == (
        "t000000", 1 / 3, 3, True, False,
    )  # fmt: skip


@pytest.mark.parametrize(("status", "loss"), [(Status.FAILED, 1.0), (Status.COMPLETED, math.nan)])
def test_what_failed_or_has_no_number_completes_as_an_error(status: Status, loss: float) -> None:
    searcher, made = own()
    made.suggested("t000000", made.ask("t000000", stream(0)))  # type: ignore[arg-type]  # a dict
    made.tell(report("t000000", 1, loss))
    made.end("t000000", Outcome(status, 1, loss))
    assert searcher.heard[-1] == ("complete", "t000000", None, True)


def test_finished_is_the_end_and_none_is_later() -> None:
    _, made = own(limit=1, answers=[None, {"x": 0.5}])
    assert made.ask("t000000", stream(0)) is LATER
    assert made.ask("t000000", stream(0)) == {"x": 0.5}
    assert made.ask("t000001", stream(1)) != LATER
    assert made.ask("t000002", stream(2)) is None


def test_a_suggestion_outside_the_space_fails_and_frees_its_place() -> None:
    searcher, made = own(answers=[{"x": 7.0}])
    with pytest.raises(Exception, match="x: got 7"):
        made.ask("t000000", stream(0))
    assert searcher.heard == [("complete", "t000000", None, True)]


def test_a_limit_on_concurrency_is_kept() -> None:
    made = guest(ConcurrencyLimiter(OptunaSearch(seed=1), max_concurrent=2))
    configs = [made.ask(trial_id(n), stream(n)) for n in range(3)]
    assert configs[2] is LATER
    for n in range(2):
        made.suggested(trial_id(n), configs[n])  # type: ignore[arg-type]  # a dict
    made.tell(report("t000000", 1, 0.5))
    assert made.ask("t000002", stream(2)) is LATER
    made.end("t000000", Outcome(Status.COMPLETED, 1, 0.5))
    assert isinstance(made.ask("t000002", stream(2)), dict)


def test_a_batch_waits_for_all_of_it() -> None:
    made = guest(ConcurrencyLimiter(OptunaSearch(seed=1), max_concurrent=2, batch=True))
    for n in range(2):
        made.suggested(trial_id(n), made.ask(trial_id(n), stream(n)))  # type: ignore[arg-type]
    for n, after in ((0, False), (1, True)):
        made.tell(report(trial_id(n), 1, 0.5))
        made.end(trial_id(n), Outcome(Status.COMPLETED, 1, 0.5))
        assert isinstance(made.ask("t000002", stream(2)), dict) is after


def test_a_trial_that_its_scheduler_dropped_gives_its_place_back_after_a_resume_too() -> None:
    def make() -> TuneGuest:
        return guest(ConcurrencyLimiter(OptunaSearch(seed=1), max_concurrent=1))

    made, resumed = make(), make()
    made.suggested("t000000", made.ask("t000000", stream(0)))  # type: ignore[arg-type]  # a dict
    made.tell(report("t000000", 1, 0.5))
    assert made.ask("t000001", stream(1)) is LATER
    made.dropped("t000000")
    resumed.load(json.loads(json.dumps(made.state())))
    assert resumed.ask("t000001", stream(1)) == made.ask("t000001", stream(1)) != LATER


def test_repeats_share_a_config_and_carry_an_index() -> None:
    space = TuneSpace.open({"x": tune.uniform(0, 1)})
    made = TuneGuest(Repeater(OptunaSearch(seed=1), repeat=2), space, GOAL)
    configs = []
    for n in range(4):
        config = made.ask(trial_id(n), stream(n))
        assert isinstance(config, dict)
        made.suggested(trial_id(n), config)
        configs.append(space.nested(config))
    assert [config["__trial_index__"] for config in configs] == [0, 1, 0, 1]
    assert configs[0]["x"] == configs[1]["x"] != configs[2]["x"] == configs[3]["x"]


def test_it_hears_of_pauses() -> None:
    searcher, made = own()
    made.suggested("t000000", made.ask("t000000", stream(0)))  # type: ignore[arg-type]  # a dict
    made.paused("t000000")
    made.resumed("t000000")
    assert searcher.heard == [("pause", "t000000"), ("unpause", "t000000")]


def test_a_limiter_around_a_searcher_without_these_hooks_is_left_alone() -> None:
    made = guest(ConcurrencyLimiter(OptunaSearch(seed=1), max_concurrent=2))
    made.suggested("t000000", made.ask("t000000", stream(0)))  # type: ignore[arg-type]  # a dict
    made.paused("t000000")
    made.resumed("t000000")
    assert len(made.state()["calls"]) == 1


def test_it_is_told_what_tune_would_tell_it() -> None:
    searcher = Remembers()
    TuneGuest(searcher, TuneSpace({"x": tune.uniform(0, 1)}), GOAL, num_samples=7)
    assert searcher.heard == [("properties", "loss", "min", ["x"], 7)]


def test_strangers_are_tolerated() -> None:
    searcher, made = own()
    made.tell(report("from-elsewhere", 1, 0.5))
    made.end("from-elsewhere", Outcome(Status.FAILED, 1, 0.5))
    made.dropped("from-elsewhere")
    assert searcher.heard == []


def test_what_is_no_searcher_is_refused() -> None:
    with pytest.raises(SpecError, match="leave search_alg away"):
        guest(BasicVariantGenerator())
    with pytest.raises(SpecError, match="search_alg is a dict; allowed are"):
        guest({})


def test_a_space_that_the_searcher_cannot_search_is_refused() -> None:
    with pytest.raises(SpecError, match="OptunaSearch cannot search this param_space: Grid"):
        guest(OptunaSearch(), {"x": tune.grid_search([1, 2])})


def test_two_spaces_are_one_too_many() -> None:
    from optuna.distributions import FloatDistribution

    mine = OptunaSearch({"x": FloatDistribution(0, 1)}, metric="loss", mode="min")
    with pytest.raises(SpecError, match="has a search space of its own"):
        guest(mine)


def test_a_searcher_with_a_space_of_its_own_fills_an_open_one() -> None:
    from optuna.distributions import FloatDistribution

    mine = OptunaSearch({"a/x": FloatDistribution(0, 1)}, metric="loss", mode="min", seed=1)
    space = TuneSpace.open({"epochs": 3})
    config = TuneGuest(mine, space, GOAL).ask("t000000", stream(0))
    assert isinstance(config, dict)
    nested = space.nested(config)
    assert nested["epochs"] == 3
    assert 0 <= nested["a"]["x"] <= 1


def test_only_a_fresh_one_can_be_taken_through_history() -> None:
    _, made = own()
    made.ask("t000000", stream(0))
    with pytest.raises(SpecError, match="make a new one"):
        made.load({"calls": [], "last": {}})


class Told:
    """A sweep with a guest on both seams, the one telling the other of pauses."""

    def __init__(self) -> None:
        limited = ConcurrencyLimiter(OptunaSearch(seed=3), max_concurrent=4)
        space = TuneSpace({"x": tune.uniform(0, 0.9)})
        self.searcher = TuneGuest(limited, space, GOAL, num_samples=20)
        self.scheduler = TuneSchedulerGuest(
            HyperBandScheduler(max_t=9, reduction_factor=3), GOAL, listener=self.searcher
        )
        rules = Rules(GOAL, budget=Budget(trials=20))
        self.state = SweepState(rules, self.searcher, self.scheduler)


def test_a_whole_sweep_of_guests_is_restored_from_its_journal() -> None:
    memory, straight, resumed = Memory(), Told(), Told()
    run(straight.state, Machine(3, step_sigma=0.5, ends_at=13), memory)
    assert straight.state.advice.errors == 0, straight.state.advice.last_error
    assert straight.state.waiting.issued == 20, "places of dropped trials are given back"
    for place, record in enumerate(memory.records):
        assert tuple(resumed.state.handle(record.event).verdicts) == record.verdicts
        if place == len(memory.records) // 2:
            saved = json.dumps(resumed.state.state(), allow_nan=False)
            resumed = Told()
            resumed.state.load(json.loads(saved))
    assert resumed.searcher.unrestored == 0
    assert resumed.searcher.state() == straight.searcher.state()
    assert resumed.scheduler.state() == straight.scheduler.state()
