from __future__ import annotations

from typing import Any, ClassVar

from raysweep.schedulers.catalog import build_scheduler, levels_of
from raysweep.trials.decisions import CONTINUE, Finish, Reason, Stop
from raysweep.trials.trial import Report, trial_id
from tests.contracts.scheduler import SchedulerContract


class TestDehb(SchedulerContract):
    name = "dehb"
    options: ClassVar[dict[str, Any]] = {"max_t": 4, "reduction_factor": 2}


def test_each_trial_runs_to_the_step_of_its_place() -> None:
    """R = 9, η = 3: 9, 3, 1 at 1, 3, 9; 3, 1 at 3, 9; 3 at 9; and again from 1 on."""
    scheduler = build_scheduler("dehb", {"max_t": 9})
    granted = [scheduler.grant(trial_id(number), {}) for number in range(21)]
    assert granted == [1] * 9 + [3] * 3 + [9] + [3] * 3 + [9] + [9] * 3 + [1]


def test_it_ends_there_whatever_it_shows() -> None:
    scheduler = build_scheduler("dehb", {"max_t": 9})
    early = [scheduler.on_report(Report(trial_id(9), 1, step, {}, 0.5)) for step in (1, 2, 3)]
    assert early == [CONTINUE, CONTINUE, Stop(Reason("dehb fidelity", 3, 0.5))]
    late = scheduler.on_report(Report(trial_id(12), 1, 9, {}, 0.5))
    assert late == Finish(Reason("max_t", 9, 0.5))


def test_a_trial_with_a_name_of_its_own_is_trained_to_the_end() -> None:
    assert build_scheduler("dehb", {"max_t": 9}).grant("from-elsewhere", {}) == 9


def test_the_searcher_is_told_of_the_same_fidelities() -> None:
    """R = 100, η = 3: R // 3^k, not 3^k."""
    assert levels_of({"name": "dehb", "max_t": 100}) == (1, 3, 11, 33, 100)
    scheduler = build_scheduler("dehb", {"max_t": 100})
    assert {scheduler.grant(trial_id(n), {}) for n in range(300)} == {1, 3, 11, 33, 100}
