"""Recorded learning curves of real trainings, and how good a choice among them is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raysweep.cluster.session import bench_data

DATA = bench_data()
TABLE = "lcbench/blood-transfusion-service-center/metrics.parquet.gzip"
METRIC, EPOCHS = "Train/val_cross_entropy", range(2, 52)
"""LCBench's epoch 1 is the untrained network and its last one is odd."""
MAX_T = len(EPOCHS)
Array = npt.NDArray[np.float64]


class Curves(NamedTuple):
    """What was recorded: `loss` and `seconds` of each epoch, of shape (configs, 50)."""

    loss: Array
    seconds: Array


def load(data: Path) -> Curves:
    """The recorded curves.

    Raises:
        FileNotFoundError: they are not there; the message says where to get them.
    """
    import pandas as pd

    path = data / TABLE
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no recorded curves at {path}; pass --data the folder that has {TABLE}, with "
            f"columns {METRIC} and time by trial and epoch. They are of LCBench "
            "(https://github.com/automl/LCBench, Apache-2.0), whose data are at "
            "https://figshare.com/projects/LCBench/74151"
        )
    metrics = pd.read_parquet(path, columns=[METRIC, "time"])
    loss = metrics[METRIC].unstack("epoch")[list(EPOCHS)].to_numpy(float)
    time_s = metrics["time"].unstack("epoch").to_numpy(float)
    elapsed_s = np.maximum.accumulate(time_s, axis=1)  # it is not monotone as recorded
    return Curves(loss, np.diff(elapsed_s, axis=1)[:, EPOCHS[0] - 1 : EPOCHS[-1]])


def regret(picked: Sequence[int], last: Sequence[Mapping[str, Any]], curves: Curves) -> float:
    """How far the run's choice is from the best config: 0 the best, 1 the median one.

    Args:
        picked: the configs.
        last: each one's last report, with its `epoch` and `loss`.
        curves: what was recorded.
    """
    farthest = max(int(metrics["epoch"]) for metrics in last)
    loss, chosen = min(
        (metrics["loss"], index)
        for index, metrics in zip(picked, last, strict=True)
        if metrics["epoch"] == farthest
    )
    assert math.isclose(loss, curves.loss[chosen, farthest - 1]), "a report was mixed up"
    final = curves.loss[list(picked), -1]
    best = float(final.min())
    return (float(curves.loss[chosen, -1]) - best) / (float(np.median(final)) - best)
