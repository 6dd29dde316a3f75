"""A class with checkpoints, a stop rule, and the best trial's weights loaded afterwards."""

from pathlib import Path

import numpy as np
from ray.tune import CheckpointConfig, RunConfig, Trainable, TuneConfig, Tuner, grid_search
from sklearn.datasets import load_digits


def digits():
    """Training and validation images, flat and with a constant, and their labels."""
    images, labels = load_digits(return_X_y=True)
    images = np.hstack([images / 16, np.ones((len(images), 1))])
    return images[:1400], labels[:1400], images[1400:], labels[1400:]


def accuracy(weights, images, labels):
    """The share of images that `weights` (65, 10) classify rightly."""
    return float(((images @ weights).argmax(1) == labels).mean())


class SoftmaxRegression(Trainable):
    """Gradient descent with momentum; a step is ten updates on all images."""

    def setup(self, config):
        """Start from zero."""
        self.x, self.y, self.val_x, self.val_y = digits()
        self.weights = np.zeros((65, 10))
        self.velocity = np.zeros((65, 10))

    def step(self):
        """Ten updates, then the accuracy on images not trained on."""
        for _ in range(10):
            scores = np.exp(self.x @ self.weights)
            errors = scores / scores.sum(1, keepdims=True) - np.eye(10)[self.y]
            self.velocity *= self.config["momentum"]
            self.velocity -= self.config["lr"] * self.x.T @ errors / len(self.x)
            self.weights += self.velocity
        return {"accuracy": accuracy(self.weights, self.val_x, self.val_y)}

    def save_checkpoint(self, checkpoint_dir):
        """All that changes."""
        np.savez(Path(checkpoint_dir) / "state.npz", weights=self.weights, velocity=self.velocity)

    def load_checkpoint(self, checkpoint_dir):
        """Go on from there."""
        state = np.load(Path(checkpoint_dir) / "state.npz")
        self.weights, self.velocity = state["weights"], state["velocity"]


if __name__ == "__main__":
    tuner = Tuner(
        SoftmaxRegression,
        param_space={
            "lr": grid_search([0.01, 0.1, 1.0]),
            "momentum": grid_search([0.0, 0.9]),
        },
        tune_config=TuneConfig(metric="accuracy", mode="max"),
        run_config=RunConfig(
            name="softmax",
            stop={"training_iteration": 8, "accuracy": 0.9},
            checkpoint_config=CheckpointConfig(
                num_to_keep=2, checkpoint_frequency=3, checkpoint_at_end=True
            ),
        ),
    )
    results = tuner.fit()

    best = results.get_best_result()
    with best.checkpoint.as_directory() as folder:
        weights = np.load(Path(folder) / "state.npz")["weights"]
    _, _, val_x, val_y = digits()
    print("best config:", best.config)
    print("reported:", best.metrics["accuracy"], "loaded:", accuracy(weights, val_x, val_y))
    results.get_dataframe().to_csv("results.csv", index=False)
