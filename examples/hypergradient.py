"""Weight decay by layer, tuned while a trial trains: the training code of `hypergradient.yaml`.

Each trial starts with the weight decays of its config, and every few batches moves them along the
hypergradient of the loss on images kept apart for this. The scheduler ranks trials by a third set.
"""

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from raysweep.trainables.checkpoint import load_torch, save_torch
from raysweep.trainables.hypergradient import Hypergradient

torch.set_num_threads(1)  # several trials share the machine
LAYERS = ("first", "second")


def digits():
    """Images (n, 64) in [0, 1] and labels (n,): few to train with, to tune with, to validate."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return [(x[part], y[part]) for part in (order[:300], order[300:800], order[800:])]


def train(config, trial):
    """One epoch per step, five hypergradient steps in each."""
    (x, y), (tune_x, tune_y), (val_x, val_y) = digits()
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)
    hyper = Hypergradient(
        model.parameters(),
        {name: config[f"decay_{name}"] for name in LAYERS},
        bounds=dict.fromkeys(LAYERS, (1e-6, 1.0)),
        lr=config["hyper_lr"],
    )

    def save(folder: Path) -> None:
        parts = {"model": model, "optimizer": optimizer, "hyper": hyper}
        save_torch({name: part.state_dict() for name, part in parts.items()}, folder / "state.pt")

    trial.on_save(save)
    if trial.checkpoint:
        state = load_torch(trial.checkpoint / "state.pt", "cpu")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        hyper.load_state_dict(state["hyper"])

    def train_loss(rows=slice(None)):
        loss = cross_entropy(model(x[rows]), y[rows])
        for name, layer in zip(LAYERS, (model[0], model[2]), strict=True):
            loss = loss + 0.5 * hyper.values[name] * (layer.weight**2).sum()
        return loss

    def tune_loss():
        return cross_entropy(model(tune_x), tune_y)

    for epoch in range(trial.step, 1_000):  # the scheduler's max_t ends the loop long before
        shuffle = torch.Generator().manual_seed(trial.seed + epoch)  # the same after a resume
        for number, batch in enumerate(torch.randperm(len(x), generator=shuffle).split(20)):
            optimizer.zero_grad()
            train_loss(batch).backward()
            optimizer.step()
            if number % 3 == 2 and epoch >= 3:  # the first epochs are far from any minimum
                hyper.step(train_loss, tune_loss)
        with torch.no_grad():
            logits = model(val_x)
        yield {
            "val_accuracy": (logits.argmax(1) == val_y).float().mean().item(),
            "val_loss": cross_entropy(logits, val_y).item(),
            **{f"decay_{name}_now": value for name, value in hyper.metrics.items()},
        }
