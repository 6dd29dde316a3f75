"""Learning curves for simulations of a spec whose training code is not to be run.

A config's place in the unit cube gives its final loss, a quadratic bowl around a hidden optimum;
its loss falls towards that as a power of the step, the usual shape of learning curves (Domhan,
Springenberg, Hutter: "Speeding up automatic hyperparameter optimization of deep neural networks
by extrapolation of learning curves", IJCAI 2015, model pow3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from raysweep.trials.goal import Goal
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream


class SyntheticCurves:
    """(config, seed, step) → metrics; the same for the same arguments.

    Args:
        space: whose configs are judged.
        goal: every metric of it is reported, the ones to be maximised as 1 - loss.
        seed: of the hidden optimum, the rates and the noise.
        noise: standard deviation of a report about its curve.
    """

    def __init__(self, space: Space, goal: Goal, seed: int = 0, noise: float = 0.01) -> None:
        self._space, self._goal, self._seed, self._noise = space, goal, seed, noise
        size = len(space.encode(space.sample(Stream(seed, "synthetic", "size"))))
        optimum = Stream(seed, "synthetic", "optimum")
        self._optimum = np.array([optimum.uniform(0.2, 0.8) for _ in range(size)])

    def __call__(self, config: Mapping[str, Any], seed: int, step: int) -> dict[str, Any]:
        """What the trial with `config` reports at `step`."""
        miss = np.nan_to_num(self._space.encode(config) - self._optimum)
        floor = 0.05 + float(np.mean(miss**2))
        rate = 0.5 + Stream(self._seed, seed, "rate").uniform()
        noise = Stream(self._seed, seed, step, "noise").normal(0.0, self._noise)
        loss = floor + (1.0 - floor) * (step + 1.0) ** -rate + noise
        return {name: loss if mode == "min" else 1.0 - loss for name, mode in self._goal.metrics}
