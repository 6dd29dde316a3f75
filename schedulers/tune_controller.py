"""As much of Tune's controller as Tune's schedulers call, without a loop behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ray.tune.experiment import Trial

from raysweep.trials.trial import TrialId

OVER = frozenset({Trial.TERMINATED, Trial.ERROR})


class Listener(Protocol):
    """Who wants to hear what a scheduler does, as Tune's searchers may: see `TuneGuest`."""

    def paused(self, trial: TrialId) -> None:
        """The scheduler paused `trial`."""
        ...

    def resumed(self, trial: TrialId) -> None:
        """The scheduler will go on with the paused `trial`."""
        ...

    def dropped(self, trial: TrialId) -> None:
        """The scheduler ended the paused `trial`."""
        ...


class Searching:
    """Stands for `controller.search_alg`, and for its `searcher`.

    Args:
        listener: is told; None: nobody is.
        name: our id of one of Tune's trials, by its `trial_id`.
    """

    def __init__(self, listener: Listener | None, name: Callable[[str], TrialId | None]) -> None:
        self.listener, self._name = listener, name
        self.muted = False

    @property
    def searcher(self) -> Searching:
        """Itself: `HyperBandForBOHB` calls the searcher within the search algorithm."""
        return self

    def on_pause(self, trial_id: str) -> None:
        """HyperBandForBOHB pauses a trial."""
        self._tell("paused", trial_id)

    def on_unpause(self, trial_id: str) -> None:
        """HyperBandForBOHB goes on with a trial."""
        self._tell("resumed", trial_id)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """A paused trial was stopped."""
        self._tell("dropped", trial_id)

    def _tell(self, what: str, trial_id: str) -> None:
        trial = self._name(trial_id)
        if self.listener is not None and trial is not None and not self.muted:
            getattr(self.listener, what)(trial)


class Controller:
    """What a scheduler gets as `tune_controller`: the trials, and what it may do to them.

    Nothing is done to a trial here but to its status; whoever made this looks at that.
    """

    def __init__(self, scheduler: Any, search_alg: Searching) -> None:
        self._scheduler, self.search_alg = scheduler, search_alg
        self.trials: dict[str, Trial] = {}

    def get_trials(self) -> list[Trial]:
        """All trials, in the order in which they came."""
        return list(self.trials.values())

    def get_live_trials(self) -> set[Trial]:
        """Those that have not ended."""
        return {trial for trial in self.trials.values() if trial.status not in OVER}

    def stop_trial(self, trial: Trial) -> None:
        """As Tune's: the scheduler hears of it, then the trial has ended."""
        if trial.status in OVER:
            return
        if trial.status == Trial.RUNNING:
            self._scheduler.on_trial_complete(self, trial, dict(trial.last_result))
        else:
            self._scheduler.on_trial_remove(self, trial)
            self.search_alg.on_trial_complete(trial.trial_id)
        trial.status = Trial.TERMINATED

    def pause_trial(self, trial: Trial, should_checkpoint: bool = True) -> None:
        """The trial pauses at its next report."""
        trial.status = Trial.PAUSED

    def _set_trial_status(self, trial: Trial, status: str) -> None:
        trial.status = status

    def _schedule_trial_save(self, trial: Trial, result: Any = None) -> None:
        """Checkpoints are not the scheduler's business here."""
