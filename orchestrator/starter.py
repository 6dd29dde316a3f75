"""What `raysweep init` writes: a spec and training code that run as they are."""

from __future__ import annotations

from pathlib import Path

from raysweep.trials.errors import SpecError

SPEC = """\
# A sweep. Check it:  raysweep validate sweep.yaml      Run it:  raysweep run sweep.yaml
name: first                        # the results go to <storage>/<name>
trainable: train:train             # the function `train` in train.py, beside this file

# What to vary. There are uniform, loguniform, randint, lograndint (bounds included), choice, ...
space:
  lr: {loguniform: [1e-3, 3.0]}
  optimizer: {choice: [sgd, rmsprop]}
  momentum: {uniform: [0.0, 0.95], when: {optimizer: sgd}}     # exists only for SGD
  hidden: {lograndint: [4, 64]}
# constraints: ["lr * hidden <= 64"]        # expressions that every config must satisfy

# What to look at: a key of the dictionaries that `train` yields, and which way is better.
metric: val_loss
mode: min

searcher: random                   # or sobol, grid
# Every trial runs 1 step, the best third of them goes on to 3, of those the best third to 9, ...
scheduler: {name: asha, max_t: 27, grace_period: 1, reduction_factor: 3}

# What one trial holds; `gpu: 0.25` puts four trials on each GPU.
resources: {cpu: 1, gpu: 0}

# When to end: the limit that is reached first ends the sweep.
budget: {trials: 60, wall_time: 10m}

# retries: {error: 0, infra: 5}    # tries again after an error of the code, after a lost node
seed: 0
storage: ./sweeps
"""

TRAIN = '''\
"""Training code for sweep.yaml: a network with one hidden layer learns two spirals apart."""

import numpy as np


def spirals(seed, points=400):
    """Two spirals of points in the plane, shape (points, 2), and which one each belongs to."""
    rng = np.random.default_rng(seed)
    which = np.arange(points) % 2
    angle = 2.5 * np.pi * np.sqrt(rng.random(points))
    turn = angle + np.pi * which
    plane = np.stack([angle * np.cos(turn), angle * np.sin(turn)], axis=1)
    return plane / 3 + 0.15 * rng.normal(size=plane.shape), which[:, None].astype(float)


def forward(weights, x):
    """The hidden layer and the probability of the second spiral."""
    hidden = np.tanh(x @ weights["w1"] + weights["b1"])
    logits = hidden @ weights["w2"] + weights["b2"]
    return hidden, 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def gradients(weights, x, y):
    """The gradient of the mean cross entropy by each weight."""
    hidden, probability = forward(weights, x)
    error = (probability - y) / len(x)
    back = error @ weights["w2"].T * (1 - hidden**2)
    return {"w1": x.T @ back, "b1": back.sum(0), "w2": hidden.T @ error, "b2": error.sum(0)}


def train(config, trial):
    """raysweep calls this once per trial and takes every `yield` as one step.

    `config` holds this trial's values of the space; `trial` its seed, step and checkpoint.
    Leave `trial` out of the signature if you do not want trials to be paused and resumed.
    """
    x, y = spirals(seed=0)
    val_x, val_y = spirals(seed=1)
    rng = np.random.default_rng(trial.seed)
    width = config["hidden"]
    weights = {
        "w1": rng.normal(size=(2, width)),
        "b1": np.zeros(width),
        "w2": rng.normal(size=(width, 1)) / np.sqrt(width),
        "b2": np.zeros(1),
    }
    memory = {name: np.zeros_like(value) for name, value in weights.items()}

    # How to save: called between two steps, with an empty folder to write to.
    def save(folder):
        np.savez(folder / "weights.npz", **weights)
        np.savez(folder / "memory.npz", **memory)

    trial.on_save(save)

    # How to go on from what `save` wrote.
    if trial.checkpoint:
        weights = dict(np.load(trial.checkpoint / "weights.npz"))
        memory = dict(np.load(trial.checkpoint / "memory.npz"))

    for _ in range(trial.step, 1_000):  # the scheduler stops it at max_t
        for _ in range(50):
            for name, slope in gradients(weights, x, y).items():
                if config["optimizer"] == "sgd":
                    memory[name] = config["momentum"] * memory[name] + slope
                    weights[name] = weights[name] - config["lr"] * memory[name]
                else:
                    memory[name] = 0.9 * memory[name] + 0.1 * slope**2
                    scale = np.sqrt(memory[name]) + 1e-8
                    weights[name] = weights[name] - 0.1 * config["lr"] * slope / scale
        _, probability = forward(weights, val_x)
        likely = np.where(val_y == 1, probability, 1 - probability)
        yield {
            "val_loss": float(-np.log(likely + 1e-12).mean()),
            "val_accuracy": float((likely > 0.5).mean()),
        }
'''


def write_starter(folder: Path) -> list[Path]:
    """Write `sweep.yaml` and `train.py` into `folder`; returns their paths.

    Raises:
        SpecError: one of them is there already, or the folder cannot be written; nothing is
            overwritten.
    """
    files = {folder / "sweep.yaml": SPEC, folder / "train.py": TRAIN}
    for path in files:
        if path.exists() or path.is_symlink():
            raise SpecError(f"{path} is there already: name another folder, `raysweep init DIR`")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise SpecError(f"{folder} cannot be written ({error.strerror}): name another") from None
    return list(files)
