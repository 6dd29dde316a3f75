"""A slot on a process that answers when the test lets it; inside it runs the real runner."""

from __future__ import annotations

import collections
import json
import math
import pickle
import re
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from raysweep.cluster.slot import Arrival, Slot
from raysweep.trainables.base import as_factory
from raysweep.trainables.runner import HostSpec, Runner
from raysweep.trainables.wire import Pulse, Wear, encode, encode_broken
from raysweep.trials.actions import Finish, Pause, RunTo, Start, Stop
from raysweep.trials.clock import ManualClock
from raysweep.trials.decisions import Reason
from raysweep.trials.errors import AnswerError
from raysweep.trials.events import Reported
from raysweep.trials.trial import UNBOUNDED

WHY = Reason("test")


class Process:
    """Calls wait in `calls` until `answer` carries out the oldest."""

    def __init__(self, sweep: Path, clock: ManualClock):
        self.clock = clock
        self.runner = Runner(HostSpec(self, str(sweep), ("loss",)), clock)
        self.calls: collections.deque[tuple[Any, ...]] = collections.deque()
        self.describe = _Method(self, self._describe)
        self.exchange = _Method(self, self._exchange)
        self.killed = False
        self.device = "0"

    def _describe(self) -> bytes:
        return json.dumps({"node": "n", "device": self.device}).encode()

    def load(self) -> Any:
        return as_factory(self._train)

    def answer(self) -> None:
        future, work, arguments = self.calls.popleft()
        future.set_result(work(*arguments))

    def commands(self) -> list[list[str]]:
        """The commands in the exchanges on their way, by the names of their kinds."""
        return [
            [f"{type(c).__name__} {c.trial}" for c in pickle.loads(arguments[0])]
            for _, _, arguments in self.calls
            if arguments
        ]

    def _exchange(self, commands: bytes) -> bytes:
        events = self.runner.exchange(pickle.loads(commands), 0.25)
        wear = Wear(self.runner.worn, self.runner.returned)
        return encode(self.runner.outbox.taken - len(events), events, wear=wear)

    def _train(self, config: dict[str, Any]) -> Iterator[dict[str, float]]:
        for number in range(config.get("end", 1000)):
            self.clock.sleep(config.get("step_s", 0.125))
            yield {"loss": float(number)}


class _Method:
    def __init__(self, process: Process, work: Any):
        self._process, self._work = process, work

    def remote(self, *arguments: Any) -> Any:
        made: Future[Any] = Future()
        self._process.calls.append((made, self._work, arguments))
        return _Ref(made)


class _Ref:
    def __init__(self, made: Future[Any]):
        self._made = made

    def future(self) -> Future[Any]:
        return self._made


class Bench:
    """A slot, its processes, and what it has passed on."""

    def __init__(self, sweep: Path, fresh: bool = False):
        self.clock = ManualClock()
        self.processes: list[Process] = []
        self.arrivals: collections.deque[Arrival] = collections.deque()

        def spawn(key: str) -> Process:
            self.processes.append(Process(sweep, self.clock))
            return self.processes[-1]

        def kill(process: Process) -> None:
            process.killed = True

        self.slot = Slot("s1", spawn, kill, self.arrivals.append, self.clock, fresh)
        self.run()

    @property
    def process(self) -> Process:
        return self.processes[-1]

    def run(self, answers: int = 1) -> list[Any]:
        """Let the newest process answer so often; gives the events that are passed on."""
        events: list[Any] = []
        for _ in range(answers):
            self.process.answer()
            events.extend(self.slot.receive(self.arrivals.popleft()))
        return events

    def give(self, *actions: Any) -> None:
        for action in actions:
            self.slot.give(action)
        self.slot.flush()


def start(trial: str, run_to: int = UNBOUNDED, **config: Any) -> Start:
    return Start(trial, 1, "s1", config, 7, 0, None, run_to, WHY)


def names(events: list[Any]) -> list[str]:
    return [f"{type(e).__name__} {e.trial}" for e in events]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_commands_of_one_breath_travel_together(bench: Bench) -> None:
    bench.give(start("t1", 1))
    bench.run()
    bench.give(Stop("t1", 1, "s1", WHY), start("t2", 1))
    assert bench.process.commands() == [["Stop t1", "Start t2"]]
    assert names(bench.run()) == ["Started t2", "Reported t2"]
    assert not bench.process.calls


def test_a_trial_that_takes_long_has_two_exchanges_in_flight(bench: Bench) -> None:
    bench.give(start("t1"))
    assert len(bench.process.calls) == 1
    bench.run()
    assert bench.process.commands() == [[], []]
    bench.run(5)
    assert bench.process.commands() == [[], []]
    bench.give(RunTo("t1", 1, "s1", UNBOUNDED, WHY))
    assert bench.process.commands() == [[], [], ["RunTo t1"]]
    bench.run()
    assert bench.process.commands() == [[], ["RunTo t1"]]


def test_long_steps_need_but_one_in_flight(bench: Bench) -> None:
    bench.give(start("t1", step_s=5.0))
    bench.run(3)
    assert bench.process.commands() == [[]]


def test_nothing_is_in_flight_once_the_grant_is_reached(bench: Bench) -> None:
    bench.give(start("t1", 5))
    events = bench.run(2)
    while bench.process.calls:
        events += bench.run()
    assert [s for e in events[1:] for s in e.steps] == [1, 2, 3, 4, 5]
    assert bench.slot.silent_since() is None


def test_pause_in_mid_grant_comes_after_what_is_in_flight(bench: Bench) -> None:
    bench.give(start("t1"))
    bench.run(2)
    bench.give(Pause("t1", 1, "s1", WHY))
    assert bench.process.commands() == [[], [], ["Pause t1"]]
    events = bench.run(3)
    assert names(events) == ["Reported t1", "Reported t1", "Paused t1"]
    assert events[-1].step == events[-2].steps[-1]
    assert not bench.process.calls


def test_nothing_is_heard_of_a_stopped_trial(bench: Bench) -> None:
    bench.give(start("t1"))
    bench.run(2)
    bench.give(Stop("t1", 1, "s1", WHY), start("t2", 2))
    assert bench.process.commands() == [[], [], ["Stop t1", "Start t2"]]
    assert names(bench.run(3)) == ["Started t2", "Reported t2"]
    assert not bench.process.calls


def test_reports_before_a_finish_in_mid_grant_are_heard(bench: Bench) -> None:
    bench.give(start("t1", end=5))
    bench.run()
    bench.give(Finish("t1", 1, "s1", WHY), start("t2", 1))
    events = []
    while bench.process.calls:
        events += bench.run()
    assert names(events)[:3] == ["Reported t1", "Reported t1", "Ended t1"]
    assert names(events)[3:] == ["Started t2", "Reported t2"]


def test_an_end_in_mid_flight_leaves_nothing_to_do(bench: Bench) -> None:
    bench.give(start("t1", end=4))
    events = bench.run()
    while bench.process.calls:
        events += bench.run()
    assert names(events)[-1] == "Ended t1"
    assert bench.slot.hosted is None


def test_fresh_processes_one_per_trial(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fresh=True)
    bench.give(start("t1", end=1))
    assert names(bench.run())[-1] == "Ended t1"
    assert bench.process.commands() == [[]]  # it is cleaned up after
    assert bench.run() == []
    assert [p.killed for p in bench.processes] == [True, False]
    bench.run()  # it comes up before it is needed
    bench.give(start("t2", 1))
    assert len(bench.processes) == 2
    assert names(bench.run()) == ["Started t2", "Reported t2"]


def test_a_fresh_process_waits_for_the_last_ones_checkpoint(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fresh=True)
    bench.give(start("t1", 1))
    bench.run()
    bench.give(Finish("t1", 1, "s1", WHY), start("t2", 1))
    assert bench.process.commands() == [["Finish t1"]]
    assert len(bench.processes) == 1
    assert names(bench.run()) == ["Finished t1"]
    assert len(bench.processes) == 1
    assert bench.run() == []
    assert len(bench.processes) == 2
    assert bench.process.commands() == [["Start t2"]]
    assert names(bench.run(2)) == ["Started t2", "Reported t2"]


def test_the_next_process_says_where_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fresh=True)
    bench.give(start("t1", end=1))
    bench.run(2)
    bench.process.device = "1"
    assert bench.slot.device == "0"
    bench.run()
    assert (bench.slot.node, bench.slot.device) == ("n", "1")


def test_a_worn_process_hands_all_that_it_was_given_to_the_next_in_order(bench: Bench) -> None:
    bench.give(start("t1", end=1))
    assert names(bench.run())[-1] == "Ended t1"
    worn = bench.process
    bench.give(start("t2", 1))
    bench.give(RunTo("t2", 1, "s1", 2, WHY))
    worn.runner.worn = "its thread still runs"
    assert bench.run() == []
    bench.give(RunTo("t2", 1, "s1", 3, WHY))  # while one exchange is still on its way
    assert not worn.killed
    assert bench.run() == []
    assert worn.killed
    bench.run()  # the next process comes up
    assert bench.process.commands() == [["Start t2", "RunTo t2", "RunTo t2"]]
    assert [s for e in bench.run(2)[1:] for s in e.steps] == [1, 2, 3]
    assert len(bench.processes) == 2


def test_silence_counts_from_the_last_answer(bench: Bench) -> None:
    assert bench.slot.silent_since() is None
    bench.clock.sleep(100)
    bench.give(start("t1", step_s=5.0))
    assert bench.slot.silent_since() == 100
    bench.run()
    assert bench.slot.silent_since() == 105


def test_a_driver_that_was_away_blames_nobody(bench: Bench) -> None:
    bench.give(start("t1"))
    bench.run()
    bench.process.answer()
    bench.process.answer()
    bench.clock.sleep(1000)
    while bench.arrivals:
        bench.slot.receive(bench.arrivals.popleft())
    assert bench.process.commands() == [[], []]
    assert bench.slot.silent_since() == bench.clock.now()


def test_the_end_is_told_before_the_cleanup_and_the_next_start_brings_that(bench: Bench) -> None:
    bench.give(start("t1", end=1))
    assert names(bench.run())[-1] == "Ended t1"
    assert bench.slot.tidying
    bench.give(start("t2", 1))
    assert bench.process.commands() == [["Start t2"]]
    assert bench.slot.untouched
    bench.run()
    assert not bench.slot.tidying
    assert not bench.slot.untouched


def test_without_a_next_start_an_exchange_of_its_own_cleans_up(bench: Bench) -> None:
    bench.give(start("t1", end=1))
    bench.run()
    bench.slot.flush()
    assert bench.process.commands() == [[]]
    assert bench.run() == []
    assert not bench.slot.tidying


def test_a_trial_that_was_begun_before_gets_an_exchange_of_its_own(bench: Bench) -> None:
    bench.give(start("t1", end=1))
    bench.run()
    bench.give(start("t2", 1)._replace(attempt=2))
    assert bench.process.commands() == [[], ["Start t2"]]
    assert bench.slot.untouched
    bench.run()
    assert not bench.slot.untouched  # the process is clean: what comes now is the trial's own


def test_mail_and_answer_tell_each_event_once(bench: Bench) -> None:
    bench.give(start("t1", 3))
    outbox = bench.process.runner.outbox
    for number in (1, 2):
        outbox.begin("t1", 1)
        outbox.report(0.0, number, float(number), {"loss": 0.5})
    letters = [encode(*outbox.show()) for _ in range(2)]
    told = [e for letter in letters for e in bench.slot.receive_mail(letter)]
    assert [e.steps for e in told] == [[1], [2]]
    outbox.begin("t1", 1)
    outbox.report(0.0, 3, 3.0, {"loss": math.nan})
    first, events = outbox.take()
    assert (first, len(events)) == (0, 3)  # nothing was acknowledged
    (told,) = bench.slot.receive_mail(encode(first, events))
    assert told.steps == [3]
    assert math.isnan(told.metrics["loss"][0])


def test_silence_ends_with_mail(bench: Bench) -> None:
    bench.give(start("t1", 3))
    bench.clock.sleep(100)
    pulse = Pulse("train", "t1", 1, 100.0, 0.98)
    assert bench.slot.receive_mail(encode(0, [], pulse)) == []
    assert (bench.slot.silent_since(), bench.slot.pulse) == (0, pulse)
    bench.slot.receive_mail(encode(0, [Reported(0.0, "t1", 1, [1], [1.0], {"loss": [0.5]})]))
    assert bench.slot.silent_since() == 100


WRONG = [
    (b"\x80\x04N.", "it is no JSON"),
    (b'{"broken": "ValueError: no"}', "ValueError: no"),
    (b"[0, [], null", "it is no JSON"),
    (b"[0, []]", "it is no list of a number"),
    (b"[-1, [], null, null]", "the number of its first event is -1"),
    (b'[0, [["Exploded", "t1", 1]], null, null]', "an event is of kind 'Exploded'"),
    (b'[0, [["SlotDown", "s1", "why"]], null, null]', "an event is of kind 'SlotDown'"),
    (b'[0, [["Reported", "t2", 1, [1], [0.1], {"loss": [1.0]}]], null, null]', "never given"),
    (b'[0, [["Reported", "t1", 1, [5], [0.1], {"loss": [1.0]}]], null, null]', "after step 0"),
    (
        b'[0, [["Reported", "t1", 1, [2, 1], [0.1, 0.2], {"loss": [1, 2]}]], null, null]',
        "Reported.steps",
    ),
    (
        b'[0, [["Reported", "t1", 1, [1], [NaN], {"loss": [1.0]}]], null, null]',
        "Reported.elapsed_s",
    ),
    (
        b'[0, [["Reported", "t1", 1, [1], [0.1], {"loss": [1.0, 2.0]}]], null, null]',
        "metric 'loss'",
    ),
    (b'[0, [["Reported", "t1", 1, [1], [0.1], {"loss": [{}]}]], null, null]', "metric 'loss'"),
    (
        b'[0, [["Reported", "t1", 1, [1], [0.1], {"loss": [1%s]}]], null, null]' % (b"0" * 400),
        "'loss'",
    ),
    (b'[0, [["Reported", "t1", 1, [99], [0.1], {"loss": [1.0]}]], null, null]', "after step 0"),
    (
        b'[0, [["Checkpointed", "t1", 1, 0, "../../etc"]], null, null]',
        "a checkpoint at '../../etc'",
    ),
    (b'[0, [["Paused", "t1", 1, 7, null]], null, null]', "Paused is of step 7, not 0"),
    (b'[0, [["Failed", "t1", 1, "driver", "m", ""]], null, null]', "Failed.error is 'driver'"),
    (b'[0, [["Started", "t1", 1, 0, "s1", "n", NaN, 0, 1]], null, null]', "Started.setup_s is nan"),
    (b"[0, [], [1, 2], null]", "its pulse is"),
    (b"[0, [], null, 7]", "its wear is"),
    (b'[0, [], null, ["", 3]]', "it returns 3 commands of"),
    (b"[" * 100_000, "it is no JSON"),
    ([], "it is a list, not up to"),
]


@pytest.mark.parametrize(("answer", "message"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_true_is_refused(bench: Bench, answer: Any, message: str) -> None:
    bench.give(start("t1", 3))
    arrival = Arrival(bench.slot, bench.process, answer, None, 0.0)
    with pytest.raises(AnswerError, match=re.escape(message)):
        bench.slot.receive(arrival)


def test_what_breaks_before_the_cleanup_costs_the_next_trial_nothing(bench: Bench) -> None:
    """The trial before may have left a process in which nothing works any more."""
    bench.give(start("t1", end=1))
    assert names(bench.run())[-1] == "Ended t1"
    bench.give(start("t2"))
    future, _, arguments = bench.process.calls.popleft()
    bench.process.calls.append((future, lambda *_: encode_broken("no module 'json'"), arguments))
    with pytest.raises(AnswerError, match="no module"):
        bench.run()
    assert bench.slot.untouched


def test_an_answer_that_skips_events_is_refused(bench: Bench) -> None:
    bench.give(start("t1", 3))
    with pytest.raises(AnswerError, match="its event 5 follows on -1"):
        bench.slot.receive(Arrival(bench.slot, bench.process, encode(5, []), None, 0.0))
