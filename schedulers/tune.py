"""raysweep's schedulers under Ray Tune's names and with Ray Tune's arguments.

    from raysweep.schedulers.tune import ASHAScheduler
    tune.Tuner(train, tune_config=tune.TuneConfig(scheduler=ASHAScheduler(max_t=81), ...))

Arguments and defaults are those of `ray.tune.schedulers` in Ray 2.60; ours come after them. What
is different: max_t, grace_period and reduction_factor are whole numbers, and what Tune only
asserts is refused with a `SpecError` that says what to do.
"""

from __future__ import annotations

from typing import Any

from raysweep.schedulers.asha import PromotionAsha, StoppingAsha
from raysweep.schedulers.base import Scheduler
from raysweep.schedulers.brackets import of_asha, tune_shares
from raysweep.schedulers.tune_scheduler import TuneScheduler
from raysweep.trials.errors import SpecError

__all__ = [
    "ASHAScheduler",
    "AsyncHyperBandScheduler",
    "FIFOScheduler",
    "HyperBandScheduler",
    "MedianStoppingRule",
    "PromotionASHAScheduler",
    "TuneScheduler",
]


class FIFOScheduler(TuneScheduler):
    """Every trial runs to its end."""

    _needs_metric = False

    def __init__(self) -> None:
        super().__init__("fifo", {})


class AsyncHyperBandScheduler(TuneScheduler):
    """ASHA. `form="stopping"`, the default, is what Tune's does; see `PromotionASHAScheduler`.

    Args:
        time_attr: the result's key that max_t and rungs are measured in; a report that lacks it
            is not judged.
        metric, mode: what is optimised; None: as `tune.TuneConfig` says.
        max_t: where a trial is complete.
        grace_period: the first rung.
        reduction_factor: of n trials at a rung, n // reduction_factor go on.
        brackets: ladders with first rungs grace_period · reduction_factor^s, among which trials
            are spread as Tune spreads them, but by their ids.
        stop_last_trials: end trials at max_t; False lets them run on.
        form: "stopping" or "promotion".
    """

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: int = 100,
        grace_period: int = 1,
        reduction_factor: float = 4,
        brackets: int = 1,
        stop_last_trials: bool = True,
        form: str = "stopping",
    ) -> None:
        if isinstance(brackets, bool) or not isinstance(brackets, int) or brackets < 1:
            raise SpecError(f"scheduler asha: brackets is {brackets!r}; it must be 1 or more")
        self.brackets = brackets
        options = {
            "max_t": max_t,
            "grace_period": grace_period,
            "reduction_factor": reduction_factor,
            "form": form,
        }
        super().__init__(
            "asha",
            options,
            time_attr=time_attr,
            metric=metric,
            mode=mode,
            stop_last_trials=stop_last_trials,
        )

    def native(self) -> Scheduler:
        """A fresh scheduler of raysweep's own; several ladders if there are several brackets."""
        if self.brackets == 1:
            return super().native()
        form = PromotionAsha if self.options["form"] == "promotion" else StoppingAsha
        first, factor = self.options["grace_period"], self.options["reduction_factor"]
        max_t = self.options["max_t"]
        return of_asha(form, max_t, first, factor, self.brackets, tune_shares)

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "brackets": self.brackets}


ASHAScheduler = AsyncHyperBandScheduler


class PromotionASHAScheduler(AsyncHyperBandScheduler):
    """ASHA as its paper has it: losers are paused, and promoted once there are enough worse ones.

    Trials should save checkpoints, as Tune pauses and resumes with them; one that has none starts
    from scratch, and what it repeats is not judged again. With a search algorithm that hands out
    many trials at once, as Tune's random search does (up to 200), Tune starts these before the
    promoted ones unless `reuse_actors=True` or TUNE_MAX_PENDING_TRIALS_PG is about as large as
    the number of trials that fit.
    """

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: int = 100,
        grace_period: int = 1,
        reduction_factor: float = 4,
        brackets: int = 1,
        stop_last_trials: bool = True,
    ) -> None:
        super().__init__(
            time_attr,
            metric,
            mode,
            max_t,
            grace_period,
            reduction_factor,
            brackets,
            stop_last_trials,
            form="promotion",
        )


class HyperBandScheduler(TuneScheduler):
    """HyperBand: brackets of successive halving, the one with most trials first.

    Args:
        time_attr, metric, mode, stop_last_trials: as of `AsyncHyperBandScheduler`.
        max_t: where a trial is complete.
        reduction_factor: of m trials at a rung, m // reduction_factor go on.
        grace_period: the least first rung of a bracket.
    """

    def __init__(
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        max_t: int = 81,
        reduction_factor: float = 3,
        stop_last_trials: bool = True,
        grace_period: int = 1,
    ) -> None:
        options = {
            "max_t": max_t,
            "grace_period": grace_period,
            "reduction_factor": reduction_factor,
        }
        super().__init__(
            "hyperband",
            options,
            time_attr=time_attr,
            metric=metric,
            mode=mode,
            stop_last_trials=stop_last_trials,
        )


class MedianStoppingRule(TuneScheduler):
    """Ends a trial whose best so far is worse than the median of the others' averages.

    Args:
        time_attr, metric, mode: as of `AsyncHyperBandScheduler`.
        grace_period: no trial is stopped before it.
        min_samples_required: how many others must have come as far.
        min_time_slice: accepted and without effect: no trial ever has to yield its place.
        hard_stop: only True; a trial that has lost is ended.
        interval: time between two comparisons; None: 1 for training_iteration, else a tenth of
            grace_period.
    """

    def __init__(
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: str | None = None,
        grace_period: float = 60.0,
        min_samples_required: int = 3,
        min_time_slice: int = 0,
        hard_stop: bool = True,
        interval: int | None = None,
    ) -> None:
        if not hard_stop:
            raise SpecError(
                "scheduler median: hard_stop=False, which lets a trial that has lost go on after "
                "all others, is not offered; leave it out, or use PromotionASHAScheduler"
            )
        if interval is None:
            interval = 1 if time_attr == "training_iteration" else max(1, int(grace_period) // 10)
        options = {
            "grace_period": max(1, grace_period),
            "interval": interval,
            "min_trials": min_samples_required,
        }
        super().__init__("median", options, time_attr=time_attr, metric=metric, mode=mode)
