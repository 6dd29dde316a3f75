"""Median stopping: end a trial whose best so far is worse than the others' median average.

Golovin, Solnik, Moitra, Kochanski, Karro, Sculley: "Google Vizier: A Service for Black-Box
Optimization", KDD 2017, section 3.2.2: stop a pending trial at step s if its best value by s is
strictly worse than the median of the running averages, over steps 1…s, of the other trials. The
paper averages over completed trials; here every trial that has reached s counts, so that the rule
can speak before the first one completes.
"""

from __future__ import annotations

from raysweep.schedulers.percentile import PercentileStopping


class MedianStopping(PercentileStopping):
    """The percentile rule at 50, against averages.

    Args:
        max_t, grace_period, interval, min_trials: as of `PercentileStopping`.
    """

    _rule = "median"

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        interval: int = 1,
        min_trials: int = 3,
    ) -> None:
        super().__init__(max_t, grace_period, interval, min_trials, 50.0, "averages")
