"""How fast each kind of device is, learnt from the step times of the sweep itself.

    y_id    mean of log(seconds of a step) of trial i on device d
    μ + a_i what a step of the trial's config takes; a_i ~ N(0, σ_a²)
    b_d     how slow the device is, log; 0 for the reference, else ~ N(0, τ²) before anything is seen
    e_id    what is left, ~ N(0, σ_e²): a config may suit one device a little better than another

    y_id = μ + a_i + b_d + e_id,        speed of d = exp(−b_d)

b is the posterior mean of this linear mixed model (Laird and Ware, "Random-Effects Models for
Longitudinal Data", Biometrics 38, 1982), with the a_i integrated out. A trial that ran on two
devices tells of their ratio whatever its config costs; trials on one device each tell of it by
their averages, and the less, the more configs differ. Without evidence b_d is 0, so the speed 1.

An odd trial must not turn the average: a trial's weight is min(1, 2/δ), δ its distance from the fit
in standard deviations (Huber, "Robust Estimation of a Location Parameter", 1964). σ_a² is measured
along with it, from 1 as if four trials had shown that. All of it is plain arithmetic in a fixed
order, so that a replay finds the same speeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raysweep.trials.trial import TrialId

_TAU2 = 1.0
"""τ²: devices differ by a factor of e, give or take."""
_NOISE2 = 0.1**2
"""σ_e²: a config's ratio between two devices is within some 10 % of that of others."""
_PRIOR_TRIALS, _PRIOR_SPREAD2 = 4.0, 1.0
_HUBER = 2.0
_ROUNDS = 4
_TRIALS = 200
"""The newest so many trials are fitted."""

_Means = list[tuple[float, int]]
"""Of one trial: its mean log step time on each device, and which: 0 a known one, 1 … those learnt."""


class Speeds:
    """The speed of each device, 1 that of the reference hardware.

    Args:
        given: speeds that are known. Without any, the first device that is heard of is the
            reference.
    """

    def __init__(self, given: Mapping[str, float]) -> None:
        self._known = {device: -math.log(speed) for device, speed in given.items()}
        self._slowness: dict[str, float] = {}  # of those that are learnt
        self._shown: dict[TrialId, dict[str, list[float]]] = {}  # device → [steps, Σ log seconds]
        self._heard = self._due = 0

    def of(self, device: str) -> float:
        """The device's speed as far as it is known."""
        slowness = self._known.get(device, self._slowness.get(device, 0.0))
        return math.exp(-slowness)

    def heard(self, trial: TrialId, device: str, step_s: float) -> None:
        """A step of `trial` took `step_s` on `device`."""
        if not self._known:
            self._known[device] = 0.0
        if step_s <= 0:  # nobody measured it
            return
        if device not in self._known:
            self._slowness.setdefault(device, 0.0)
        shown = self._shown.setdefault(trial, {}).setdefault(device, [0, 0.0])
        shown[0] += 1
        shown[1] += math.log(step_s)
        if len(self._shown) > _TRIALS:
            del self._shown[next(iter(self._shown))]
        self._heard += 1
        if self._slowness and self._heard >= self._due:
            self._due = self._heard + 1 + self._heard // 10  # so fits are O(log n) in n steps
            self._fit()

    def _fit(self) -> None:
        place = {device: 1 + index for index, device in enumerate(self._slowness)}
        trials = [
            [
                (total / steps - self._known.get(device, 0.0), place.get(device, 0))
                for device, (steps, total) in on.items()
            ]
            for on in self._shown.values()
        ]
        found = fit(trials, len(place))
        self._slowness = {device: found[index] for device, index in place.items()}

    def state(self) -> dict[str, Any]:
        """What was shown, and what follows from it."""
        return {
            "known": self._known,
            "slowness": self._slowness,
            "shown": self._shown,
            "heard": self._heard,
            "due": self._due,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._known, self._slowness = dict(state["known"]), dict(state["slowness"])
        self._shown = {
            trial: {device: list(pair) for device, pair in on.items()}
            for trial, on in state["shown"].items()
        }
        self._heard, self._due = state["heard"], state["due"]


def fit(trials: Sequence[_Means], devices: int) -> list[float]:
    """[μ, b_1, …, b_devices] of the model above, in O(trials · rounds)."""
    weights, spread2 = [1.0] * len(trials), _PRIOR_SPREAD2
    for _ in range(_ROUNDS):
        found = _solve(*_equations(trials, weights, devices, spread2))
        rest = [[y - found[0] - (found[d] if d else 0.0) for y, d in means] for means in trials]
        weights = [_weight(e, spread2) for e in rest]
        shown = sum(w * (sum(e) / len(e)) ** 2 for w, e in zip(weights, rest, strict=True))
        spread2 = (_PRIOR_TRIALS * _PRIOR_SPREAD2 + shown) / (_PRIOR_TRIALS + sum(weights))
    return found


def _shared(count: int, spread2: float) -> float:
    """ρ, where the inverse of the covariance σ_e² I + σ_a² 1 1ᵀ is (I − ρ 1 1ᵀ) / σ_e²."""
    return spread2 / (_NOISE2 + count * spread2)


def _weight(rest: list[float], spread2: float) -> float:
    """A trial's say, by how far its residuals lie out."""
    inner = sum(e * e for e in rest) - _shared(len(rest), spread2) * sum(rest) ** 2
    apart = math.sqrt(max(inner, 0.0) / _NOISE2 / len(rest))
    return 1.0 if apart <= _HUBER else _HUBER / apart


def _equations(
    trials: Sequence[_Means], weights: Sequence[float], devices: int, spread2: float
) -> tuple[list[list[float]], list[float]]:
    """The normal equations of the weighted least squares, the prior of b among them."""
    size = 1 + devices
    matrix = [[0.0] * size for _ in range(size)]
    for index in range(1, size):
        matrix[index][index] = 1.0 / _TAU2
    right = [0.0] * size
    for means, weight in zip(trials, weights, strict=True):
        shared, total = _shared(len(means), spread2), sum(y for y, _ in means)
        sums = [float(len(means))] + [0.0] * devices  # the columns of the design, summed
        for _, device in means:
            if device:
                sums[device] += 1.0
        scale = weight / _NOISE2
        for y, device in means:
            for row in {0, device}:
                right[row] += scale * y
                for column in {0, device}:
                    matrix[row][column] += scale
        for row in range(size):
            right[row] -= scale * shared * sums[row] * total
            for column in range(size):
                matrix[row][column] -= scale * shared * sums[row] * sums[column]
    return matrix, right


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gauss's elimination; no pivots are needed, as the matrix is positive definite."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for index, row in enumerate(rows):
        for below in rows[index + 1 :]:
            factor = below[index] / row[index]
            for column in range(index, len(row)):
                below[column] -= factor * row[column]
    found = [0.0] * len(rows)
    for index in reversed(range(len(rows))):
        known = sum(rows[index][column] * found[column] for column in range(index + 1, len(rows)))
        found[index] = (rows[index][-1] - known) / rows[index][index]
    return found
