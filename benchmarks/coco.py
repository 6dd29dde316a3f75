"""COCO's own functions, `bbob` and `bbob-mixint`, first instance (arXiv 1903.06396).

`pip install coco-experiment`. Values are log10(f − best), cut off below at −2, as in `synthetic`;
the best is what differential evolution finds in some ten thousand evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from raysweep.trials.space import Space
from raysweep.trials.streams import Stream

_FLOOR = 1e-2
_SAMPLE = 2_000
Value = Callable[[Mapping[str, Any]], float]


@cache
def load(suite: str, function: int, dims: int) -> tuple[Space, Value, float]:
    """The space, the function on it, and the median of its values over random configs."""
    import cocoex

    chosen = cocoex.Suite(suite, "instances:1", f"dimensions:{dims} function_indices:{function}")
    inner = chosen[0]
    whole = int(inner.number_of_integer_variables)
    low, high = np.array(inner.lower_bounds), np.array(inner.upper_bounds)
    names = [f"x{i:02d}" for i in range(dims)]
    space = Space.from_dict(
        {
            name: {"randint": [int(low[i]), int(high[i])]}
            if i < whole
            else {"uniform": [float(low[i]), float(high[i])]}
            for i, name in enumerate(names)
        }
    )
    best = _best(inner, low, high, whole)

    def value(config: Mapping[str, Any]) -> float:
        # the suite has to live as long as its problem
        f = chosen and inner(np.array([float(config[name]) for name in names]))
        return float(np.log10(max(float(f) - best, _FLOOR)))

    stream = Stream(0, "coco", suite, function, dims)
    sample = [value(space.sample(stream)) for _ in range(_SAMPLE)]
    return space, value, float(np.median(sample))


def _best(inner: Any, low: np.ndarray, high: np.ndarray, whole: int) -> float:
    from scipy.optimize import differential_evolution

    found = differential_evolution(
        lambda x: float(inner(x)),
        list(zip(low, high, strict=True)),
        maxiter=200,
        popsize=20,
        integrality=np.arange(len(low)) < whole,
        rng=Stream(0, "coco", "best").generator(),
        polish=whole == 0,
    )
    return float(found.fun)
