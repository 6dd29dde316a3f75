"""A noisy quadratic in 20 dimensions, whose best learning rate falls as training goes on.

With m the mean loss at some step, a step by learning rate lr makes of it (1 - lr)²·m + lr²: the rate
that is best now is m / (m + 1), from 1/2 at the start towards 1/T after T steps.
"""

import numpy as np


def train(config, trial):
    """θ ← θ - lr·(θ + ε) from θ = (1, …, 1), with ε ~ N(0, 1) anew at each step."""
    theta = np.ones(20)
    if trial.checkpoint:
        theta = np.load(trial.checkpoint / "theta.npy")
    trial.on_save(lambda folder: np.save(folder / "theta.npy", theta))
    for step in range(trial.step, 1_000):  # the scheduler stops it at max_t
        chance = np.random.default_rng((trial.seed, step))  # noqa: TID251 - training code's own
        noise = chance.normal(size=20)
        theta = theta - config["lr"] * (theta + noise)
        yield {"loss": float((theta**2).mean())}
