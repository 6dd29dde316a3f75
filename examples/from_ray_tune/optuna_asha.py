"""Optuna's sampler, at most two trials at once, and ASHA to stop the hopeless ones."""

import warnings

from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def train_network(config):
    """A network with one hidden layer, up to nine epochs."""
    warnings.simplefilter("ignore")  # large learning rates overflow: these trials are to lose
    images, labels = load_digits(return_X_y=True)
    x, val_x, y, val_y = train_test_split(images / 16, labels, random_state=0)
    model = MLPClassifier(
        (config["width"],),
        solver="sgd",
        learning_rate_init=config["lr"],
        momentum=config["momentum"],
        random_state=0,
    )
    for _ in range(9):
        model.partial_fit(x, y, classes=range(10))
        tune.report({"accuracy": model.score(val_x, val_y)})


if __name__ == "__main__":
    tuner = tune.Tuner(
        train_network,
        param_space={
            "lr": tune.loguniform(1e-4, 1.0),
            "momentum": tune.uniform(0.0, 0.99),
            "width": tune.qrandint(8, 64, 8),
        },
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=8,
            search_alg=ConcurrencyLimiter(OptunaSearch(seed=7), max_concurrent=2),
            scheduler=ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(name="network"),
    )
    results = tuner.fit()

    best = results.get_best_result(scope="all")
    table = results.get_dataframe(filter_metric="accuracy", filter_mode="max")
    print("best config:", best.config)
    print("epochs run in all:", sum(len(result.metrics_dataframe) for result in results))
    print(table[["accuracy", "config/lr", "config/momentum", "config/width"]])
    results.get_dataframe().to_csv("results.csv", index=False)
