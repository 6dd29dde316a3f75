"""What is learnt from a sweep's curves so far: their scale, the chain of rungs, the configs' levels."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raysweep.schedulers.curve_configs import levels
from raysweep.schedulers.curve_model import CurveModel, Forecast, rates_of

Array = npt.NDArray[np.float64]

_KNOTS = 40
_DIGITS = 9
_LEAST_RISE = 1e-300
_NORMAL = NormalDist()


class Scale(NamedTuple):
    """From scores to normal scores z: the i-th best of n stands at Φ⁻¹((i - 3/8) / (n + 1/4)).

    So forecasts that are normal are right about how many come close to the best, however the scores
    are spread (Blom, "Statistical Estimates and Transformed Beta-Variables", 1958, for the 3/8).
    Linear between `_KNOTS` of them; beyond the best, as steep as from there to the best tenth; what
    is worse than the worst stands with it.

    Attributes:
        scores, normals: of the knots, shape (k,), both ascending.
        slope: z per score beyond the best.
    """

    scores: Array
    normals: Array
    slope: float

    @classmethod
    def of(cls, scores: Array) -> Scale:
        """The scale that finite `scores`, one for each trial, stand on."""
        ordered = np.sort(scores)
        n = len(ordered)
        places = np.unique(np.linspace(0, n - 1, _KNOTS).round().astype(int))
        near = np.arange(min(n, _KNOTS // 2))  # where it matters
        knots = np.unique(ordered[np.union1d(places, near)])
        middle = (
            np.searchsorted(ordered, knots, "left") + np.searchsorted(ordered, knots, "right") + 1
        ) / 2
        shares = ((middle - 0.375) / (n + 0.25)).tolist()
        normals = np.round([_NORMAL.inv_cdf(share) for share in shares], _DIGITS)
        tenth = ordered[max(1, n // 10) :][:1]
        rise = float(tenth[0] - ordered[0]) if len(tenth) else 0.0
        if rise <= 0:
            rise = float(ordered[-1] - ordered[0]) or max(1.0, abs(float(ordered[0])))
        rise = max(rise, _LEAST_RISE)
        at = float(np.interp(ordered[0] + rise, knots, normals))
        slope = max(at - float(normals[0]), 0.5) / rise
        return cls(knots, normals, slope)

    def z(self, scores: Array) -> Array:
        """Scores, of any shape, as normal scores; NaN stays NaN."""
        beyond = np.minimum(scores - self.scores[0], 0.0) * self.slope
        return np.asarray(np.interp(scores, self.scores, self.normals) + beyond)


class Learnt(NamedTuple):
    """All of it.

    Attributes:
        levels: of the trials that were looked at, shape (n,).
    """

    scale: Scale
    model: CurveModel
    levels: Array

    @classmethod
    def of(cls, steps: Sequence[int], scores: Array, points: Array) -> Learnt:
        """Fit all parts, the chain twice: without levels to say what they are, then with them.

        Args:
            steps: of the rungs, m + 1 of them.
            scores: the best up to each rung, shape (n, m + 1), NaN from the first that a trial has
                not reached, and some finite.
            points: the configs in the unit cube, shape (n, d), NaN where an axis is inactive.
        """
        last = np.fmin.reduce(scores, axis=1)
        scale = Scale.of(last[np.isfinite(last)])
        z = scale.z(scores)
        nothing = np.zeros(len(z))
        known = levels(points, _ends(CurveModel.fit(steps, z, nothing), z))
        return cls(scale, CurveModel.fit(steps, z, known).stretched(z, known), known)

    def forecast(self, scores: Array, rung: int, expected: Array) -> Forecast:
        """Where trials will end, by their best scores up to each rung so far.

        Args:
            scores: shape (n, rung + 1) or wider; what is beyond `rung` is not looked at.
            rung: at which they are.
            expected: their levels, shape (n,).
        """
        z = self.scale.z(scores[:, max(0, rung - 1) : rung + 1])
        rate = (z[:, 0] - z[:, -1]) / self.model.logs[rung - 1] if rung else np.zeros(len(z))
        return self.model.forecast(z[:, -1], rate, expected, rung)

    def state(self) -> list[Any]:
        """As plain JSON data, without the levels, which whoever asks for forecasts has."""
        scores, normals, slope = self.scale
        return [scores.tolist(), normals.tolist(), slope, self.model.state()]

    @classmethod
    def from_state(cls, state: list[Any]) -> Learnt:
        """What gave this `state`, without levels."""
        scores, normals, slope, model = state
        scale = Scale(np.array(scores), np.array(normals), slope)
        return cls(scale, CurveModel.of(model), np.empty(0))


def _ends(model: CurveModel, z: Array) -> Array:
    """Where each of the curves `z`, shape (n, rungs), is expected to end."""
    ends, rates = np.empty(len(z)), rates_of(z, model.logs)
    reached = np.isfinite(z).sum(axis=1) - 1
    for rung in np.unique(reached).tolist():
        at = np.flatnonzero(reached == rung)
        ends[at] = model.forecast(z[at, rung], rates[at, rung], np.zeros(len(at)), rung).mean
    return ends
