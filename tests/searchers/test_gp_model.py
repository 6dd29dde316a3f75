from __future__ import annotations

import math

import numpy as np
import pytest

from raysweep.searchers.gp_acquisition import expected_improvement, log_ei, log_h
from raysweep.searchers.gp_axes import Axes
from raysweep.searchers.gp_beliefs import VARYING, Learning
from raysweep.searchers.gp_fit import Posterior, fit
from raysweep.searchers.gp_model import Kernel, Surrogate
from raysweep.searchers.gp_pareto import improved_volume
from raysweep.searchers.gp_scores import standardised
from raysweep.searchers.learner import Known
from raysweep.searchers.setting import Setting
from raysweep.trials.goal import Goal
from raysweep.trials.pareto import hypervolume
from raysweep.trials.space import Space
from raysweep.trials.streams import Stream
from raysweep.trials.trial import Outcome, Report, Status, trial_id

OWNER = np.array([0, 1, 1, 2])


def data(n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    generator = Stream(0, "data").generator()
    columns = generator.random((n, 4))
    return columns, standardised(np.sin(6 * columns[:, 0]) + columns[:, 3] ** 2)


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.7])
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("warps", [None, np.array([True, False, False, True])])
def test_the_gradient_is_that_of_finite_differences(
    shift: float, smooth: bool, warps: np.ndarray | None
) -> None:
    columns, targets = data()
    posterior = Posterior(columns, OWNER, targets, np.linspace(1, 2, 30), smooth, warps)
    theta = np.array(
        [-0.5, 0.1, 0.4, 0.2, -3.0] + [0.3, -0.2, 0.1, 0.5] * (warps is not None) + [-1.0]
    )
    theta += shift
    _, gradient = posterior.loss(theta)
    steps = 1e-5 * np.eye(len(theta))
    numeric = [
        (posterior.loss(theta + step)[0] - posterior.loss(theta - step)[0]) / 2e-5 for step in steps
    ]
    assert gradient == pytest.approx(np.array(numeric), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("main", [0.0, 0.4])
def test_the_prediction_is_the_textbooks(main: float) -> None:
    """Rasmussen & Williams (2006), eqs. 2.25 and 2.26, written out densely."""
    columns, targets = data(12)
    kernel = Kernel(np.array([0.4, 0.9, 0.6]), 1.3, 0.05, main=main)
    process = Surrogate(kernel, columns, OWNER, targets)
    at = Stream(1, "at").generator().random((5, 4))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        r = math.sqrt(5.0 * float((((a - b) / kernel.lengths[OWNER]) ** 2).sum()))
        shared = main * 2.0 * float(a[1:3] @ b[1:3])  # the only axis of several columns
        return 1.3 * (1 + r + r * r / 3) * math.exp(-r) + shared

    gram = np.array([[k(a, b) for b in columns] for a in columns]) + 0.05 * np.eye(12)
    cross = np.array([[k(a, b) for b in columns] for a in at])
    inverse = np.linalg.inv(gram)
    mean = inverse.sum(1) @ targets / inverse.sum()
    means, sds = process.predict(at)
    assert process.mean == pytest.approx(mean, rel=1e-5)
    assert means == pytest.approx(mean + cross @ inverse @ (targets - mean), rel=1e-4)
    variance = [k(a, a) - c @ inverse @ c for a, c in zip(at, cross, strict=True)]
    assert sds == pytest.approx(np.sqrt(variance), rel=1e-4)
    left, _ = process.left_out()
    rest = np.linalg.solve(gram[1:, 1:], targets[1:] - mean)
    assert left[0] == pytest.approx(mean + gram[0, 1:] @ rest, rel=1e-4)


def test_draws_have_the_predicted_moments() -> None:
    columns, targets = data(12)
    process = Surrogate(
        Kernel(np.array([0.5, 0.5, 0.5]), 1.0, 0.01, main=0.3), columns, OWNER, targets
    )
    at = Stream(2, "at").generator().random((3, 4))
    mean, sd = process.predict(at)
    generator = Stream(3, "draws").generator()
    jointly = process.sample(at, generator, 4000)
    paths = np.array([process.path(generator)(at) for _ in range(1500)])
    for draws in (jointly, paths):
        assert draws.mean(0) == pytest.approx(mean, abs=0.08)
        assert draws.std(0) == pytest.approx(sd, rel=0.2, abs=0.02)


def test_a_fit_finds_out_what_matters() -> None:
    columns, targets = data(60)
    lengths = fit(columns, OWNER, targets).kernel.lengths
    assert lengths[0] < lengths[1] / 3
    assert lengths[2] < lengths[1]


def test_an_option_that_was_good_elsewhere_is_expected_to_be_good_here() -> None:
    """Two choices whose effects add up: the cell that nobody saw is predicted from the others."""
    space = Space.from_dict(
        {n: {"choice": list("pqrs")} for n in "ab"} | {"c": {"choice": list("pq")}}
    )
    cells = [(i, j) for i in range(4) for j in range(4) if (i, j) != (3, 3)]
    points = np.array([[(i + 0.5) / 4, (j + 0.5) / 4, 0.25] for i, j in cells])
    targets = standardised(np.array([float(-i * i - j * j) for i, j in cells]))
    axes = Axes(space)
    process = fit(axes.embed(points), axes.owner, targets)
    best = process.predict(axes.embed(np.array([[3.5 / 4, 3.5 / 4, 0.25]])))[0][0]
    assert process.kernel.main > 0.05
    assert best < targets.min() - 0.2


def test_expected_improvement_is_that_of_many_draws() -> None:
    draws = Stream(4, "ei").generator().standard_normal(400_000)
    for mean, sd in ((0.3, 0.5), (-0.2, 0.1), (1.0, 0.8)):
        simulated = np.maximum(0.1 - (mean + sd * draws), 0).mean()
        closed = expected_improvement(np.array([mean]), np.array([sd]), 0.1)[0]
        assert closed == pytest.approx(simulated, rel=0.02)


def test_its_logarithm_is_finite_and_falls_in_the_far_tail() -> None:
    z = -np.logspace(0, 7, 60)
    logs = log_h(z)
    assert np.isfinite(logs).all()
    assert (np.diff(logs) < 0).all()
    assert np.isfinite(log_ei(np.array([50.0]), np.array([1e-6]), 0.0)).all()


def test_the_volume_gained_is_that_of_the_definition() -> None:
    values = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    reference = values.max(0) + 0.1 * np.ptp(values, axis=0) + 1e-9
    for point in ([0.5, 0.5], [1.5, 1.5], [-1.0, 3.0], [0.2, 1.7]):
        gained = improved_volume(np.array([point]), np.zeros((1, 2)), values, np.zeros((2, 2)))
        both = hypervolume(np.vstack([values, point]), reference)
        assert gained[0] == pytest.approx(both - hypervolume(values, reference), abs=1e-6)


def test_absent_parameters_are_as_far_as_the_table_says() -> None:
    space = Space.from_dict(
        {
            "kind": {"choice": ["a", "b", "c"]},
            "x": {"uniform": [0.0, 1.0], "when": {"kind": "b"}},
            "n": {"randint": [1, 4]},
        }
    )
    axes = Axes(space)
    points = np.array(
        [
            space.encode({"kind": "a", "n": 2}),
            space.encode({"kind": "b", "n": 2, "x": 0.9}),
            space.encode({"kind": "b", "n": 2, "x": 0.5}),
        ]
    )
    z = axes.embed(points)
    squares = ((z[:, None] - z[None]) ** 2).sum(-1)
    assert squares[1, 2] == pytest.approx(0.4**2)
    assert squares[0, 1] == pytest.approx(1.0 + 0.4**2 + 0.25)
    settled = axes.settle(Stream(0, "any").generator().random((200, axes.count)))
    for point in settled:
        config = space.decode(point)
        assert np.array_equal(space.encode(config), point, equal_nan=True)
        assert ("x" in config) == (config["kind"] == "b")


def test_warping_finds_where_the_function_changes_quickly() -> None:
    """Next to nothing changes in the left half of the first axis, three waves lie in the right."""
    generator = Stream(2, "warp").generator()
    columns = generator.random((40, 2))
    targets = standardised(np.sin(12.0 * columns[:, 0] ** 5) + 0.2 * columns[:, 1])
    owner = np.array([0, 1])

    def error(warps: np.ndarray | None) -> float:
        means, _ = fit(columns, owner, targets, warps=warps).left_out()
        return float(np.sqrt(np.mean((means - targets) ** 2)))

    assert error(np.array([True, False])) < 0.8 * error(None)


def known_of(losses: np.ndarray, xs: np.ndarray, errors: np.ndarray) -> Known:
    space = Space.from_dict({"x": {"uniform": [0.0, 1.0]}})
    known = Known(Setting(space, 0, Goal((("loss", "min"),))), watch=("se",))
    for number, (x, loss, error) in enumerate(zip(xs, losses, errors, strict=True)):
        trial = trial_id(number)
        known.suggested(trial, {"x": float(x)})
        known.tell(Report(trial, 1, 1, {"loss": loss, "se": float(error)}, float(loss)))
        known.end(trial, Outcome(Status.COMPLETED, 1, float(loss)))
    return known


def noisy_on_the_right() -> tuple[Known, Axes]:
    generator = Stream(5, "noise").generator()
    xs = generator.random(60)
    errors = np.where(xs > 0.5, 0.5, 0.01)
    losses = np.sin(5 * xs) + errors * generator.standard_normal(60)
    return known_of(losses, xs, errors), Axes(Space.from_dict({"x": {"uniform": [0.0, 1.0]}}))


def test_noise_that_varies_is_found() -> None:
    known, axes = noisy_on_the_right()
    noise = Learning(axes, {}, noise=VARYING).beliefs(known).noises[0]
    assert noise is not None
    (left, right), _ = noise.predict(np.array([[0.25], [0.75]]))
    assert right - left > math.log(10.0)


def test_reported_standard_errors_weigh_the_results() -> None:
    known, axes = noisy_on_the_right()
    weights = Learning(axes, {}, noise="se").beliefs(known).objectives[0].weights
    noisy = known.points[:, 0] > 0.5
    assert weights[noisy].min() == pytest.approx(2500.0 * weights[~noisy].max(), rel=1.0)
    assert len(np.unique(weights.round(9))) == 2


def test_what_is_seen_is_limited() -> None:
    known, axes = noisy_on_the_right()
    seen = Learning(axes, {}, most=30).beliefs(known).rows
    assert len(seen) == 30
    assert int(known.scores.argmin()) in seen
