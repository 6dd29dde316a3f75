"""PyTorch with checkpoints, data handed over once, a failure that is retried, and resources."""

import tempfile
from pathlib import Path

import torch
from ray import tune
from ray.tune import Checkpoint
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy


def train_network(config, images=None, labels=None):
    """Six epochs of a small network; a trial goes on from its checkpoint if it has one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, config["width"]), nn.ReLU(), nn.Linear(config["width"], 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    start = 0
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / "state.pt")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["epoch"] + 1

    x, y, val_x, val_y = images[:1400], labels[:1400], images[1400:], labels[1400:]
    for epoch in range(start, 6):
        if epoch == 3 and not checkpoint and config["width"] == 32:
            raise ConnectionError("the file server hiccuped, as file servers do")
        for batch in torch.arange(len(x)).split(50):
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(val_x).argmax(1) == val_y).float().mean().item()
        with tempfile.TemporaryDirectory() as folder:
            state = {
                "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch
            }  # fmt: skip
            torch.save(state, Path(folder) / "state.pt")
            tune.report(
                {"accuracy": accuracy, "epoch": epoch},
                checkpoint=Checkpoint.from_directory(folder),
            )


if __name__ == "__main__":
    pixels, targets = load_digits(return_X_y=True)
    trainable = tune.with_parameters(
        train_network,
        images=torch.tensor(pixels / 16, dtype=torch.float32),
        labels=torch.tensor(targets),
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"lr": tune.grid_search([0.001, 0.01]), "width": tune.grid_search([16, 32])},
        tune_config=tune.TuneConfig(metric="accuracy", mode="max"),
        run_config=tune.RunConfig(
            name="pytorch", failure_config=tune.FailureConfig(max_failures=1)
        ),
    )
    results = tuner.fit()

    best = results.get_best_result()
    print("best config:", best.config, "accuracy:", best.metrics["accuracy"])
    print("failed trials:", results.num_errors)
    with best.checkpoint.as_directory() as folder:
        print("best model is of epoch", torch.load(Path(folder) / "state.pt")["epoch"])
    results.get_dataframe().to_csv("results.csv", index=False)
