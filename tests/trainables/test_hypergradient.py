from __future__ import annotations

import json
import math
from typing import Any, Literal

import pytest
import torch

from raysweep.trainables.checkpoint import load_torch, save_torch
from raysweep.trainables.hypergradient import Hypergradient
from raysweep.trials.errors import TrainableError

D = 4


def ridge(seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Training and validation data of a linear model with noise."""
    chance = torch.Generator().manual_seed(seed)
    x, val_x = (torch.randn(n, D, generator=chance, dtype=torch.float64) for n in (12, 40))
    truth = torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.float64)
    y, val_y = (
        a @ truth + 1.5 * torch.randn(len(a), generator=chance, dtype=torch.float64)
        for a in (x, val_x)
    )
    return x, y, val_x, val_y


class Ridge:
    """½|Xw − y|²/n + ½ Σ λ_j w_j², whose minimum is known; λ_j is λ_a for the first half."""

    def __init__(self, **options: Any) -> None:
        self.x, self.y, self.val_x, self.val_y = ridge()
        self.w = torch.zeros(D, dtype=torch.float64, requires_grad=True)
        self.hyper = Hypergradient([self.w], {"a": 0.3, "b": 0.05}, **options)

    def decay(self) -> torch.Tensor:
        values = self.hyper.values
        return torch.stack([values["a"], values["a"], values["b"], values["b"]]).double()

    def best(self, decay: torch.Tensor) -> torch.Tensor:
        gram = self.x.T @ self.x / len(self.x) + torch.diag(decay)
        best: torch.Tensor = torch.linalg.solve(gram, self.x.T @ self.y / len(self.x))
        return best

    def settle(self) -> None:
        with torch.no_grad():
            self.w.copy_(self.best(self.decay()))

    def train_loss(self) -> torch.Tensor:
        fit = 0.5 * ((self.x @ self.w - self.y) ** 2).mean()
        return fit + 0.5 * (self.decay() * self.w**2).sum()

    def val_loss(self) -> torch.Tensor:
        return ((self.val_x @ self.w - self.val_y) ** 2).mean()

    def val_at(self, a: float, b: float) -> float:
        w = self.best(torch.tensor([a, a, b, b], dtype=torch.float64))
        return float(((self.val_x @ w - self.val_y) ** 2).mean())


@pytest.mark.parametrize(("inverse", "terms", "close"), [("cg", D, 1e-6), ("neumann", 400, 1e-5)])
@pytest.mark.parametrize("log", [True, False])
def test_the_hypergradient_is_that_of_the_known_minimum(
    inverse: Literal["cg", "neumann"], terms: int, close: float, log: bool
) -> None:
    """Closed form: dL_V/dλ_j = −v H⁻¹ (w* on the axes of λ_j); also central differences."""
    problem = Ridge(inverse=inverse, terms=terms, damping=0.0, scale=0.3, log=log)
    problem.settle()
    found = problem.hyper.gradient(problem.train_loss, problem.val_loss)
    h = problem.x.T @ problem.x / len(problem.x) + torch.diag(problem.decay().detach())
    residual = problem.val_x @ problem.w.detach() - problem.val_y
    v = 2.0 * problem.val_x.T @ residual / len(problem.val_x)
    pulled = torch.linalg.solve(h, v)
    for name, axes, value in (("a", slice(0, 2), 0.3), ("b", slice(2, 4), 0.05)):
        closed = -float(pulled[axes] @ problem.w.detach()[axes]) * (value if log else 1.0)
        assert found[name] == pytest.approx(closed, rel=close)
    step = 1e-6
    up, down = problem.val_at(0.3 + step, 0.05), problem.val_at(0.3 - step, 0.05)
    numeric = (up - down) / (2 * step) * (0.3 if log else 1.0)
    assert found["a"] == pytest.approx(numeric, rel=1e-4)


def test_steps_within_training_find_what_a_grid_search_finds() -> None:
    problem = Ridge(lr=0.1, bounds={"a": (1e-4, 10.0), "b": (1e-4, 10.0)})
    optimizer = torch.optim.SGD([problem.w], lr=0.3)
    before = problem.val_at(0.3, 0.05)
    for _ in range(150):
        for _ in range(5):
            optimizer.zero_grad()
            problem.train_loss().backward()  # type: ignore[no-untyped-call]  # torch's own
            optimizer.step()
        problem.hyper.step(problem.train_loss, problem.val_loss)
    grid = [10.0 ** (k / 8) for k in range(-32, 9)]
    best = min(problem.val_at(a, b) for a in grid for b in grid)
    reached = problem.val_at(**problem.hyper.metrics)
    assert reached - best < 0.05 * (before - best)


def test_a_checkpoint_goes_on_exactly(tmp_path: Any) -> None:
    def run(problem: Ridge, steps: int) -> list[dict[str, float]]:
        found = []
        for _ in range(steps):
            problem.settle()
            found.append(problem.hyper.step(problem.train_loss, problem.val_loss))
        return found

    whole, first, second = Ridge(), Ridge(), Ridge()
    expected = run(whole, 9)
    run(first, 4)
    save_torch(first.hyper.state_dict(), tmp_path / "hyper.pt")
    second.hyper.load_state_dict(load_torch(tmp_path / "hyper.pt", "cpu"))
    assert run(second, 5) == expected[4:]
    assert second.hyper.metrics == whole.hyper.metrics
    assert json.dumps(second.hyper.metrics)


def test_bounds_hold_and_a_gradient_that_is_not_finite_moves_nothing() -> None:
    problem = Ridge(lr=3.0, bounds={"a": (0.2, 0.4), "b": (0.01, 0.1)})
    for _ in range(5):
        problem.settle()
        problem.hyper.step(problem.train_loss, problem.val_loss)
        now = problem.hyper.metrics
        assert 0.2 * (1 - 1e-6) <= now["a"] <= 0.4 * (1 + 1e-6)
        assert 0.01 * (1 - 1e-6) <= now["b"] <= 0.1 * (1 + 1e-6)
    now = problem.hyper.metrics
    found = problem.hyper.step(problem.train_loss, lambda: problem.val_loss() * math.inf)
    assert not all(math.isfinite(slope) for slope in found.values())
    assert problem.hyper.metrics == now
    assert problem.hyper.skipped == 1


def test_what_the_losses_do_not_use_has_no_slope() -> None:
    weights = [torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)]
    hyper = Hypergradient(weights, {"used": 0.5, "unused": 0.5})
    found = hyper.gradient(
        lambda: hyper.values["used"] * (weights[0] ** 2).sum() + weights[0].sum(),
        (weights[0] ** 2).sum,
    )
    assert found["unused"] == 0.0
    assert found["used"] < 0.0


@pytest.mark.parametrize(
    ("start", "options", "message"),
    [
        ({"a": 0.1}, {"inverse": "exact"}, "inverse: 'exact' is none; it may be 'cg' or 'neumann'"),
        ({"a": 0.0}, {}, "a: 0 within None cannot be moved on a logarithmic axis"),
        ({"a": 0.5}, {"bounds": {"a": (0.0, 1.0)}}, "start and bounds must be above 0"),
        ({"a": 2.0}, {"bounds": {"a": (0.1, 1.0)}}, "a: 2 is not within its bounds 0.1 to 1"),
    ],
)
def test_refusals(start: dict[str, float], options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainableError, match=message):
        Hypergradient([torch.ones(1, requires_grad=True)], start, **options)
