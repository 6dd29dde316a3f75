"""A small network on scikit-learn's handwritten digits: the training code of `digits.yaml`.

raysweep calls `train` once for each trial and takes every `yield` as one step, here an epoch.
What is yielded is recorded; what `trial.on_save` is given lets a trial pause and go on later.
"""

from functools import cache
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from raysweep.trainables.checkpoint import load_torch, save_torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.set_num_threads(1)  # several trials share the machine


@cache  # a slot runs trial after trial in one process, so it reads the data once
def digits():
    """Training and validation images (n, 64) in [0, 1] with their labels (n,)."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32, device=DEVICE)
    y = torch.tensor(labels, device=DEVICE)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(DEVICE)
    train, val = order[:1437], order[1437:]
    return x[train], y[train], x[val], y[val]


def make_optimizer(model, config):
    """SGD with the momentum that exists only for it, or Adam."""
    if config["optimizer"] == "sgd":
        choice, options = torch.optim.SGD, {"momentum": config["momentum"]}
    else:
        choice, options = torch.optim.Adam, {}
    return choice(
        model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"], **options
    )


def train(config, trial):
    """Train until the scheduler has seen enough, one epoch per step."""
    x, y, val_x, val_y = digits()
    torch.manual_seed(trial.seed)  # every trial has its own seed: the same trial, the same weights
    model = nn.Sequential(
        nn.Linear(64, config["width"]), nn.ReLU(), nn.Linear(config["width"], 10)
    ).to(DEVICE)
    optimizer = make_optimizer(model, config)

    def save(folder: Path) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        save_torch(state, folder / "state.pt")

    trial.on_save(save)
    if trial.checkpoint:
        state = load_torch(trial.checkpoint / "state.pt", DEVICE)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])

    for epoch in range(trial.step, 1_000):  # the scheduler's max_t ends the loop long before
        shuffle = torch.Generator().manual_seed(trial.seed + epoch)  # the same after a resume
        for batch in torch.randperm(len(x), generator=shuffle).split(config["batch_size"]):
            loss = cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            logits = model(val_x)
        yield {
            "val_accuracy": (logits.argmax(1) == val_y).float().mean().item(),
            "val_loss": cross_entropy(logits, val_y).item(),
        }
