from __future__ import annotations

from typing import Any, ClassVar

from raysweep.schedulers.fifo import Fifo
from raysweep.trials.decisions import CONTINUE, Finish, Reason
from raysweep.trials.goal import WORST
from raysweep.trials.trial import UNBOUNDED, Report
from tests.contracts.scheduler import Play, SchedulerContract


class TestFifo(SchedulerContract):
    name = "fifo"
    options: ClassVar[dict[str, Any]] = {"max_t": 5}


def test_everybody_runs_to_the_end_whatever_they_report() -> None:
    reached = Play(lambda: Fifo(4)).tournament([WORST, 1.0, -3.0])
    assert list(reached.values()) == [4, 4, 4]


def test_a_trial_finishes_at_max_t() -> None:
    fifo = Fifo(3)
    assert fifo.grant("a", {}) == 3
    assert fifo.on_report(Report("a", 1, 2, {}, 0.5)) is CONTINUE
    assert fifo.on_report(Report("a", 1, 3, {}, 0.5)) == Finish(Reason("max_t", 3, 0.5))


def test_without_max_t_the_training_code_alone_ends_a_trial() -> None:
    fifo = Fifo()
    assert fifo.grant("a", {}) == UNBOUNDED
    assert fifo.on_report(Report("a", 1, UNBOUNDED - 1, {}, WORST)) is CONTINUE
