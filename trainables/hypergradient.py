"""Hypergradients: differentiable hyperparameters that improve while a trial trains.

Notation: weights w, hyperparameters λ, training loss L_T(w, λ), validation loss L_V(w),
H = ∂²L_T/∂w². Where training has come to rest, the implicit function theorem gives

    dL_V/dλ = − v H⁻¹ ∂²L_T/∂w∂λ,   v = ∂L_V/∂w

(Lorraine, Vicol & Duvenaud, "Optimizing Millions of Hyperparameters by Implicit Differentiation",
arXiv 1911.02590, eq. 2). v H⁻¹ is found without H itself, by products with it: a Neumann series
(their algorithm 3) or conjugate gradients (Pedregosa, arXiv 1602.02355).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch

from raysweep.trials.errors import TrainableError

Loss = Callable[[], torch.Tensor]
"""Computes a scalar from the weights and `Hypergradient.values`, with its graph."""
Vector = Sequence[torch.Tensor]


class Hypergradient:
    """Hyperparameters that a training loop improves by itself, a step now and then.

    The training loss must use `values[name]`, which are tensors; the validation loss only the
    weights. What it finds is a local optimum near where it starts, for hyperparameters by which
    the training loss is differentiable: weight decays, loss weights, data weights. Learning rates
    and sizes are none.

    Args:
        weights: what training moves, e.g. `model.parameters()`.
        start: the hyperparameters' first values, by name, e.g. from the trial's config.
        bounds: by name the least and the greatest value; None: only what `log` demands.
        log: whether they are moved on a logarithmic axis, as positive ones should be.
        lr: the step of Adam on that axis; 0.1 is a tenth of a factor e at first.
        inverse: "cg" or "neumann".
        terms: products with H for one step: of the series, or iterations.
        damping: added to H's diagonal, so that directions without curvature do no harm ("cg").
        scale: α of the series (I + (I − αH) + …); must be below 2 by the greatest eigenvalue of H.

    Raises:
        TrainableError: for an `inverse` that is none, or a start that its bounds or the logarithm
            do not allow.
    """

    def __init__(
        self,
        weights: Iterable[torch.Tensor],
        start: Mapping[str, float],
        *,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        log: bool = True,
        lr: float = 0.1,
        inverse: Literal["cg", "neumann"] = "cg",
        terms: int = 10,
        damping: float = 1e-3,
        scale: float = 0.1,
    ) -> None:
        if inverse not in ("cg", "neumann"):
            raise TrainableError(f"inverse: {inverse!r} is none; it may be 'cg' or 'neumann'")
        self._weights = [weight for weight in weights if weight.requires_grad]
        self._log, self._bounds = log, dict(bounds or {})
        for name, value in start.items():
            _check(name, value, self._bounds.get(name), log)
        device = self._weights[0].device if self._weights else None
        self._raw = {
            name: torch.tensor(
                math.log(value) if log else float(value), device=device, requires_grad=True
            )
            for name, value in start.items()
        }
        self._optimizer = torch.optim.Adam(self._raw.values(), lr=lr)
        self._inverse, self._terms, self._damping, self._scale = inverse, terms, damping, scale
        self.skipped = 0
        """Steps that were left out because the gradient was not finite."""

    @property
    def values(self) -> dict[str, torch.Tensor]:
        """The hyperparameters now, as tensors with a graph, for the training loss."""
        return {name: raw.exp() if self._log else raw for name, raw in self._raw.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """The hyperparameters now, as plain numbers for a report."""
        return {name: float(value.detach()) for name, value in self.values.items()}

    def step(self, train_loss: Loss, val_loss: Loss) -> dict[str, float]:
        """Move the hyperparameters by one step; call it every few optimiser steps.

        Returns:
            By name the derivative of the validation loss, by the logarithm of the hyperparameter
            where `log`. If one is not finite nothing moves, and `skipped` grows.
        """
        found = self.gradient(train_loss, val_loss)
        if not all(math.isfinite(slope) for slope in found.values()):
            self.skipped += 1
            return found
        for name, raw in self._raw.items():
            raw.grad = torch.full_like(raw, found[name])
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            for name, (low, high) in self._bounds.items():
                edges = (math.log(low), math.log(high)) if self._log else (low, high)
                self._raw[name].clamp_(*edges)
        return found

    def gradient(self, train_loss: Loss, val_loss: Loss) -> dict[str, float]:
        """The derivative that `step` follows; nothing moves."""
        aim = torch.autograd.grad(val_loss(), self._weights, allow_unused=True)
        v = [_filled(g, w) for g, w in zip(aim, self._weights, strict=True)]
        first = torch.autograd.grad(
            train_loss(), self._weights, create_graph=True, allow_unused=True
        )
        slopes = [_filled(g, w) for g, w in zip(first, self._weights, strict=True)]

        def curved(vector: Vector) -> list[torch.Tensor]:
            return self._product(slopes, vector)

        solve = self._conjugate if self._inverse == "cg" else self._neumann
        pulled = _dot(slopes, solve(curved, v))
        raws = list(self._raw.values())
        mixed = torch.autograd.grad(pulled, raws, allow_unused=True)
        return {
            name: 0.0 if part is None else -float(part)
            for name, part in zip(self._raw, mixed, strict=True)
        }

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes back, for a checkpoint."""
        raw = {name: float(value.detach()) for name, value in self._raw.items()}
        return {"raw": raw, "optimizer": self._optimizer.state_dict(), "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        with torch.no_grad():
            for name, value in state["raw"].items():
                self._raw[name].fill_(value)
        self._optimizer.load_state_dict(state["optimizer"])
        self.skipped = int(state["skipped"])

    def _product(self, slopes: Vector, vector: Vector) -> list[torch.Tensor]:
        """H times a vector (Pearlmutter, 1994)."""
        found = torch.autograd.grad(
            _dot(slopes, vector), self._weights, retain_graph=True, allow_unused=True
        )
        return [_filled(g, w) for g, w in zip(found, self._weights, strict=True)]

    def _neumann(self, curved: Callable[[Vector], Vector], v: Vector) -> list[torch.Tensor]:
        term, total = list(v), list(v)
        for _ in range(self._terms):
            term = [t - self._scale * h for t, h in zip(term, curved(term), strict=True)]
            total = [a + t for a, t in zip(total, term, strict=True)]
        return [self._scale * a for a in total]

    def _conjugate(self, curved: Callable[[Vector], Vector], v: Vector) -> list[torch.Tensor]:
        solution = [torch.zeros_like(part) for part in v]
        rest, ahead = list(v), list(v)
        length = _dot(rest, rest)
        for _ in range(self._terms):
            image = [h + self._damping * a for h, a in zip(curved(ahead), ahead, strict=True)]
            bend = _dot(ahead, image)
            if bend <= 0.0 or length <= 0.0:  # no minimum this way, or nothing is left
                break
            far = length / bend
            solution = [s + far * a for s, a in zip(solution, ahead, strict=True)]
            rest = [r - far * i for r, i in zip(rest, image, strict=True)]
            before, length = length, _dot(rest, rest)
            ahead = [r + (length / before) * a for r, a in zip(rest, ahead, strict=True)]
        return solution


def _dot(left: Vector, right: Vector) -> torch.Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(left, right, strict=True)]).sum()


def _filled(gradient: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


def _check(name: str, value: float, bounds: tuple[float, float] | None, log: bool) -> None:
    low, high = bounds or (-math.inf, math.inf)
    if log and (value <= 0.0 or (bounds and low <= 0.0)):
        raise TrainableError(
            f"{name}: {value:g} within {bounds} cannot be moved on a logarithmic axis; start and "
            "bounds must be above 0, or give log=False"
        )
    if not low <= value <= high:
        raise TrainableError(f"{name}: {value:g} is not within its bounds {low:g} to {high:g}")
