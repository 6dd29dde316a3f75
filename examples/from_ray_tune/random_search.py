"""A function that reports, a mixed search space, and the best result."""

from ray import tune
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split


def train_digits(config):
    """A linear classifier of handwritten digits, five epochs."""
    images, labels = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split(images / 16, labels, random_state=0)
    model = SGDClassifier(
        loss=config["loss"],
        penalty=config["regular"]["penalty"],
        alpha=config["regular"]["alpha"],
        random_state=0,
    )
    for epoch in range(5):
        model.partial_fit(x, y, classes=range(10))
        tune.report({"accuracy": model.score(val_x, val_y), "epoch": epoch})


if __name__ == "__main__":
    tuner = tune.Tuner(
        train_digits,
        param_space={
            "loss": tune.grid_search(["hinge", "log_loss", "perceptron"]),
            "regular": {
                "penalty": tune.choice(["l1", "l2"]),
                "alpha": tune.loguniform(1e-6, 1e-1),
            },
        },
        tune_config=tune.TuneConfig(metric="accuracy", mode="max", num_samples=3),
    )
    results = tuner.fit()

    best = results.get_best_result()
    print("best config:", best.config)
    print("accuracy by epoch:", list(best.metrics_dataframe["accuracy"]))
    results.get_dataframe().to_csv("results.csv", index=False)
