"""Functions of the BBOB family (Hansen et al., RR-6829, 2009), each with one fixed instance.

Optimum and rotation of an instance are drawn here, so values do not equal COCO's own instances.
Values are log10(f − f_opt), cut off below at −2: at a hundred evaluations nobody comes nearer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from raysweep.trials.streams import Stream

Vector = npt.NDArray[np.float64]
Function = Callable[[Vector], float]
_FLOOR = 1e-2


def _instance(name: str, dims: int) -> tuple[Vector, npt.NDArray[np.float64]]:
    """Where the optimum lies, within [-4, 4], and a random rotation."""
    generator = Stream(1, "bbob", name, dims).generator()
    rotation, triangle = np.linalg.qr(generator.normal(size=(dims, dims)))
    return generator.uniform(-4, 4, dims), rotation * np.sign(np.diag(triangle))


def _logged(value: float) -> float:
    return float(np.log10(max(value, _FLOOR)))


def rosenbrock(dims: int) -> Function:
    """f8, the valley."""
    optimum, _ = _instance("rosenbrock", dims)
    scale = max(1.0, np.sqrt(dims) / 8)

    def value(x: Vector) -> float:
        z = scale * (x - optimum) + 1
        return _logged(float(np.sum(100 * (z[:-1] ** 2 - z[1:]) ** 2 + (z[:-1] - 1) ** 2)))

    return value


def rastrigin(dims: int) -> Function:
    """f3 without its transformations: a bowl full of local minima."""
    optimum, _ = _instance("rastrigin", dims)

    def value(x: Vector) -> float:
        z = x - optimum
        return _logged(float(10 * (dims - np.cos(2 * np.pi * z).sum()) + z @ z))

    return value


def ellipsoid(dims: int) -> Function:
    """f10 with condition 1e4: a rotated, badly scaled bowl."""
    optimum, rotation = _instance("ellipsoid", dims)
    weights = 1e4 ** (np.arange(dims) / (dims - 1))

    def value(x: Vector) -> float:
        return _logged(float(weights @ (rotation @ (x - optimum)) ** 2))

    return value


FUNCTIONS: dict[str, Callable[[int], Function]] = {
    "rosenbrock": rosenbrock, "rastrigin": rastrigin, "ellipsoid": ellipsoid,
}  # fmt: skip


def median_of(function: Function, dims: int) -> float:
    """The median value of 1,000 random points."""
    points = Stream(2, "bbob", "median", dims).generator().uniform(-5, 5, (1000, dims))
    return float(np.median([function(point) for point in points]))
