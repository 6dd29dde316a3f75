"""TensorBoard, MLflow and Weights & Biases at once, and an analysis of all reports."""

import os

import pandas as pd
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.air.integrations.wandb import WandbLoggerCallback
from ray.tune.logger import TBXLoggerCallback
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split


def train_digits(config):
    """A linear classifier, four epochs."""
    images, labels = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split(images / 16, labels, random_state=0)
    model = SGDClassifier(alpha=config["alpha"], random_state=0)
    for _ in range(4):
        model.partial_fit(x, y, classes=range(10))
        tune.report({"accuracy": model.score(val_x, val_y)})


if __name__ == "__main__":
    os.environ["WANDB_MODE"] = "offline"  # noqa: TID251 - the script's own choice
    tuner = tune.Tuner(
        train_digits,
        param_space={"alpha": tune.grid_search([1e-4, 1e-2, 1.0])},
        tune_config=tune.TuneConfig(metric="accuracy", mode="max"),
        run_config=tune.RunConfig(
            name="linear",
            callbacks=[
                TBXLoggerCallback(),
                MLflowLoggerCallback(tracking_uri="sqlite:///mlflow.db", experiment_name="linear"),
                WandbLoggerCallback(project="linear"),
            ],
        ),
    )
    results = tuner.fit()

    curves = pd.concat(
        [result.metrics_dataframe.assign(alpha=result.config["alpha"]) for result in results]
    )
    print(curves.pivot_table(index="training_iteration", columns="alpha", values="accuracy"))
    print("best config:", results.get_best_result().config)
    results.get_dataframe().to_csv("results.csv", index=False)
