"""Small tables in the forms of LCBench's and TaskSet's, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.recorded import METRIC, TABLE


def write_table(data: Path, configs: int, backwards_at: int | None = None) -> None:
    """52 epochs of one second; the loss of config c at epoch e is 100 · c + e.

    Args:
        data: the folder to write into.
        configs: how many.
        backwards_at: an epoch whose clock is recorded a second before that of the epoch before.
    """
    index = pd.MultiIndex.from_product([range(configs), range(52)], names=["trial", "epoch"])
    rows = [
        (100.0 * config + epoch, epoch - 2.0 if epoch == backwards_at else float(epoch))
        for config, epoch in index
    ]
    path = data / TABLE
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows, index=index, columns=[METRIC, "time"]).to_parquet(path)


def write_lcreal(data: Path, configs: int) -> str:
    """The table of `write_table` with the configs that belong to it; the name of its recording.

    Config c has 2 ** (c + 4) as its batch size; the others of its parameters do not differ.
    """
    write_table(data, configs)
    rows = [
        {
            "batch_size": 2 ** (4 + config), "learning_rate": 0.01, "momentum": 0.5,
            "weight_decay": 0.01, "num_layers": 2, "max_units": 128, "max_dropout": 0.5,
        }
        for config in range(configs)
    ]  # fmt: skip
    folder = (data / TABLE).parent
    pd.DataFrame(rows).to_parquet(folder / "config.parquet.gzip")
    return f"lcreal:{folder.name}"


def write_taskset(data: Path, loss: np.ndarray) -> str:
    """A TaskSet table of one task with this validation loss, (configs, 51); its recording's name.

    The learning rates fall evenly from 10 to 1e-8; the other settings do not differ.
    """
    names = [
        "learning_rate", "beta1", "beta2", "epsilon", "l1", "l2", "linear_decay",
        "exponential_decay",
    ]  # fmt: skip
    others = [0.9, 0.999, 1e-8, 1e-6, 1e-6, 1e-6, 1e-5]
    (data / "tables").mkdir(parents=True)
    np.savez(
        data / "tables" / "taskset.npz",
        tasks=np.array(["FixedTextRNNClassification_imdb_small"]),
        splits=np.array(["train", "valid", "test"]),
        hp_names=np.array(names),
        hp=np.array([[10.0 ** (1 - 9 * c / len(loss)), *others] for c in range(len(loss))]),
        loss=np.stack([0 * loss, loss, 0 * loss], axis=1)[None],
    )
    return "taskset:small"
